// What one transaction changes in the database, by SQLite's session extension: the changeset of a prepared branch, with
// the before-images that a replay is checked against. One thread at a time, that of its connection.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_session;

namespace quarry::sqlite {

class Connection;

// Tables that can be recorded whatever their rows are, found so under one version of the schema. Asking SQLite again costs as
// much as the commit's own work.
struct FitTables {
  std::string schema_version;
  std::set<std::string> names;
};

// The extension leaves some things out without a word: tables without a primary key, rows whose key is null, virtual
// tables, the schema. It also misses a DELETE of all rows that was compiled while nothing recorded, so a connection
// keeps statements of its own for recorded transactions. Goes before its connection's handle.
class Recorder {
 public:
  static absl::StatusOr<std::unique_ptr<Recorder>> Start(sqlite3* db, std::string shard);
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  ~Recorder();

  // From the connection's authorizer, for a user's own SQL.
  void NoteAction(int action);
  void NoteRaw() { raw_ = true; }
  bool schema_changed() const { return schema_changed_; }
  // What is written between the two is not recorded.
  void Pause();
  void Resume();

  // All changes until now. `before` reads the database as it was; `fit` is kept for the next time. kFailedPrecondition
  // TWO_PHASE_UNAVAILABLE when the transaction has done something that cannot be recorded.
  absl::StatusOr<std::string> Changeset(Connection& before, FitTables& fit) const;

 private:
  Recorder(sqlite3* db, std::string shard) : db_(db), shard_(std::move(shard)) {}
  static int OnTable(void* recorder, const char* table);
  absl::Status CheckTables(Connection& before, FitTables& fit) const;
  // True when it can be recorded whatever its rows are.
  absl::StatusOr<bool> CheckTable(Connection& before, const std::string& table) const;
  absl::StatusOr<bool> CheckKeys(Connection& before, const std::string& table, bool implied) const;
  absl::Status Refuse(const std::string& why) const;

  sqlite3* const db_;
  const std::string shard_;
  sqlite3_session* session_ = nullptr;
  std::set<std::string> tables_;  // Those that were written.
  bool raw_ = false;
  bool schema_changed_ = false;
};

}  // namespace quarry::sqlite
