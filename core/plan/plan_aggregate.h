// A question for aggregates -> what each shard is asked, and how the answers are merged. Pure.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/merge/aggregate.h"
#include "core/model/query.h"
#include "core/model/statement.h"
#include "core/plan/snapshot.h"
#include "core/plan/sql_texts.h"

namespace quarry {

// One shard's share.
struct AggregatePart {
  ShardId shard{};
  Task partial;                                    // For AggregateMerge::Add.
  std::vector<std::pair<size_t, Task>> distinct;   // Column and its values, for AggregateMerge::AddDistinct.
};

struct AggregatePlan {
  ScatterRoute route;
  std::vector<AggregatePart> parts;  // Ascending by shard; none: the filter cannot be true, and the merge is of nothing.
  AggregateSpec spec;
  std::vector<Key> unmapped;  // Shard keys that a directory may know: learn them, then plan again.
};

// What a merge may hold.
struct AggregateLimits {
  int64_t groups_max = 250'000;
  int64_t values_max = 1'000'000;  // Of counts distinct, over all groups.
};

// At most so many aggregates, and so many group columns.
inline constexpr size_t kAggregatesMax = 64;

// A count distinct is counted by the shards when equal values cannot lie on two of them; the first groups alone are asked for when
// that is enough. Reference tables are asked on `spread`. All mistakes in group_by, aggregates, filter, having, order_by, limit and
// offset at once; the rest is RouteQuestion's.
absl::StatusOr<AggregatePlan> PlanAggregate(const AggregateOperation& op, const Snapshot& snapshot, ShardId spread,
                                            SqlTexts& texts, const AggregateLimits& limits);

}  // namespace quarry
