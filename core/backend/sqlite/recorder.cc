#include "core/backend/sqlite/recorder.h"

#include <sqlite3.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/backend/sqlite/connection.h"
#include "core/backend/sqlite/errors.h"
#include "core/backend/sqlite/unique_index.h"
#include "core/base/status_macros.h"

namespace quarry::sqlite {
namespace {

std::string Quoted(const std::string& name) {
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

bool HasRow(sqlite3* db, const std::string& sql) { return !SchemaRows(db, sql.c_str(), {}).empty(); }

struct FreeChangeset {
  void operator()(void* changeset) const { sqlite3_free(changeset); }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Recorder>> Recorder::Start(sqlite3* db, std::string shard) {
  std::unique_ptr<Recorder> recorder(new Recorder(db, std::move(shard)));
  int code = sqlite3session_create(db, "main", &recorder->session_);
  if (code == SQLITE_OK) code = sqlite3session_attach(recorder->session_, nullptr);
  if (code != SQLITE_OK) return ErrorOf(db, code, recorder->shard_);
  sqlite3session_table_filter(recorder->session_, &Recorder::OnTable, recorder.get());
  return recorder;
}

Recorder::~Recorder() {
  if (session_ != nullptr) sqlite3session_delete(session_);
}

int Recorder::OnTable(void* recorder, const char* table) {
  static_cast<Recorder*>(recorder)->tables_.insert(table);
  return 1;
}

void Recorder::NoteAction(int action) {
  switch (action) {
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_VTABLE:
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_INDEX:
    case SQLITE_DROP_TRIGGER:
    case SQLITE_DROP_VIEW:
    case SQLITE_DROP_VTABLE:
    case SQLITE_ALTER_TABLE:
    case SQLITE_ANALYZE:
      schema_changed_ = true;
      return;
    default:
      return;
  }
}

void Recorder::Pause() { sqlite3session_enable(session_, 0); }
void Recorder::Resume() { sqlite3session_enable(session_, 1); }

absl::Status Recorder::Refuse(const std::string& why) const {
  return TwoPhaseUnavailable(shard_, absl::StrCat("the transaction ", why,
                                                  ": make this change in a transaction of its own on this shard"));
}

absl::StatusOr<bool> Recorder::CheckKeys(Connection& before, const std::string& table, bool implied) const {
  const auto columns =
      SchemaRows(db_, "SELECT name, \"notnull\", type FROM pragma_table_xinfo(?1) WHERE pk > 0 ORDER BY pk", {table});
  const bool rowid = columns.size() == 1 && absl::EqualsIgnoreCase(columns[0][2], "INTEGER");
  if (implied || rowid) return true;
  for (size_t i = 0; i < columns.size(); ++i) {
    // Only the first is found by the key's index, and Quarry's own statements write whole keys.
    if (columns[i][1] == "1" || (i > 0 && !raw_)) continue;
    const std::string find =
        absl::StrCat("SELECT 1 FROM ", Quoted(table), " WHERE ", Quoted(columns[i][0]), " IS NULL LIMIT 1");
    if (HasRow(db_, find) || HasRow(before.handle(), find)) {
      return Refuse(absl::StrCat("writes table ", table, ", where rows have a null in their primary key, which cannot be ",
                                 "made durable before the commit"));
    }
  }
  return false;
}

absl::StatusOr<bool> Recorder::CheckTable(Connection& before, const std::string& table) const {
  const auto found =
      SchemaRows(db_, "SELECT type, wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ?1", {table});
  if (absl::StartsWithIgnoreCase(table, "sqlite_") || found.empty()) {
    return Refuse(absl::StrCat("writes table ", table, ", which is SQLite's own"));
  }
  if (found[0][0] != "table") {
    return Refuse(absl::StrCat("writes table ", table, ", which belongs to a virtual table"));
  }
  if (SchemaRows(db_, "SELECT 1 FROM pragma_table_xinfo(?1) WHERE pk > 0", {table}).empty()) {
    return Refuse(absl::StrCat("writes table ", table, ", which has no primary key"));
  }
  return CheckKeys(before, table, found[0][1] == "1" || found[0][2] == "1");
}

absl::Status Recorder::CheckTables(Connection& before, FitTables& fit) const {
  const auto version = SchemaRows(db_, "PRAGMA schema_version", {});
  if (version.empty() || version[0][0] != fit.schema_version) {
    fit.names.clear();
    fit.schema_version = version.empty() ? "" : version[0][0];
  }
  for (const std::string& table : tables_) {
    if (fit.names.contains(table)) continue;
    QUARRY_ASSIGN_OR_RETURN(const bool always, CheckTable(before, table));
    if (always) fit.names.insert(table);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Recorder::Changeset(Connection& before, FitTables& fit) const {
  if (schema_changed_) return Refuse("changes the schema");
  QUARRY_RETURN_IF_ERROR(CheckTables(before, fit));
  int size = 0;
  void* bytes = nullptr;
  const int code = sqlite3session_changeset(session_, &size, &bytes);
  const std::unique_ptr<void, FreeChangeset> owned(bytes);
  if (code == SQLITE_SCHEMA) {
    return Refuse("writes a table with generated columns, or one whose columns have changed meanwhile, which SQLite's "
                  "session extension cannot record");
  }
  if (code != SQLITE_OK) return ErrorOf(db_, code, shard_);
  return std::string(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

}  // namespace quarry::sqlite
