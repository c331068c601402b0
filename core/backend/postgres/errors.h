// PostgreSQL's errors as typed errors. Nothing of a row or of a statement's text is carried over.
#pragma once

#include <libpq-fe.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace quarry::postgres {

// What of a server's error is safe to show, and what names things.
struct ServerError {
  std::string sqlstate;
  std::string message;  // The server's primary message; shown only for classes whose messages name no data.
  std::string position;
  std::string constraint;
  std::string table;
  std::string column;
  std::string key_columns;  // Of a unique violation: "a,b".
  bool stale_plan = false;  // The table's definition changed under a prepared statement.
  bool of_prepare = false;  // PREPARE TRANSACTION found no place for itself: none is free, or the server has none at all.
  std::string denied;       // Which right the user lacks: "permission denied for table orders".
  std::string blocker;      // Of a deadlock: PostgreSQL's id of the transaction that was waited for.
};

ServerError ReadServerError(const PGresult* result);
// A finished statement's error. Codes by SQLSTATE, as in api.md; facts: shard, sqlstate and what the error names.
absl::Status StatusOf(const ServerError& error, const std::string& shard);

// True for the status of a statement whose prepared form no longer fits: prepare it anew and try again.
bool IsStalePlan(const absl::Status& status);
// True for a statement that the shared connections' own short limits stopped.
bool IsSharedLimit(const absl::Status& status);

// kUnavailable SHARD_UNAVAILABLE with RetryInfo: nothing was applied.
absl::Status Unavailable(const std::string& shard, std::string_view cause, absl::Duration retry_after);
// The connection broke with a statement under way: kUnknown WRITE_OUTCOME_UNKNOWN for a write, else as above.
absl::Status Lost(const std::string& shard, bool writes, std::string_view cause);
// kUnknown COMMIT_OUTCOME_UNKNOWN.
absl::Status CommitUnknown(const std::string& shard, const std::string& transaction, std::string_view cause);
absl::Status DeadlineEnded(const std::string& shard, std::string_view stage);
// The first line of libpq's message, without what it says about hosts that were tried before.
std::string CauseOf(const PGconn* connection);

}  // namespace quarry::postgres
