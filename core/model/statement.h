// What a database sees, and one shard's share of an operation. Plain data.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/model/ids.h"
#include "core/model/type.h"
#include "core/model/value.h"

namespace quarry {

// How much a statement may return; 0: as much as it likes.
struct RowBounds {
  int64_t rows_max = 0;
  int64_t bytes_max = 0;  // Of values, by ByteSize.
};

// A condition on a statement's result; when it does not hold the step fails and nothing of it is applied.
// Backends evaluate it with EvaluateCheck (core/model/check.h).
struct Check {
  enum class Kind : uint8_t {
    kNone,
    kRowRequired,  // At least one row returned or affected, else kNotFound ROW_NOT_FOUND.
    kEtag,         // As kRowRequired, and EtagOf(first row) == etag, else kAborted ETAG_MISMATCH.
    kMatch,        // At least one row returned, else kFailedPrecondition PRECONDITION_FAILED: the caller's filter refuses the row.
    kRowsWithin,   // No more rows and bytes returned than the bounds, else kResourceExhausted LIMIT_EXCEEDED.
    kFence,        // At least one row returned, else kFailedPrecondition LOCK_LOST: `table` is the name of the lock.
  };
  Kind kind = Kind::kNone;
  std::string etag;
  std::string table;  // For the message.
  bool precondition = false;  // The caller asked for the row to exist: a missing one is kFailedPrecondition.
  RowBounds bounds;           // Of kRowsWithin.
};

// A read by key in the form that takes many keys, for a backend that joins the reads of several callers: the same columns,
// and one array parameter for each parameter of the single form.
struct ManyKeysForm {
  std::shared_ptr<const std::string> sql;
  std::vector<size_t> key_positions;  // Parameter -> the result column that equals it.
};

// SQL with parameters $1, $2, … (PostgreSQL) or ?1, ?2, … (SQLite). Values are always bound.
// A shared SQL text is the key of the prepared-statement caches.
struct Statement {
  std::shared_ptr<const std::string> sql;
  std::vector<Value> params;
  // The declared types of the parameters, in order; empty means: infer from the values (raw SQL).
  std::shared_ptr<const std::vector<ColumnType>> param_types;
  // The types of the result's columns when they are known; empty means: ask the database (raw SQL).
  std::shared_ptr<const std::vector<ColumnType>> result_types;
  bool returns_rows = false;
  bool writes = false;
  bool locks = false;  // Takes locks on what it reads: shards are asked in order.
  bool own_tables = false;  // Of Quarry's own tables, which the backend makes where they are missing.
  bool raw = false;  // A user's own SQL: never on shared connections or on the loop's own thread.
  Check check;
  std::shared_ptr<const ManyKeysForm> many;  // Null where there is none.
};

struct ColumnHeader {
  std::string name;
  ColumnType type;
};
using RowHeader = std::shared_ptr<const std::vector<ColumnHeader>>;

// Rows of one statement, in the database's order. `header` may be null when the caller knows the columns.
struct RowBatch {
  RowHeader header;
  std::vector<Row> rows;
};

struct StatementResult {
  RowBatch batch;
  int64_t affected = 0;  // Rows written.
};

// One unit of a task: its statements run in order; when one fails or its check does, none of the step remains.
struct Step {
  std::vector<Statement> statements;
  // Which item of the operation this answers (its mutation or its key); for merging.
  uint32_t item = 0;
};

// Makes a write repeatable: looked up and stored in the write's own transaction.
struct RequestGuard {
  std::string request_id;    // Canonical UUID.
  uint64_t request_hash = 0;  // Of the whole request: another hash under the same id is refused.
};

enum class Atomicity : uint8_t {
  kAll,   // One transaction; the first failing step fails the task.
  kEach,  // Each step stands alone; failures are reported per step.
};

// One shard's share of an operation.
struct Task {
  ShardId shard{};
  std::vector<Step> steps;
  Atomicity atomicity = Atomicity::kAll;
  std::optional<RequestGuard> guard;
  bool uses_own_tables() const {
    for (const Step& step : steps) {
      for (const Statement& statement : step.statements) {
        if (statement.own_tables) return true;
      }
    }
    return false;
  }
  bool writes() const {
    for (const Step& step : steps) {
      for (const Statement& statement : step.statements) {
        if (statement.writes) return true;
      }
    }
    return false;
  }
};

struct StepResult {
  absl::Status status;                      // Never an error under Atomicity::kAll.
  std::vector<StatementResult> statements;  // One per statement; empty when status is an error.
};

struct TaskResult {
  std::vector<StepResult> steps;  // One per step, in order.
  bool replayed = false;          // The stored result of an earlier try with the same guard.
};

}  // namespace quarry
