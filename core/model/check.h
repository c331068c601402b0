// Evaluates a statement's check on its result: the same rule and the same words on every backend.
#pragma once

#include "absl/status/status.h"
#include "core/model/statement.h"

namespace quarry {

// OK, or the error that fails the statement's step (see Check::Kind).
absl::Status EvaluateCheck(const Check& check, const StatementResult& result);

}  // namespace quarry
