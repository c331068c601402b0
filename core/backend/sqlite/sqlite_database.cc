#include "core/backend/sqlite/sqlite_database.h"

#include <optional>
#include <utility>

#include "absl/synchronization/notification.h"
#include "core/backend/sqlite/database_parts.h"
#include "core/backend/sqlite/errors.h"
#include "core/backend/sqlite/introspect.h"
#include "core/backend/sqlite/outcomes.h"
#include "core/backend/sqlite/steps.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace sqlite {
namespace {

absl::Status RunScriptOn(Connection& connection, const std::string& sql) {
  QUARRY_RETURN_IF_ERROR(connection.Control("BEGIN IMMEDIATE"));
  const int code = sqlite3_exec(connection.handle(), sql.c_str(), nullptr, nullptr, nullptr);
  absl::Status status =
      code == SQLITE_OK ? absl::OkStatus() : ErrorOf(connection.handle(), code, connection.shard());
  if (status.ok()) {
    const int committed = connection.Commit();
    if (committed != SQLITE_OK) status = ErrorOf(connection.handle(), committed, connection.shard());
  }
  connection.Rollback();
  return status;
}

std::shared_ptr<Branches> MakeBranches(const SqliteOptions& options, std::shared_ptr<Gate> gate,
                                       std::shared_ptr<WriterQueue> queue, Connection& connection) {
  auto branches = std::make_shared<Branches>(ConnectionOptionsOf(options), std::move(gate), std::move(queue),
                                             options.on_quarantine);
  branches->Adopt(connection);
  return branches;
}

}  // namespace

ConnectionOptions ConnectionOptionsOf(const SqliteOptions& options) {
  ConnectionOptions connection;
  connection.file = options.file;
  connection.shard = options.shard;
  connection.create = options.create;
  connection.bytes_max = options.bytes_max;
  connection.cache_kib = options.cache_kib;
  return connection;
}

DatabaseParts::DatabaseParts(const SqliteOptions& options, FileLock lock, std::unique_ptr<Connection> writer,
                             std::unique_ptr<Connection> checkpointer)
    : connection_(ConnectionOptionsOf(options)),
      strict_snapshots_(options.strict_snapshots),
      lock_(std::move(lock)),
      gate_(std::make_shared<Gate>()),
      writer_queue_(std::make_shared<WriterQueue>(options.shard, static_cast<size_t>(options.waiters_max))),
      worker_queue_(std::make_shared<WorkerQueue>()),
      branches_(MakeBranches(options, gate_, writer_queue_, *writer)),
      closes_branches_(*branches_),
      checkpointer_(std::move(checkpointer)),
      writer_(writer_queue_, std::move(writer), checkpointer_, options.request_keep,
              options.strict_snapshots ? gate_ : nullptr),
      workers_(worker_queue_, options.workers) {}

absl::StatusOr<ShardSchema> DatabaseParts::Introspect(const std::vector<std::string>& tables) {
  QUARRY_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection,
                          Connection::Open(connection_, Connection::Mode::kRead));
  return IntrospectTables(*connection, tables);
}

absl::Status DatabaseParts::RunScript(const std::string& sql) {
  if (const std::optional<absl::Status> obstacle = branches_->Obstacle()) return *obstacle;
  absl::Notification finished;
  absl::Status status;
  LeaseRequest request;
  request.control = std::make_shared<JobControl>(absl::InfiniteFuture());
  request.granted = [&sql, &status, &finished](absl::StatusOr<std::shared_ptr<Lane>> lane) {
    if (!lane.ok()) {
      status = lane.status();
      return finished.Notify();
    }
    (*lane)->Submit([&](Connection& connection) {
      status = RunScriptOn(connection, sql);
      finished.Notify();
    });
  };
  QUARRY_RETURN_IF_ERROR(writer_queue_->Push(std::move(request)));
  finished.WaitForNotification();
  return status;
}

}  // namespace sqlite

absl::StatusOr<std::shared_ptr<SqliteDatabase>> SqliteDatabase::Open(SqliteOptions options) {
  using sqlite::Connection;
  if (options.workers < 1 || options.waiters_max < 1) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidField,
                     "a SQLite shard needs at least one worker and one place for a waiting write",
                     {{"shard", options.shard}});
  }
  QUARRY_ASSIGN_OR_RETURN(sqlite::FileLock lock, sqlite::FileLock::Take(options.file, options.shard));
  const sqlite::ConnectionOptions connection = sqlite::ConnectionOptionsOf(options);
  QUARRY_ASSIGN_OR_RETURN(std::unique_ptr<Connection> writer,
                          Connection::Open(connection, Connection::Mode::kWrite));
  QUARRY_RETURN_IF_ERROR(sqlite::CreateOwnTables(*writer));
  QUARRY_RETURN_IF_ERROR(sqlite::CreateOutcomeTables(*writer));
  QUARRY_ASSIGN_OR_RETURN(std::unique_ptr<Connection> checkpointer,
                          Connection::Open(connection, Connection::Mode::kWrite));
  std::shared_ptr<SqliteDatabase> database = std::make_shared<sqlite::DatabaseParts>(
      options, std::move(lock), std::move(writer), std::move(checkpointer));
  return database;
}

}  // namespace quarry
