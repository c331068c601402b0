// Evaluates a statement's check on its result: the same rule and the same words on every backend.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "core/model/statement.h"

namespace quarry {

// OK, or the error that fails the statement's step (see Check::Kind).
absl::Status EvaluateCheck(const Check& check, const StatementResult& result);
// kResourceExhausted LIMIT_EXCEEDED when so many rows of so many bytes are more than the bounds allow.
absl::Status CheckBounds(const RowBounds& bounds, int64_t rows, int64_t bytes);
// Of the values.
int64_t ByteSize(const std::vector<Row>& rows);

}  // namespace quarry
