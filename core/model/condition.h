// What rows a caller asks for: the one syntax tree that text filters and structured conditions become, before anything is
// checked against the catalog. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/value.h"

namespace quarry {

enum class CompareOp : uint8_t { kEqual, kNotEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual };

struct Condition {
  enum class Kind : uint8_t {
    kAnd,      // children, at least one
    kOr,       // children, at least one
    kNot,      // one child
    kCompare,  // column, op, and one value or other_column
    kIn,       // column, values (may be none: nothing matches)
    kBetween,  // column, two values, both inclusive
    kLike,     // column, one text value: % and _ are wild, \ escapes; case counts
    kPrefix,   // column, one text value
    kIsNull,   // column
    kHas,      // column names a relation; at most one child, over the related table's columns
  };
  Kind kind = Kind::kAnd;
  std::vector<Condition> children;
  // A column of the table ("price"), or of a related table ("customer.country"): then some related row must match.
  std::string column;
  CompareOp op = CompareOp::kEqual;
  std::string other_column;  // Instead of a value.
  std::vector<Value> values;
  // Where it stands, for messages: "filter: character 17" or "where.and[1]".
  std::string place;
};

}  // namespace quarry
