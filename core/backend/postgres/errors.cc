#include "core/backend/postgres/errors.h"

#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/error.h"

namespace quarry::postgres {
namespace {

constexpr char kStaleFact[] = "stale_plan";

std::string Diagnostic(const PGresult* result, int field) {
  const char* text = PQresultErrorField(result, field);
  return text == nullptr ? "" : text;
}

// "a,b" of "Key (a, b)=(1, x) already exists.": the names alone, which stand before the values.
std::string KeyColumns(const std::string& detail) {
  const size_t open = detail.find('(');
  const size_t close = detail.find(")=(");
  if (open == std::string::npos || close == std::string::npos || close < open) return "";
  return absl::StrReplaceAll(detail.substr(open + 1, close - open - 1), {{", ", ","}});
}

// M of "Process N waits for ShareLock on transaction M; blocked by process P.": the first line is about the one that was
// stopped.
std::string Blocker(const std::string& detail) {
  constexpr std::string_view kBefore = " on transaction ";
  const size_t at = detail.substr(0, detail.find('\n')).find(kBefore);
  if (at == std::string::npos) return "";
  const size_t first = at + kBefore.size();
  return detail.substr(first, detail.find_first_not_of("0123456789", first) - first);
}

struct Mapped {
  absl::StatusCode code;
  const char* reason;
  std::string message;
};

Mapped Constraint(const ServerError& error) {
  const std::string on = error.table.empty() ? "" : absl::StrCat(" of table ", error.table);
  const std::string name = absl::StrCat("constraint ", error.constraint, on);
  const auto code = absl::StatusCode::kFailedPrecondition;
  if (error.sqlstate == "23505") {
    return {absl::StatusCode::kAlreadyExists, reason::kUniqueViolation,
            absl::StrCat("a row with the same key exists already: unique ", name)};
  }
  if (error.sqlstate == "23502") {
    return {code, reason::kConstraintViolation,
            absl::StrCat("column ", error.column, on, " must not be null; send a value for it")};
  }
  if (error.sqlstate == "23503") {
    return {code, reason::kConstraintViolation,
            absl::StrCat("a referenced row is missing, or the row is still referenced: foreign key ", name)};
  }
  return {code, reason::kConstraintViolation, absl::StrCat("the row is refused by ", name)};
}

Mapped BadValue(const ServerError& error) {
  const std::string& state = error.sqlstate;
  const auto code = absl::StatusCode::kInvalidArgument;
  if (state == "22003" || state == "22008" || state == "22001" || state == "22015") {
    return {code, reason::kValueOutOfRange, "a value is too large or too long for its column or type"};
  }
  if (state == "22012") return {code, reason::kInvalidField, "division by zero"};
  if (state == "22021") return {code, reason::kInvalidField, "text that is not valid UTF-8, or holds a NUL"};
  return {code, reason::kInvalidField, "a value is not of the form that its type asks for"};
}

Mapped BadSql(const ServerError& error) {
  const auto code = absl::StatusCode::kInvalidArgument;
  const std::string& state = error.sqlstate;
  if (state == "42501") {
    const std::string what = error.denied.empty() ? "" : absl::StrCat(": ", error.denied);
    return {absl::StatusCode::kPermissionDenied, reason::kPermissionDenied,
            absl::StrCat("the database user of this shard may not do this", what, "; grant it the right")};
  }
  const std::string where = error.position.empty() ? "" : absl::StrCat(" at character ", error.position);
  if (state == "42601") {
    if (absl::StrContains(error.message, "multiple commands")) {
      return {code, reason::kInvalidSql, "only one statement may be sent at a time"};
    }
    return {code, reason::kInvalidSql, absl::StrCat("the SQL has a syntax error", where)};
  }
  // These name tables, columns, functions and types only.
  for (const char* named : {"42703", "42P01", "42883", "42702", "42804", "42P18", "42P08", "42704", "42803"}) {
    if (state == named) return {code, reason::kInvalidSql, absl::StrCat("the SQL is refused: ", error.message, where)};
  }
  return {code, reason::kInvalidSql, absl::StrCat("the SQL is refused (SQLSTATE ", state, ")", where)};
}

Mapped Resources(const ServerError& error) {
  const auto code = absl::StatusCode::kResourceExhausted;
  if (error.of_prepare) {
    return {code, reason::kPoolExhausted,
            "all prepared transactions that the server can keep are in use: retry later, raise max_prepared_transactions "
            "(needs a restart), or end those that are left over"};
  }
  if (error.sqlstate == "53300") {
    return {code, reason::kPoolExhausted, "the database has no connection left; raise max_connections or use fewer"};
  }
  if (error.sqlstate == "53100") return {code, reason::kShardFull, "the database's disk is full"};
  return {code, reason::kShardFull, "the database ran out of memory or of another resource"};
}

bool IsShutdown(const std::string& state) {
  return state == "57P01" || state == "57P02" || state == "57P03" || absl::StartsWith(state, "08");
}

Mapped Map(const ServerError& error) {
  const std::string& state = error.sqlstate;
  using Code = absl::StatusCode;
  if (error.stale_plan) {
    return {Code::kAborted, reason::kSerializationFailure, "a table's definition has just changed; run it again"};
  }
  if (state == "40P01") {
    const std::string with = error.blocker.empty() ? "" : absl::StrCat(" with transaction ", error.blocker);
    return {Code::kAborted, reason::kDeadlock,
            absl::StrCat("the database ended a deadlock", with, " by stopping this; run it again")};
  }
  if (error.of_prepare && state == "55000") {
    return {Code::kFailedPrecondition, reason::kTwoPhaseUnavailable,
            "the server keeps no prepared transactions: set max_prepared_transactions to at least the number of "
            "transactions at a time, and restart it"};
  }
  if (state == "55P03") {
    return {Code::kAborted, reason::kSerializationFailure, "a lock was not free in time; run it again"};
  }
  if (absl::StartsWith(state, "40")) {
    return {Code::kAborted, reason::kSerializationFailure, "another transaction was in the way; run it again"};
  }
  if (absl::StartsWith(state, "23")) return Constraint(error);
  if (state == "25006") {
    return {Code::kFailedPrecondition, reason::kReadOnly,
            "writes are refused: the call, its transaction or the server is read-only; set allow_writes, or begin without read_only"};
  }
  if (IsShutdown(state)) return {Code::kUnavailable, reason::kShardUnavailable, "the database is shutting down or starting"};
  if (state == "57014") {
    return {Code::kDeadlineExceeded, reason::kDeadline, "the database stopped the statement: it ran too long or was cancelled"};
  }
  if (absl::StartsWith(state, "53")) return Resources(error);
  if (absl::StartsWith(state, "54")) {
    return {Code::kInvalidArgument, reason::kRowTooLarge, "the row or statement passes a limit of the database"};
  }
  if (absl::StartsWith(state, "22")) return BadValue(error);
  if (absl::StartsWith(state, "42") || absl::StartsWith(state, "0A") || absl::StartsWith(state, "3F")) {
    return BadSql(error);
  }
  if (state == "XX001" || state == "XX002") {
    return {Code::kDataLoss, reason::kShardCorrupt, "the database found its own data damaged"};
  }
  if (absl::StartsWith(state, "P0") || absl::StartsWith(state, "38")) {
    return {Code::kFailedPrecondition, reason::kDatabaseError, "code inside the database (a trigger or function) refused it"};
  }
  if (absl::StartsWith(state, "25") || absl::StartsWith(state, "2D")) {
    return {Code::kFailedPrecondition, reason::kDatabaseError, "this cannot be done in the present transaction"};
  }
  return {Code::kInternal, reason::kDatabaseError, "the database reported an error of its own"};
}

}  // namespace

ServerError ReadServerError(const PGresult* result) {
  ServerError error;
  error.sqlstate = Diagnostic(result, PG_DIAG_SQLSTATE);
  error.message = Diagnostic(result, PG_DIAG_MESSAGE_PRIMARY);
  error.position = Diagnostic(result, PG_DIAG_STATEMENT_POSITION);
  error.constraint = Diagnostic(result, PG_DIAG_CONSTRAINT_NAME);
  error.table = Diagnostic(result, PG_DIAG_TABLE_NAME);
  error.column = Diagnostic(result, PG_DIAG_COLUMN_NAME);
  if (error.sqlstate == "23505") error.key_columns = KeyColumns(Diagnostic(result, PG_DIAG_MESSAGE_DETAIL));
  if (error.sqlstate == "40P01") error.blocker = Blocker(Diagnostic(result, PG_DIAG_MESSAGE_DETAIL));
  // The server's own words, which name an object; those of a trigger's RAISE may hold anything.
  const bool denied = error.sqlstate == "42501" &&
                      absl::StartsWith(Diagnostic(result, PG_DIAG_SOURCE_FUNCTION), "aclcheck_error");
  if (denied) error.denied = error.message;
  error.of_prepare = (error.sqlstate == "53200" || error.sqlstate == "55000") &&
                     Diagnostic(result, PG_DIAG_SOURCE_FUNCTION) == "MarkAsPreparing";
  error.stale_plan = error.sqlstate == "26000" || (error.sqlstate == "0A000" &&
                     Diagnostic(result, PG_DIAG_SOURCE_FUNCTION) == "RevalidateCachedQuery");
  return error;
}

absl::Status StatusOf(const ServerError& error, const std::string& shard) {
  Mapped mapped = Map(error);
  ErrorDetail detail;
  detail.reason = mapped.reason;
  detail.facts = {{"shard", shard}};
  const auto add = [&detail](const char* key, const std::string& value) {
    if (!value.empty()) detail.facts.emplace(key, value);
  };
  add("sqlstate", error.sqlstate);
  add("constraint", error.constraint);
  add("table", error.table);
  add("column", error.column);
  add("columns", error.key_columns);
  add("blocking_transaction", error.blocker);
  if (error.of_prepare) add("setting", "max_prepared_transactions");
  if (error.stale_plan) add(kStaleFact, "true");
  if (mapped.code == absl::StatusCode::kUnavailable || mapped.code == absl::StatusCode::kResourceExhausted) {
    detail.retry_after = absl::Milliseconds(200);
  }
  return MakeError(mapped.code, absl::StrCat("shard ", shard, ": ", mapped.message), detail);
}

bool IsStalePlan(const absl::Status& status) {
  return absl::IsAborted(status) && DetailOf(status).facts.count(kStaleFact) > 0;
}

bool IsSharedLimit(const absl::Status& status) {
  if (!absl::IsAborted(status) && !absl::IsDeadlineExceeded(status)) return false;
  const ErrorDetail detail = DetailOf(status);
  const auto state = detail.facts.find("sqlstate");
  return state != detail.facts.end() && (state->second == "55P03" || state->second == "57014");
}

absl::Status Unavailable(const std::string& shard, std::string_view cause, absl::Duration retry_after) {
  ErrorDetail detail;
  detail.reason = reason::kShardUnavailable;
  detail.facts = {{"shard", shard}};
  detail.retry_after = retry_after;
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("shard ", shard, " is not available, nothing was applied: ", std::string(cause)), detail);
}

absl::Status Lost(const std::string& shard, bool writes, std::string_view cause) {
  if (!writes) {
    return Unavailable(shard, absl::StrCat("the connection broke: ", std::string(cause)), absl::Milliseconds(100));
  }
  return MakeError(absl::StatusCode::kUnknown, reason::kWriteOutcomeUnknown,
                   absl::StrCat("shard ", shard, ": the connection broke after the write was sent, so it may or may not "
                                "be applied; send it again with its request_id: ", std::string(cause)),
                   {{"shard", shard}});
}

absl::Status CommitUnknown(const std::string& shard, const std::string& transaction, std::string_view cause) {
  std::map<std::string, std::string> facts = {{"shard", shard}};
  if (!transaction.empty()) facts.emplace("transaction", transaction);
  return MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
                   absl::StrCat("shard ", shard, ": it is not known whether the transaction was committed: ",
                                std::string(cause)),
                   std::move(facts));
}

absl::Status DeadlineEnded(const std::string& shard, std::string_view stage) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                   absl::StrCat("deadline ended while shard ", shard, " was at it (stage ", std::string(stage), ")"),
                   {{"shard", shard}, {"stage", std::string(stage)}});
}

std::string CauseOf(const PGconn* connection) {
  const std::string message = PQerrorMessage(connection);
  const size_t end = message.find('\n');
  return end == 0 || message.empty() ? "no answer" : message.substr(0, end);
}

}  // namespace quarry::postgres
