// Conditions of a step on its results.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "core/model/statement.h"

namespace quarry::postgres {

// kNotFound ROW_NOT_FOUND, kAlreadyExists ROW_EXISTS, kAborted ETAG_MISMATCH, or OK.
absl::Status CheckResult(const Check& check, const StatementResult& result, const std::string& shard);
// True when a failed check of this step leaves something to undo.
bool NeedsUndo(const Step& step);

}  // namespace quarry::postgres
