// Partial aggregates of shards -> exact groups. Pure; one user.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/order.h"
#include "core/model/predicate.h"
#include "core/model/query.h"
#include "core/model/statement.h"

namespace quarry {

// How one result column comes from what a shard's row holds.
struct AggregateColumn {
  AggregateFunction function = AggregateFunction::kCount;
  // kCount: a count. kSum: a sum (decimal text for integers and decimals, double for floats), null for no rows. kAvg: sum, then at
  // position + 1 its count. kMin, kMax: the value. kCountDistinct: see DistinctPart.
  size_t position = 0;
  ColumnType input;   // Of the aggregated column; kUnknown for count(*).
  ColumnType result;  // PostgreSQL's: count int64; sum of int16/int32 int64, of int64 and decimal decimal, of floats the float;
                      // avg of integers and decimals decimal, of floats double; min and max the input's.
  // kCountDistinct over shards that may share values: not counted by the shards; its values come by AddDistinct.
  bool distinct_by_value = false;
};

struct AggregateSpec {
  size_t group_columns = 0;  // A row's first columns.
  std::vector<AggregateColumn> columns;
  RowHeader header;  // Of the result: group columns, then aggregates.
  std::optional<Predicate> having;   // Over positions of the result.
  std::vector<SortTerm> order;       // Over positions of the result; ends in all group columns.
  int64_t limit = 0;
  int64_t offset = 0;
  int64_t groups_max = 1'000'000;    // kResourceExhausted LIMIT_EXCEEDED beyond, saying what to do.
  int64_t distinct_max = 10'000'000; // Values held for count distinct, over all groups.
};

class AggregateMerge {
 public:
  explicit AggregateMerge(AggregateSpec spec);
  ~AggregateMerge();
  // Rows of a shard's partial aggregates: group columns, then what the columns need. NULL groups are groups.
  absl::Status Add(std::vector<Row> rows);
  // Rows of the distinct values of `column` (index in spec.columns): group columns, then the value, in any order, repeats allowed.
  absl::Status AddDistinct(size_t column, std::vector<Row> rows);
  // The groups that `having` keeps, in order, within offset and limit. Without group columns exactly one row, also of nothing
  // (unless `having` drops it). kOutOfRange VALUE_OUT_OF_RANGE when a sum does not fit its result type.
  absl::StatusOr<std::vector<Row>> Finish() &&;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// What a shard's error comes to where its sums of doubles have passed their range: kOutOfRange VALUE_OUT_OF_RANGE as of Finish.
// Shards do not tell which of several sums it was, so `column` then names each that it may be. Another error stays as it is.
absl::Status OfPartialSums(const AggregateSpec& spec, const absl::Status& status);

// True, false or nullopt (unknown) of a row; kHas is not for merges.
std::optional<bool> Evaluate(const Predicate& predicate, const Row& row);

}  // namespace quarry
