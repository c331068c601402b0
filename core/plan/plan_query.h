// A question for ordered rows -> one statement for each shard that may hold some, and how their runs are merged. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/merge/ordered_merge.h"
#include "core/model/predicate.h"
#include "core/model/query.h"
#include "core/plan/filter.h"
#include "core/plan/snapshot.h"
#include "core/plan/sql_texts.h"

namespace quarry {

// What of a question's answer is wanted now.
struct QueryPart {
  const QueryPosition* position = nullptr;  // Null: from the start. Outlives the call.
  int64_t limit = 0;                        // Rows from there on, not counting an offset; 0: all.
  ShardId spread{};                         // For reference tables.
  bool pinned = false;                      // To `spread`, for it is a transaction's shard.
};

struct QueryPlan {
  const Table* table = nullptr;  // Of the snapshot.
  ScatterRoute route;
  std::vector<std::pair<ShardId, Statement>> statements;  // Ascending by shard; none: there are no rows to be had.
  // Any of these shards may answer instead (reference tables).
  std::vector<std::pair<ShardId, Statement>> alternates;
  RowHeader header;         // Of the asked columns,
  size_t visible = 0;       // which are so many first values of a shard's row; the others are sort keys.
  OrderedMergeSpec merge;   // Its order lists the values of a QueryPosition.
  std::vector<Key> unmapped;  // Shard keys that a directory may know: learn them, then plan again.
};

// The rows' order: what is asked, then the primary key (with `distinct`: then all selected columns). A position makes rows start
// after it (backward: before it, in the opposite order). All mistakes in columns, order_by, filter, limit and offset at once;
// The rest is RouteQuestion's. A position that does not fit the table's columns
// is kInvalidArgument at `token_field`.
absl::StatusOr<QueryPlan> PlanQuery(const QueryOperation& op, const QueryPart& part, const Snapshot& snapshot, SqlTexts& texts,
                                    std::string_view token_field = "page_token");

// One term of a statement's order.
struct SortColumn {
  ColumnUse use;
  bool descending = false;
  bool nulls_first = false;
};
// Writes what is true of the rows that come after `position` (in the order given). One value per term.
void WriteAfter(const std::vector<SortColumn>& order, const Row& position, bool inclusive, std::string_view alias,
                SqlText& sql);
// "t0"."a", "t0"."b" DESC NULLS LAST: placement of nulls only where the database would do otherwise.
void WriteOrder(const std::vector<SortColumn>& order, std::string_view alias, SqlText& sql);

}  // namespace quarry
