#include "core/backend/sqlite/steps.h"

#include <bit>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/sqlite/errors.h"
#include "core/backend/sqlite/outcomes.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/codec.h"

namespace quarry::sqlite {
namespace {

constexpr char kCreateRequests[] =
    "CREATE TABLE IF NOT EXISTS quarry_requests("
    "request_id TEXT NOT NULL PRIMARY KEY, request_hash INTEGER NOT NULL, reply BLOB NOT NULL, "
    "created INTEGER NOT NULL) STRICT, WITHOUT ROWID";
constexpr char kIndexRequests[] =
    "CREATE INDEX IF NOT EXISTS quarry_requests_created ON quarry_requests(created)";

// Locks: core/lock/lock_sql.h says what they hold.
constexpr const char* kCreateLocks[] = {
    "CREATE TABLE IF NOT EXISTS quarry_locks("
    "name TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, token INTEGER NOT NULL, busy_until INTEGER NOT NULL, "
    "state BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS quarry_lock_store("
    "id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), token INTEGER NOT NULL, locks INTEGER NOT NULL) STRICT",
    "INSERT INTO quarry_lock_store VALUES (1, 0, 0) ON CONFLICT (id) DO NOTHING",
    "CREATE TABLE IF NOT EXISTS quarry_lock_fence("
    "lock_name TEXT NOT NULL PRIMARY KEY, token INTEGER NOT NULL) STRICT, WITHOUT ROWID",
};

// A part of the open transaction that can be undone alone. Begins when told to, ends with Keep or by being undone.
class Savepoint {
 public:
  explicit Savepoint(Connection& connection) : connection_(connection) {}
  Savepoint(const Savepoint&) = delete;
  Savepoint& operator=(const Savepoint&) = delete;
  ~Savepoint() {
    // Some errors end the whole transaction, and the savepoint with it.
    if (!open_ || !connection_.in_transaction()) return;
    connection_.Control("ROLLBACK TO quarry_step").IgnoreError();
    connection_.Control("RELEASE quarry_step").IgnoreError();
  }
  absl::Status Begin() {
    QUARRY_RETURN_IF_ERROR(connection_.Control("SAVEPOINT quarry_step"));
    open_ = true;
    return absl::OkStatus();
  }
  absl::Status Keep() {
    if (!std::exchange(open_, false)) return absl::OkStatus();
    return connection_.Control("RELEASE quarry_step");
  }

 private:
  Connection& connection_;
  bool open_ = false;
};

// SQLite undoes a failed statement by itself; more than that needs a savepoint. A raw statement may say OR FAIL.
bool NeedsSavepoint(const Step& step) {
  bool writes = false;
  for (const Statement& statement : step.statements) {
    if (writes) return true;
    writes |= statement.writes || statement.raw;
    if (writes && (statement.raw || statement.check.kind != Check::Kind::kNone)) return true;
    // Rows may fail to be read after the write has been done.
    if (writes && statement.returns_rows) return true;
  }
  return false;
}

absl::StatusOr<StepResult> RunStatements(Connection& connection, const Step& step,
                                         const JobControl& control) {
  StepResult result;
  result.statements.reserve(step.statements.size());
  for (const Statement& statement : step.statements) {
    QUARRY_ASSIGN_OR_RETURN(StatementResult one, connection.Run(statement, control));
    result.statements.push_back(std::move(one));
  }
  return result;
}

// Another try may end otherwise, so it must not be stored as the step's answer.
bool SaysNothingOfTheStep(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAborted:
      return ReasonOf(status) != reason::kEtagMismatch;
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnknown:
      return true;
    default:
      return false;
  }
}

absl::StatusOr<TaskResult> RunSteps(Connection& connection, const Task& task, const JobControl& control) {
  TaskResult result;
  result.steps.reserve(task.steps.size());
  for (const Step& step : task.steps) {
    absl::StatusOr<StepResult> one = RunStep(connection, step, control);
    if (one.ok()) {
      result.steps.push_back(*std::move(one));
      continue;
    }
    const bool ends_all = control.cancelled.load() || SaysNothingOfTheStep(one.status()) || !connection.in_transaction();
    if (task.atomicity == Atomicity::kAll || ends_all) {
      return WithFact(one.status(), "item", absl::StrCat(step.item));
    }
    StepResult failed;
    failed.status = one.status();
    result.steps.push_back(std::move(failed));
  }
  return result;
}

}  // namespace

absl::StatusOr<std::optional<TaskResult>> FindReply(Connection& connection, const RequestGuard& guard) {
  QUARRY_ASSIGN_OR_RETURN(
      const StatementResult found,
      RunOwn(connection, "SELECT request_hash, reply FROM quarry_requests WHERE request_id = ?1",
             {Value::Text(guard.request_id)}));
  if (found.batch.rows.empty()) return std::optional<TaskResult>();
  const Row& row = found.batch.rows.front();
  if (std::bit_cast<uint64_t>(row[0].int64_value()) != guard.request_hash) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kRequestIdReused,
                     "this request id was used for another request; use a new id for each request",
                     {{"shard", connection.shard()}});
  }
  QUARRY_ASSIGN_OR_RETURN(TaskResult reply, DecodeTaskResult(row[1].text()));
  reply.replayed = true;
  return std::optional<TaskResult>(std::move(reply));
}

absl::Status StoreReply(Connection& connection, const RequestGuard& guard, std::string reply, absl::Time now) {
  return RunOwn(connection,
                "INSERT INTO quarry_requests(request_id, request_hash, reply, created) VALUES (?1, ?2, ?3, ?4)",
                {Value::Text(guard.request_id), Value::Int64(std::bit_cast<int64_t>(guard.request_hash)),
                 Value::Bytes(std::move(reply)), Value::Int64(absl::ToUnixSeconds(now))})
      .status();
}

absl::StatusOr<StepResult> RunStep(Connection& connection, const Step& step, const JobControl& control) {
  Savepoint savepoint(connection);
  if (NeedsSavepoint(step)) QUARRY_RETURN_IF_ERROR(savepoint.Begin());
  QUARRY_ASSIGN_OR_RETURN(StepResult result, RunStatements(connection, step, control));
  QUARRY_RETURN_IF_ERROR(savepoint.Keep());
  return result;
}

absl::StatusOr<TaskResult> RunReads(Connection& connection, const Task& task, const JobControl& control) {
  const bool single = task.steps.size() == 1 && task.steps[0].statements.size() == 1;
  if (single && task.atomicity == Atomicity::kAll) {
    QUARRY_ASSIGN_OR_RETURN(StepResult step, RunStatements(connection, task.steps[0], control));
    TaskResult result;
    result.steps.push_back(std::move(step));
    return result;
  }
  const bool own = !connection.in_transaction();
  if (own) QUARRY_RETURN_IF_ERROR(connection.Control("BEGIN"));
  absl::StatusOr<TaskResult> result = RunSteps(connection, task, control);
  if (own) connection.Rollback();
  return result;
}

absl::StatusOr<TaskResult> RunWrites(Connection& connection, const Task& task, const JobControl& control,
                                     absl::Time now) {
  if (task.guard.has_value()) {
    QUARRY_ASSIGN_OR_RETURN(std::optional<TaskResult> reply, FindReply(connection, *task.guard));
    if (reply.has_value()) return *std::move(reply);
  }
  Savepoint savepoint(connection);
  const bool one_step = task.steps.size() == 1 && !task.guard.has_value();
  // A single step undoes itself.
  if (!one_step) QUARRY_RETURN_IF_ERROR(savepoint.Begin());
  QUARRY_ASSIGN_OR_RETURN(TaskResult result, RunSteps(connection, task, control));
  if (task.guard.has_value()) {
    QUARRY_RETURN_IF_ERROR(StoreReply(connection, *task.guard, EncodeTaskResult(result), now));
  }
  QUARRY_RETURN_IF_ERROR(savepoint.Keep());
  return result;
}

absl::Status CreateOwnTables(Connection& connection) {
  QUARRY_RETURN_IF_ERROR(connection.Control("BEGIN IMMEDIATE"));
  absl::Status status = connection.Control(kCreateRequests);
  if (status.ok()) status = connection.Control(kIndexRequests);
  for (const char* sql : kCreateLocks) {
    if (status.ok()) status = connection.Control(sql);
  }
  if (!status.ok()) {
    connection.Rollback();
    return status;
  }
  const int code = connection.Commit();
  if (code == SQLITE_OK) return absl::OkStatus();
  status = ErrorOf(connection.handle(), code, connection.shard());
  connection.Rollback();
  return status;
}

absl::StatusOr<int64_t> PurgeRequests(Connection& connection, absl::Time before) {
  QUARRY_ASSIGN_OR_RETURN(
      const StatementResult purged,
      RunOwn(connection,
             "DELETE FROM quarry_requests WHERE request_id IN "
             "(SELECT request_id FROM quarry_requests WHERE created < ?1 ORDER BY created LIMIT 200)",
             {Value::Int64(absl::ToUnixSeconds(before))}));
  return purged.affected;
}

}  // namespace quarry::sqlite
