// What a step asks of its transaction.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/postgres/connection.h"
#include "core/model/statement.h"

namespace quarry::postgres {

bool UsesOwnTables(const Step& step);
// The SQL of its statements.
std::vector<std::string> Texts(const Step& step);

// The step's results out of a batch whose statements start at `first`, with its checks.
absl::StatusOr<StepResult> Results(const Step& step, Batch& batch, size_t first);

// True when a failed check of this step leaves something to undo.
bool NeedsUndo(const Step& step);

}  // namespace quarry::postgres
