// Questions that may go to many shards, in the engine's words, before anything is checked against the catalog. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/model/condition.h"
#include "core/model/operation.h"
#include "core/model/order.h"

namespace quarry {

struct OrderTerm {
  std::string column;
  bool descending = false;
  NullPlacement nulls = NullPlacement::kDefault;
};

// Which shards a question may go to, and what it may cost; 0: as configured.
struct ScatterBounds {
  int64_t shards_max = 0;
  int64_t rows_max = 0;   // Rows returned; one more fails the call.
  int64_t bytes_max = 0;  // Of returned rows, as ByteSize.
};

// Query and List: rows of one table, in order.
struct QueryOperation {
  std::string table;
  std::vector<std::string> columns;  // Empty: all.
  std::optional<Condition> filter;
  std::vector<OrderTerm> order_by;  // The primary key always follows, unless `distinct`.
  bool distinct = false;
  int64_t limit = 0;  // 0: none.
  int64_t offset = 0;
  Target target;
  bool allow_partial = false;
  bool snapshot = false;  // At one cut over all shards; excludes allow_partial.
  ScatterBounds bounds;
  std::string resume_token;  // Goes on where the batch with this token ended. Query only.
  // Over everything that decides which rows come and in which order; a token of another request is refused.
  uint64_t request_hash = 0;
};

// Loads rows of a relation beside the rows of a page.
struct Include {
  std::string relation;              // "lines"; nested: "lines.product".
  std::vector<std::string> columns;  // Empty: all.
  int64_t rows_max = 0;              // For each row of the page; 0: as configured. More rows fail the call.
};

// One page of a Query. `query.limit` and `query.offset` are 0.
struct ListOperation {
  QueryOperation query;
  int64_t page_size = 0;  // 0: as configured.
  std::string page_token;
  std::vector<Include> includes;
  Freshness freshness;
  // All of the request that decides the answer: identical ones may share one asking of the shards. Empty: this one does not.
  std::string question;
};

// Where a stream or page goes on: inside of a token.
struct QueryPosition {
  Row after;              // The values of the whole order (order_by, then what the planner adds) at the last row.
  bool backward = false;  // Before `after` instead, nearest first.
  bool inclusive = false;  // A row at `after` itself counts as well.
  int64_t given = 0;      // Rows that the stream has given up to here; they count towards `limit`.
};

struct IncludedRows {
  std::string relation;
  RowHeader header;
  // Of which row of the page (or of the parent relation's rows) each is part; ascending.
  std::vector<uint32_t> parents;
  std::vector<Row> rows;
};

struct ListResult {
  RowHeader header;
  std::vector<Row> rows;
  std::string next_page_token;      // "": this is the last page.
  std::string previous_page_token;  // "": this is the first page.
  std::vector<IncludedRows> included;
  std::vector<std::pair<ShardId, absl::Status>> failed;  // Only with allow_partial.
  ServedBy served_by;
};

struct QueryBatch {
  std::vector<Row> rows;
  std::string resume_token;  // Goes on after the last of them.
};

// How a stream ended.
struct QuerySummary {
  int64_t rows = 0;
  std::vector<std::pair<ShardId, int64_t>> rows_read;    // By shard: what the merge took or left unused.
  std::vector<std::pair<ShardId, absl::Status>> failed;  // Only with allow_partial.
  ServedBy served_by;
};

struct AggregateResult {
  RowHeader header;  // Group columns, then aggregates.
  std::vector<Row> rows;
  std::vector<std::pair<ShardId, absl::Status>> failed;
  ServedBy served_by;
};

enum class AggregateFunction : uint8_t { kCount, kCountDistinct, kSum, kAvg, kMin, kMax };

struct AggregateTerm {
  AggregateFunction function = AggregateFunction::kCount;
  std::string column;  // Empty: count(*).
  std::string name;    // In the result; never empty.
};

struct AggregateOperation {
  std::string table;
  std::optional<Condition> filter;
  std::vector<std::string> group_by;
  std::vector<AggregateTerm> aggregates;
  std::optional<Condition> having;  // Over names of aggregates and columns of group_by.
  std::vector<OrderTerm> order_by;  // By the same names; the columns of group_by always follow.
  int64_t limit = 0;
  int64_t offset = 0;
  Target target;
  bool allow_partial = false;
  bool snapshot = false;  // At one cut over all shards; excludes allow_partial.
  ScatterBounds bounds;
  Freshness freshness;
  std::string question;  // As of ListOperation.
};

// UpdateWhere and DeleteWhere: every row that matches, in batches that each commit on their own.
struct BulkWriteOperation {
  std::string table;
  std::optional<Condition> filter;
  bool everything = false;  // Without a filter the caller must say that all rows are meant.
  Record set;               // Columns and their new values; empty: delete.
  bool deletes = false;
  Target target;
  bool many_shards = false;  // False: more than one shard is refused.
  int64_t batch_rows = 0;    // 0: as configured.
  std::string request_id;
  uint64_t request_hash = 0;
  LockFence fence;
};

struct BulkWriteResult {
  struct Part {
    ShardId shard{};
    int64_t rows = 0;
    int64_t batches = 0;
    absl::Status status;
  };
  std::vector<Part> parts;  // By shard.
  bool replayed = false;
  ServedBy served_by;
};

// Where a question goes and why.
struct ScatterRoute {
  std::vector<ShardId> shards;  // Ascending; none: the filter cannot be true.
  std::string words;            // One sentence for people.
};

// What Explain tells of a question.
struct Explanation {
  ScatterRoute route;
  struct ShardSql {
    ShardId shard{};
    std::string sql;  // Parameters stand as placeholders: no values.
    // Of an analysis only.
    int64_t rows = 0;
    absl::Duration time;
    std::string database_plan;  // What the database's own EXPLAIN says.
    absl::Status status;
  };
  std::vector<ShardSql> shards;
  std::string merge;                  // In words.
  std::vector<std::string> warnings;  // What makes it costly, each with what to do about it.
};

}  // namespace quarry
