// A condition after its check against the catalog: every column known, every value in its column's own kind. Plain data.
// Like SQL it is true, false or unknown of a row (a comparison with NULL is unknown); rows of which it is true match.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/model/condition.h"
#include "core/model/type.h"
#include "core/model/value.h"

namespace quarry {

// A column as a statement and a merge see it.
struct ColumnUse {
  size_t position = 0;  // In its table, or in the row that a merge looks at.
  std::string name;
  ColumnType type;
  bool nullable = true;
  bool byte_order = true;  // The database orders its text by bytes of its own accord.
  bool byte_equality = true;  // The database's "=" on its text is equality of bytes.
};

struct RelatedRows;

struct Predicate {
  enum class Kind : uint8_t {
    kTrue,
    kFalse,
    kAnd,      // children; none: true
    kOr,       // children; none: false
    kNot,      // one child
    kCompare,  // column, op, and one value or `other`
    kIn,       // column, values, at least one, none null
    kLike,     // column, one text
    kPrefix,   // column, one text
    kIsNull,   // column
    kHas,      // related
  };
  Kind kind = Kind::kTrue;
  std::vector<Predicate> children;
  ColumnUse column;
  CompareOp op = CompareOp::kEqual;
  std::optional<ColumnUse> other;
  std::vector<Value> values;
  std::shared_ptr<const RelatedRows> related;
};

// Rows of another table on the same shard, joined to the row at hand.
struct RelatedRows {
  std::string table;
  std::vector<std::pair<ColumnUse, ColumnUse>> join;  // Ours = theirs.
  Predicate predicate;                                // Over their columns.
};

}  // namespace quarry
