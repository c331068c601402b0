// UpdateWhere and DeleteWhere -> the statements of one batch on one shard. Pure.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/order.h"
#include "core/model/predicate.h"
#include "core/model/query.h"
#include "core/plan/plan_query.h"
#include "core/plan/snapshot.h"
#include "core/plan/sql_texts.h"

namespace quarry {

struct BulkWriteLimits {
  int64_t batch_rows_max = 10'000;
  int64_t row_bytes_max = 2 << 20;  // Of the values that are set.
};

struct BulkWritePlan {
  const Table* table = nullptr;  // Of the snapshot.
  ScatterRoute route;
  Predicate predicate;
  bool deletes = false;
  std::vector<std::pair<size_t, Value>> set;  // Column and its new value.
  std::vector<SortColumn> key;                // The primary key: batches go along it.
  std::vector<SortTerm> key_order;            // The same over the rows that a batch returns.
  std::vector<Key> unmapped;                  // As in QueryPlan.
};

// All bad fields at once. Refused: neither filter nor `everything`; columns of the primary key or shard key in `set`
// (SHARD_KEY_IMMUTABLE); more than one shard without `many_shards` (SCATTER_NOT_ALLOWED, naming the shard key); reference tables of
// several shards; keys without an order that all databases share. The rest is RouteQuestion's.
absl::StatusOr<BulkWritePlan> PlanBulkWrite(const BulkWriteOperation& op, const Snapshot& snapshot, const BulkWriteLimits& limits);

// Writes at most `rows` matching rows, the first ones after the key `after` (null: from the start), and returns their keys in no
// order.
Statement BulkBatch(const BulkWritePlan& plan, const Row* after, int64_t rows, Dialect dialect, SqlTexts& texts);
// One row when a matching row comes after the key `after`.
Statement BulkRest(const BulkWritePlan& plan, const Row* after, Dialect dialect, SqlTexts& texts);

}  // namespace quarry
