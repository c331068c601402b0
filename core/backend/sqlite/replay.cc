#include "core/backend/sqlite/replay.h"

#include <sqlite3.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/sqlite/errors.h"
#include "core/backend/sqlite/outcomes.h"
#include "core/backend/sqlite/unique_index.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::sqlite {
namespace {

absl::Status DoesNotFit(const std::string& shard, const std::string& why) {
  return MakeError(absl::StatusCode::kDataLoss, reason::kShardCorrupt, why, {{"shard", shard}});
}

struct FinalizeIterator {
  void operator()(sqlite3_changeset_iter* iterator) const { sqlite3changeset_finalize(iterator); }
};

// SQLite skips the changes of a table that it does not know in this form.
absl::Status CheckTable(const Connection& connection, sqlite3_changeset_iter* change, const char* table, int columns) {
  const auto found = SchemaRows(connection.handle(), "SELECT pk > 0 FROM pragma_table_info(?1) ORDER BY cid", {table});
  unsigned char* keys = nullptr;
  sqlite3changeset_pk(change, &keys, nullptr);
  bool same = found.size() == static_cast<size_t>(columns) && keys != nullptr;
  for (size_t i = 0; same && i < found.size(); ++i) same = (found[i][0] == "1") == (keys[i] != 0);
  if (same) return absl::OkStatus();
  return DoesNotFit(connection.shard(), absl::StrCat("table ", table, " has other columns than when they were made"));
}

absl::Status CheckTables(const Connection& connection, std::string& changeset) {
  sqlite3_changeset_iter* bare = nullptr;
  if (sqlite3changeset_start(&bare, static_cast<int>(changeset.size()), changeset.data()) != SQLITE_OK) {
    return DoesNotFit(connection.shard(), "they cannot be read");
  }
  std::unique_ptr<sqlite3_changeset_iter, FinalizeIterator> change(bare);
  std::set<std::string> checked;
  int code = SQLITE_ROW;
  while ((code = sqlite3changeset_next(change.get())) == SQLITE_ROW) {
    const char* table = nullptr;
    int columns = 0;
    int operation = 0;
    int indirect = 0;
    sqlite3changeset_op(change.get(), &table, &columns, &operation, &indirect);
    if (table == nullptr) return DoesNotFit(connection.shard(), "they cannot be read");
    if (!checked.insert(table).second) continue;
    QUARRY_RETURN_IF_ERROR(CheckTable(connection, change.get(), table, columns));
  }
  return code == SQLITE_DONE ? absl::OkStatus() : DoesNotFit(connection.shard(), "they cannot be read");
}

struct Conflict {
  int kind = 0;
  std::string table;
};

int OnConflict(void* conflict, int kind, sqlite3_changeset_iter* change) {
  auto* const seen = static_cast<Conflict*>(conflict);
  seen->kind = kind;
  const char* table = nullptr;
  int columns = 0;
  int operation = 0;
  int indirect = 0;
  if (kind != SQLITE_CHANGESET_FOREIGN_KEY &&
      sqlite3changeset_op(change, &table, &columns, &operation, &indirect) == SQLITE_OK && table != nullptr) {
    seen->table = table;
  }
  return SQLITE_CHANGESET_ABORT;
}

const char* Describe(int kind) {
  switch (kind) {
    case SQLITE_CHANGESET_DATA:
      return "a row is not as it was when they were made";
    case SQLITE_CHANGESET_NOTFOUND:
      return "a row that they change is missing";
    case SQLITE_CHANGESET_CONFLICT:
      return "a row that they insert exists already";
    default:
      return "a constraint does not hold";
  }
}

absl::Status Apply(Connection& connection, std::string& changeset) {
  Conflict conflict;
  const int code = sqlite3changeset_apply_v2(connection.handle(), static_cast<int>(changeset.size()), changeset.data(),
                                             nullptr, &OnConflict, &conflict, nullptr, nullptr,
                                             SQLITE_CHANGESETAPPLY_NOSAVEPOINT);
  if (code == SQLITE_OK) return absl::OkStatus();
  if (conflict.kind != 0) {
    return DoesNotFit(connection.shard(), absl::StrCat(Describe(conflict.kind), ", table ", conflict.table));
  }
  if ((code & 0xFF) == SQLITE_CORRUPT) return DoesNotFit(connection.shard(), "they cannot be read");
  return ErrorOf(connection.handle(), code, connection.shard());
}

std::vector<std::vector<std::string>> BrokenKeys(sqlite3* db) {
  auto broken = SchemaRows(db, "PRAGMA foreign_key_check", {});
  std::sort(broken.begin(), broken.end());
  return broken;
}

// Broken keys that were there before are not the changes' own.
absl::Status CheckForeignKeys(const ConnectionOptions& options, const Connection& connection) {
  const auto after = BrokenKeys(connection.handle());
  if (after.empty()) return absl::OkStatus();
  QUARRY_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> reader,
                          Connection::Open(options, Connection::Mode::kRead));
  const auto before = BrokenKeys(reader->handle());
  if (std::includes(before.begin(), before.end(), after.begin(), after.end())) return absl::OkStatus();
  return DoesNotFit(connection.shard(), absl::StrCat("a foreign key does not hold after them, table ", after[0][0]));
}

absl::Status ReplayIn(const ConnectionOptions& options, Connection& connection, const std::string& transaction_id,
                      std::string& changeset, absl::Time now) {
  QUARRY_RETURN_IF_ERROR(CheckTables(connection, changeset));
  QUARRY_RETURN_IF_ERROR(Apply(connection, changeset));
  QUARRY_RETURN_IF_ERROR(CheckForeignKeys(options, connection));
  QUARRY_RETURN_IF_ERROR(InsertPart(connection, transaction_id, now));
  const int code = connection.Commit();
  return code == SQLITE_OK ? absl::OkStatus() : ErrorOf(connection.handle(), code, connection.shard());
}

}  // namespace

absl::Status ReplayBranch(const ConnectionOptions& options, const std::string& transaction_id, std::string changeset,
                          absl::Time now) {
  QUARRY_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection,
                          Connection::Open(options, Connection::Mode::kWrite));
  // What triggers and foreign keys did the first time is among the changes.
  sqlite3_db_config(connection->handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  QUARRY_RETURN_IF_ERROR(connection->ControlOnce("PRAGMA foreign_keys=OFF"));
  QUARRY_RETURN_IF_ERROR(connection->Control("BEGIN IMMEDIATE"));
  const absl::Status status = ReplayIn(options, *connection, transaction_id, changeset, now);
  if (!status.ok()) connection->Rollback();
  return status;
}

}  // namespace quarry::sqlite
