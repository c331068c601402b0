#include "core/backend/sqlite/errors.h"

#include <sqlite3.h>

#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/backend/sqlite/unique_index.h"
#include "core/base/error.h"

namespace quarry::sqlite {
namespace {

using Facts = std::map<std::string, std::string>;

absl::Status Make(absl::StatusCode code, std::string_view reason, std::string_view message, Facts facts) {
  return MakeError(code, reason, message, std::move(facts));
}

std::string On(std::string_view shard) { return absl::StrCat(" on shard ", std::string(shard)); }

// "t.a, t.b" -> t and {a, b}.
std::pair<std::string, std::vector<std::string>> TableAndColumns(const std::string& text) {
  std::string table;
  std::vector<std::string> columns;
  for (absl::string_view part : absl::StrSplit(text, ", ")) {
    const std::vector<std::string> names = absl::StrSplit(part, absl::MaxSplits('.', 1));
    if (names.size() != 2) continue;
    table = names[0];
    columns.push_back(names[1]);
  }
  return {table, columns};
}

bool IsName(const std::string& text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '_') return false;
  }
  return true;
}

absl::Status UniqueError(sqlite3* db, int code, const std::string& what, std::string_view shard) {
  Facts facts{{"shard", std::string(shard)}};
  absl::string_view index = what;
  if (absl::ConsumePrefix(&index, "index '") && absl::ConsumeSuffix(&index, "'")) {
    facts["constraint"] = std::string(index);
    facts["columns"] = "";
  } else {
    const auto [table, columns] = TableAndColumns(what);
    const bool primary = code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID;
    facts["table"] = table;
    facts["columns"] = absl::StrJoin(columns, ",");
    facts["constraint"] = primary ? PrimaryKeyName(table) : UniqueIndexName(db, table, columns);
  }
  const std::string message =
      absl::StrCat("a row with the same ", facts["columns"].empty() ? "key" : facts["columns"],
                   " exists already", On(shard), " (constraint ", facts["constraint"], ")");
  return Make(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation, message, std::move(facts));
}

absl::Status ConstraintError(sqlite3* db, int code, std::string_view shard) {
  std::string what = sqlite3_errmsg(db);
  if (const size_t colon = what.find("constraint failed: "); colon != std::string::npos) {
    what = what.substr(colon + std::strlen("constraint failed: "));
  }
  Facts facts{{"shard", std::string(shard)}};
  constexpr auto kCode = absl::StatusCode::kFailedPrecondition;
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return UniqueError(db, code, what, shard);
    case SQLITE_CONSTRAINT_NOTNULL: {
      const auto [table, columns] = TableAndColumns(what);
      facts["table"] = table;
      facts["column"] = columns.empty() ? "" : columns[0];
      const std::string message =
          absl::StrCat("column ", facts["column"], " of ", table, " must not be null", On(shard));
      return Make(kCode, reason::kConstraintViolation, message, std::move(facts));
    }
    case SQLITE_CONSTRAINT_FOREIGNKEY:
      // SQLite does not say which one.
      return Make(kCode, reason::kConstraintViolation,
                  absl::StrCat("a foreign key does not hold", On(shard),
                               ": the row that is referred to is missing, or is still referred to"),
                  std::move(facts));
    case SQLITE_CONSTRAINT_DATATYPE:
      return Make(absl::StatusCode::kInvalidArgument, reason::kInvalidField,
                  absl::StrCat("a value's type does not fit its column in a STRICT table", On(shard)),
                  std::move(facts));
    case SQLITE_CONSTRAINT_TRIGGER:
      return Make(kCode, reason::kConstraintViolation, absl::StrCat("a trigger refused the write", On(shard)),
                  std::move(facts));
    default: {
      // Without a name SQLite gives the expression, which may quote the schema's values.
      const bool named = code == SQLITE_CONSTRAINT_CHECK && IsName(what);
      if (named) facts["constraint"] = what;
      const std::string message =
          absl::StrCat("a check constraint does not hold", On(shard), named ? ": " : "", named ? what : "");
      return Make(kCode, reason::kConstraintViolation, message, std::move(facts));
    }
  }
}

// A statement that cannot be prepared: which kind of mistake and where, without repeating the text.
absl::Status SqlError(sqlite3* db, std::string_view shard) {
  const absl::string_view what = sqlite3_errmsg(db);
  std::string kind = "the statement is not valid SQL for SQLite";
  for (const absl::string_view known :
       {"no such table", "no such column", "no such function", "ambiguous column name", "incomplete input",
        "wrong number of arguments"}) {
    if (absl::StartsWith(what, known)) kind = std::string(known);
  }
  if (absl::StrContains(what, "syntax error")) kind = "syntax error";
  const int offset = sqlite3_error_offset(db);
  if (offset >= 0) absl::StrAppend(&kind, " at byte ", offset);
  return Make(absl::StatusCode::kInvalidArgument, reason::kInvalidSql, absl::StrCat(kind, On(shard)),
              {{"shard", std::string(shard)}});
}

absl::Status Unavailable(std::string_view shard, std::string_view why) {
  ErrorDetail detail;
  detail.reason = reason::kShardUnavailable;
  detail.facts = {{"shard", std::string(shard)}};
  detail.retry_after = absl::Seconds(1);
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("shard ", std::string(shard), " cannot be used: ", std::string(why)), detail);
}

}  // namespace

absl::Status ErrorOf(sqlite3* db, int code, std::string_view shard) {
  const Facts facts{{"shard", std::string(shard)}};
  const std::string on = On(shard);
  switch (code & 0xFF) {
    case SQLITE_CONSTRAINT:
      return ConstraintError(db, code, shard);
    case SQLITE_ERROR:
      return SqlError(db, shard);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Make(absl::StatusCode::kAborted, reason::kSerializationFailure,
                  absl::StrCat("the database file is busy", on, "; run the whole transaction again"), facts);
    case SQLITE_FULL:
      return Make(absl::StatusCode::kResourceExhausted, reason::kShardFull,
                  absl::StrCat("no space is left", on, "; free disk space or raise the shard's size limit"),
                  facts);
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return Unavailable(shard, "its file cannot be written; check the rights of the file and its directory");
    case SQLITE_CANTOPEN:
      return Unavailable(shard, "its file cannot be opened; check that the directory exists and its rights");
    case SQLITE_IOERR: {
      const int cause = sqlite3_system_errno(db);
      return Unavailable(shard, absl::StrCat("its disk reported an error", cause == 0 ? "" : ": ",
                                             cause == 0 ? "" : std::strerror(cause)));
    }
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Make(absl::StatusCode::kDataLoss, reason::kShardCorrupt,
                  absl::StrCat("the database file is damaged or is not a SQLite database", on,
                               "; restore it from a backup"),
                  facts);
    case SQLITE_TOOBIG:
      return Make(absl::StatusCode::kInvalidArgument, reason::kRowTooLarge,
                  absl::StrCat("a value or row is larger than SQLite can hold", on), facts);
    case SQLITE_RANGE:
      return Make(absl::StatusCode::kInvalidArgument, reason::kValueOutOfRange,
                  absl::StrCat("a value is too large for its type", on), facts);
    case SQLITE_MISMATCH:
      return Make(absl::StatusCode::kInvalidArgument, reason::kInvalidField,
                  absl::StrCat("a value does not fit where the statement uses it", on), facts);
    case SQLITE_AUTH:
      return Make(
          absl::StatusCode::kInvalidArgument, reason::kInvalidSql,
          absl::StrCat("the statement does what raw SQL may not do", on,
                       ": transaction control, ATTACH, VACUUM, settings by PRAGMA, temporary objects and "
                       "quarry_* tables are refused"),
          facts);
    case SQLITE_NOMEM:
      return Make(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded,
                  absl::StrCat("the statement needs more memory than there is", on), facts);
    default:
      return Make(absl::StatusCode::kInternal, reason::kDatabaseError,
                  absl::StrCat("SQLite reported \"", sqlite3_errstr(code), "\" (", code, ")", on), facts);
  }
}

absl::Status CommitErrorOf(sqlite3* db, int code, std::string_view shard, std::string_view unknown_reason) {
  if ((code & 0xFF) != SQLITE_IOERR) return ErrorOf(db, code, shard);
  return Make(
      absl::StatusCode::kUnknown, unknown_reason,
      absl::StrCat("the disk reported an error while a commit was being stored", On(shard),
                   ": it may or may not survive; read the rows back, or repeat with the same request id"),
      {{"shard", std::string(shard)}});
}

absl::Status OpenError(std::string_view shard, std::string_view file, int code, int system_error) {
  if ((code & 0xFF) == SQLITE_NOTADB || (code & 0xFF) == SQLITE_CORRUPT) {
    return Make(absl::StatusCode::kDataLoss, reason::kShardCorrupt,
                absl::StrCat(std::string(file), " is damaged or is not a SQLite database", On(shard),
                             "; restore it from a backup"),
                {{"shard", std::string(shard)}});
  }
  const char* cause = system_error != 0 ? std::strerror(system_error) : sqlite3_errstr(code);
  return Unavailable(shard, absl::StrCat("cannot open ", std::string(file), ": ", cause,
                                         "; check that its directory exists and may be written"));
}

absl::Status DeadlineEnded(std::string_view shard, std::string_view stage) {
  const std::string where(stage);
  return Make(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
              absl::StrCat("deadline ended", On(shard),
                           where == "pool" ? " while waiting for the writer" : " while running"),
              {{"shard", std::string(shard)}, {"stage", where}});
}

absl::Status TransactionEnded(std::string_view shard) {
  return Make(absl::StatusCode::kAborted, reason::kTransactionEnded,
              absl::StrCat("the transaction has ended", On(shard), "; run it again from its start"),
              {{"shard", std::string(shard)}});
}

absl::Status ReadOnly(std::string_view shard) {
  return Make(absl::StatusCode::kFailedPrecondition, reason::kReadOnly,
              absl::StrCat("writes are refused", On(shard), ": the call or its transaction is read-only; set allow_writes, or begin "
                           "without read_only"),
              {{"shard", std::string(shard)}});
}

absl::Status QueueFull(std::string_view shard, std::string_view queue, size_t size) {
  ErrorDetail detail;
  detail.reason = reason::kPoolExhausted;
  detail.facts = {{"shard", std::string(shard)},
                  {"pool", std::string(queue)},
                  {"size", "1"},
                  {"waiters", absl::StrCat(size)}};
  detail.retry_after = absl::Milliseconds(100);
  return MakeError(
      absl::StatusCode::kResourceExhausted,
      absl::StrCat(size, " calls wait for the ", std::string(queue), On(shard), " already; retry later"),
      detail);
}

absl::Status Stopped(std::string_view shard) { return Unavailable(shard, "it is being closed"); }

absl::Status InDoubt(std::string_view shard, std::string_view transaction_id, std::string_view home) {
  ErrorDetail detail;
  detail.reason = reason::kTransactionInDoubt;
  detail.facts = {{"shard", std::string(shard)},
                  {"transaction", std::string(transaction_id)},
                  {"home", std::string(home)}};
  detail.retry_after = absl::Seconds(1);
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("shard ", std::string(shard), " waits for the end of transaction ",
                                std::string(transaction_id), ", whose decision is at shard ", std::string(home),
                                ": retry, and see to it that ", std::string(home), " can be reached"),
                   detail);
}

absl::Status GateOccupied(std::string_view shard) {
  ErrorDetail detail;
  detail.reason = reason::kTransactionInDoubt;
  detail.facts = {{"shard", std::string(shard)}};
  detail.retry_after = absl::Milliseconds(100);
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("the deadline ended while commits and snapshot readers of shard ", std::string(shard),
                                " were ahead at its gate; retry"),
                   detail);
}

absl::Status TwoPhaseUnavailable(std::string_view shard, std::string_view why) {
  return Make(absl::StatusCode::kFailedPrecondition, reason::kTwoPhaseUnavailable,
              absl::StrCat("shard ", std::string(shard), " cannot take part in a transaction over several shards: ",
                           std::string(why)),
              {{"shard", std::string(shard)}});
}

absl::Status Quarantined(std::string_view shard, std::string_view file, std::string_view sidecar, std::string_view why) {
  return Make(absl::StatusCode::kDataLoss, reason::kShardCorrupt,
              absl::StrCat("shard ", std::string(shard), " takes no writes: ", std::string(why), ". Restore ",
                           std::string(file), " and ", std::string(sidecar),
                           " together from a backup; or, to give up what the sidecar holds, stop the server, move ",
                           std::string(sidecar), " and its -wal and -shm files away and start it again"),
              {{"shard", std::string(shard)}});
}

std::string UniqueName(std::string_view table, const std::vector<std::string>& columns) {
  return absl::StrCat(std::string(table), "_", absl::StrJoin(columns, "_"), "_key");
}

std::string PrimaryKeyName(std::string_view table) { return absl::StrCat(std::string(table), "_pkey"); }

}  // namespace quarry::sqlite
