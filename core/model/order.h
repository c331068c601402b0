// One order for values, the same on every backend and in every merge: that of PostgreSQL with text by bytes (collation "C").
// Pure.
#pragma once

#include <string>
#include <vector>

#include "core/model/type.h"
#include "core/model/value.h"

namespace quarry {

// False for json, intervals, arrays and natives: they have no order that both backends share.
bool HasOrder(const ColumnType& type);

// Below 0, 0 or above 0. Both are of one ordered kind and not null. Numbers by value (decimals whatever their scale; NaN equals
// itself and is the greatest), false before true, text, bytes and uuids by bytes, dates and times by what they say.
int CompareValues(const Value& a, const Value& b);

enum class NullPlacement : uint8_t { kDefault, kFirst, kLast };  // Default: last when ascending, first when descending.

// One term of an ORDER BY over rows that a merge looks at.
struct SortTerm {
  size_t position = 0;  // In the row.
  bool descending = false;
  bool nulls_first = false;
};

// Below 0 when `a` comes before `b`.
int CompareRows(const Row& a, const Row& b, const std::vector<SortTerm>& order);

}  // namespace quarry
