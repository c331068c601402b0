// A checked aggregate -> the SQL of a shard's share. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/model/order.h"
#include "core/model/predicate.h"
#include "core/model/query.h"
#include "core/model/statement.h"
#include "core/plan/sql_texts.h"

namespace quarry {

// Every name known, every type fit for what is done with it.
struct CheckedAggregate {
  struct Column {
    AggregateFunction function = AggregateFunction::kCount;
    std::optional<ColumnUse> input;  // None: count(*).
    bool by_value = false;           // A count distinct whose values are given instead, by a statement of its own.
    std::string name;
  };
  const Table* table = nullptr;  // Outlives this.
  Predicate predicate;
  std::vector<ColumnUse> group;
  std::vector<Column> columns;
  // Groups of different shards differ: only so many first ones of each shard can be among the result's. By position in the result.
  std::vector<SortTerm> order;
  int64_t groups_max = 0;  // 0: all, in no order.
  // One more than may be merged ends the question: a shard need not give more than that.
  int64_t groups_bound = 0;
  int64_t values_bound = 0;  // Of a count distinct by value.
};

struct LoweredAggregate {
  // Rows: group columns, then column after column: sums as decimals or doubles, an average as its sum and its count, counts, the
  // least or greatest value; nothing for a count distinct by value. See AggregateColumn.
  Statement partial;
  // Index of the column; rows: group columns, then a value that is not null.
  std::vector<std::pair<size_t, Statement>> distinct;
};

LoweredAggregate LowerAggregate(const CheckedAggregate& aggregate, Dialect dialect, SqlTexts& texts);

}  // namespace quarry
