// Questions without their values: what calls that differ in values only have in common. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "core/model/query.h"

namespace quarry {

struct QueryShape {
  std::string method;  // "List"
  std::string table;
  std::string text;    // "customer_id = ? AND price > ? ORDER BY price"; a long one is cut.
  uint64_t id = 0;     // Of all of it, uncut; the same in every process.
};

// An IN is one shape whatever the number of its values.
QueryShape ShapeOf(const QueryOperation& op);
QueryShape ShapeOf(const ListOperation& op);
QueryShape ShapeOf(const AggregateOperation& op);
QueryShape ShapeOf(const BulkWriteOperation& op);

// The id as it travels: 16 hexadecimal digits.
std::string QueryIdText(uint64_t id);

}  // namespace quarry
