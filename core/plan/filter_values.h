// What a comparison with a value becomes for a column of a given type. Pure.
#pragma once

#include "absl/status/statusor.h"
#include "core/catalog/catalog.h"
#include "core/model/condition.h"
#include "core/model/value.h"

namespace quarry {

// Of a row whose column is not null; a comparison with null is unknown in any case.
struct Comparison {
  enum class Outcome : uint8_t { kCompare, kAlways, kNever };
  Outcome outcome = Outcome::kCompare;
  CompareOp op = CompareOp::kEqual;  // Of kCompare, as `value`, which is of the column's own kind.
  Value value;
};

// `column op value` without loss of meaning: a value that the column cannot hold (300 or 1.5 of a smallint, a text longer than its
// varchar) is above, below or between what it can hold. `value` is not null. The error's message says what the column expects; it
// has no path.
absl::StatusOr<Comparison> CompareWith(const Column& column, CompareOp op, const Value& value);

}  // namespace quarry
