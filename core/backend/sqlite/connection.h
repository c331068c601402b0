// One open connection to the shard's file. One thread at a time.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "SQLiteCpp/Database.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/sqlite/job.h"
#include "core/model/statement.h"

namespace quarry::sqlite {

struct ConnectionOptions {
  std::string file;
  std::string shard;      // For messages.
  bool create = true;     // To write a file that is not there.
  int64_t bytes_max = 0;  // Of the database file; 0: no limit.
  int64_t cache_kib = 8192;
};

struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using OwnedStatement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

class Connection;
class Recorder;

// How a transaction begins.
enum class Begin : uint8_t {
  kNothing,   // It is open already.
  kRead,
  kWrite,
  kRecorded,  // Its changes are recorded, so that it can become a branch.
};

// A statement that has been opened and whose rows are taken bit by bit.
class Cursor {
 public:
  // `statement` is the cursor's own copy: its values stay bound.
  Cursor(Connection& connection, OwnedStatement prepared, Statement statement);
  ~Cursor();
  RowHeader header() const { return header_; }
  // Rows until `bytes_max` is reached; none at the end.
  absl::StatusOr<RowBatch> Next(size_t bytes_max, const JobControl& control);
  bool finished() const { return finished_; }
  bool writes() const { return sqlite3_stmt_readonly(prepared_.get()) == 0; }
  int64_t affected() const { return affected_; }

 private:
  friend class Connection;
  Connection& connection_;  // Outlives this.
  const Statement statement_;
  OwnedStatement prepared_;
  RowHeader header_;
  int64_t changes_before_;
  int64_t affected_ = 0;
  bool finished_ = false;
};

class Connection {
 public:
  enum class Mode { kRead, kWrite };
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const ConnectionOptions& options, Mode mode);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // To the end, with its check.
  absl::StatusOr<StatementResult> Run(const Statement& statement, const JobControl& control);
  absl::StatusOr<std::unique_ptr<Cursor>> OpenCursor(const Statement& statement, const JobControl& control);
  // kAborted TRANSACTION_ENDED when the transaction that should be open is not.
  absl::Status BeginAs(Begin begin);
  // Since BeginAs: rows by whatever means, or the schema by a user's own SQL.
  bool changed() const;
  // Null when nothing is recorded.
  Recorder* recorder() const { return recorder_.get(); }
  // BEGIN, COMMIT, SAVEPOINT …: no parameters, no rows, never interrupted.
  absl::Status Control(const std::string& sql);
  // The same for texts that seldom come again.
  absl::Status ControlOnce(const std::string& sql);
  // The result code of COMMIT; the transaction is still open after an error that left it so.
  int Commit();
  // Nothing happens outside a transaction.
  void Rollback();
  // Whether a statement leaves the database as it is; kInvalidArgument when it cannot be prepared.
  absl::StatusOr<bool> Reads(const Statement& statement);

  bool in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }
  sqlite3* handle() const { return handle_; }
  const std::string& shard() const { return options_.shard; }
  // Whose counters the work of now goes to; may be null.
  void CountFor(Counters* counters) { counters_ = counters; }

 private:
  friend class Cursor;
  friend class RawScope;
  struct Prepared {
    OwnedStatement statement;
    RowHeader header;  // For statements whose result types are asked of the database.
  };

  Connection(ConnectionOptions options, std::unique_ptr<SQLite::Database> database, Mode mode);
  absl::Status Configure();
  static int OnProgress(void* connection);
  static int OnAuthorize(void* connection, int action, const char* first, const char* second,
                         const char* database, const char* trigger);
  // From the cache; not for raw statements.
  absl::StatusOr<Prepared*> FindPrepared(const std::string& sql);
  absl::StatusOr<OwnedStatement> Prepare(const std::string& sql, bool keep);
  absl::Status CheckAllowed(sqlite3_stmt* prepared) const;
  absl::Status BindAll(sqlite3_stmt* prepared, const Statement& statement) const;
  absl::Status StepError(int code, const JobControl& control) const;
  absl::StatusOr<StatementResult> RunPrepared(sqlite3_stmt* prepared, const RowHeader& header,
                                              const Statement& statement, const JobControl& control);
  void Count(std::atomic<int64_t> Counters::*counter) {
    if (counters_ != nullptr) (counters_->*counter).fetch_add(1, std::memory_order_relaxed);
  }

  const ConnectionOptions options_;
  const Mode mode_;
  std::unique_ptr<SQLite::Database> database_;
  sqlite3* handle_;
  // Those for recorded transactions are their own: see Recorder.
  absl::flat_hash_map<std::string, std::unique_ptr<Prepared>> prepared_;
  absl::flat_hash_map<std::string, std::unique_ptr<Prepared>> prepared_recorded_;
  std::unique_ptr<Recorder> recorder_;
  int64_t changes_at_begin_ = 0;
  const JobControl* running_ = nullptr;  // What the progress handler watches.
  bool raw_ = false;                     // The authorizer is strict now.
  Counters* counters_ = nullptr;
};

// The result's columns by their declared types.
RowHeader HeaderOf(sqlite3_stmt* statement);

}  // namespace quarry::sqlite
