#include "core/backend/sqlite/sqlite_session.h"

#include <utility>
#include <variant>

#include "core/backend/sqlite/row_stream.h"
#include "core/backend/sqlite/steps.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::sqlite {
namespace {

constexpr char kBeginWrite[] = "BEGIN IMMEDIATE";
constexpr char kBeginRead[] = "BEGIN";

// Begins what is to be begun; an error when the transaction that should be open is gone.
absl::Status EnsureTransaction(Connection& connection, const char* begin) {
  if (begin != nullptr) return connection.Control(begin);
  return connection.in_transaction() ? absl::OkStatus() : TransactionEnded(connection.shard());
}

absl::StatusOr<std::monostate> CommitOn(Connection& connection) {
  if (!connection.in_transaction()) return TransactionEnded(connection.shard());
  const int code = connection.Commit();
  if (code == SQLITE_OK) return std::monostate();
  const absl::Status error =
      CommitErrorOf(connection.handle(), code, connection.shard(), reason::kCommitOutcomeUnknown);
  connection.Rollback();
  return error;
}

// The end of a commit that was not waited for.
absl::Status OutcomeUnknown(const std::string& shard) {
  return MakeError(
      absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
      "the deadline ended while the commit was being stored on shard " + shard +
          "; it goes on in the background: read the rows back, or repeat with the same request id",
      {{"shard", shard}});
}

Async<absl::StatusOr<std::monostate>> RunCommit(std::shared_ptr<Core> core, std::shared_ptr<Lane> lane,
                                                absl::Time deadline) {
  using Result = absl::StatusOr<std::monostate>;
  Completer<Result> done(core->loop);
  Future<Result> future = done.future();
  const Timer timer(core->loop, deadline + kDeadlineGrace,
                    [done, shard = core->connection.shard]() mutable { done.Set(OutcomeUnknown(shard)); });
  lane->Submit([done, port = core->port](Connection& connection) mutable {
    Result result = CommitOn(connection);
    port->Post([done, result = std::move(result)]() mutable { done.Set(std::move(result)); });
  });
  Result result = co_await future;
  co_return result;
}

}  // namespace

SqliteSession::SqliteSession(std::shared_ptr<Core> core, std::unique_ptr<ReaderSlot> slot,
                             SessionOptions options)
    : core_(std::move(core)), slot_(std::move(slot)), options_(options) {}

SqliteSession::~SqliteSession() { ReleaseReader(core_, std::move(slot_)); }

void SqliteSession::Note(const absl::Status& status) {
  if (!writes_in_transaction() || status.ok()) return;
  switch (status.code()) {
    case absl::StatusCode::kAborted:
      // An etag that does not match undoes its step alone.
      if (ReasonOf(status) != reason::kEtagMismatch) End();
      return;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::
        kDeadlineExceeded:  // SQLite undoes the whole transaction of a write that it stops.
    case absl::StatusCode::kCancelled:
      return End();
    default:
      return;
  }
}

void SqliteSession::End() {
  ended_ = true;
  writer_.reset();
}

Async<absl::StatusOr<std::shared_ptr<Lane>>> SqliteSession::TransactionLane(const CallContext& ctx) {
  if (ended_) co_return TransactionEnded(core_->connection.shard);
  if (!writes_in_transaction()) co_return std::shared_ptr<Lane>(slot_->lane);
  if (writer_ == nullptr) {
    ctx.stage = Stage::kPool;
    Async<absl::StatusOr<std::shared_ptr<Lane>>> acquire = AcquireWriter(core_, ctx.deadline);
    absl::StatusOr<std::shared_ptr<Lane>> lane = co_await acquire;
    if (!lane.ok()) co_return lane.status();
    writer_ = *std::move(lane);
  }
  ctx.stage = Stage::kQuery;
  co_return writer_;
}

Async<absl::StatusOr<StepResult>> SqliteSession::Execute(const Step& step, const CallContext& ctx) {
  if (!options_.transaction) {
    Async<absl::StatusOr<StepResult>> alone = ExecuteAlone(step, ctx);
    absl::StatusOr<StepResult> result = co_await alone;
    co_return result;
  }
  Async<absl::StatusOr<std::shared_ptr<Lane>>> acquire = TransactionLane(ctx);
  const absl::StatusOr<std::shared_ptr<Lane>> lane = co_await acquire;
  if (!lane.ok()) co_return lane.status();
  const char* begin = std::exchange(begun_, true) ? nullptr
                      : writes_in_transaction()   ? kBeginWrite
                                                  : kBeginRead;
  LaneWork<StepResult> work = [step, begin](Connection& connection,
                                            const JobControl& control) -> absl::StatusOr<StepResult> {
    QUARRY_RETURN_IF_ERROR(EnsureTransaction(connection, begin));
    return RunStep(connection, step, control);
  };
  Async<absl::StatusOr<StepResult>> run = RunOnLane<StepResult>(core_, *lane, ctx.deadline, std::move(work));
  absl::StatusOr<StepResult> result = co_await run;
  Note(result.status());
  co_return result;
}

Async<absl::StatusOr<bool>> SqliteSession::OnlyReads(const Step& step, const CallContext& ctx) {
  bool ask = false;
  for (const Statement& statement : step.statements) {
    if (statement.writes) co_return false;
    ask |= statement.raw;
  }
  if (!ask) co_return true;
  LaneWork<bool> work = [step](Connection& connection, const JobControl&) -> absl::StatusOr<bool> {
    for (const Statement& statement : step.statements) {
      QUARRY_ASSIGN_OR_RETURN(const bool reads, connection.Reads(statement));
      if (!reads) return false;
    }
    return true;
  };
  Async<absl::StatusOr<bool>> run = RunOnLane<bool>(core_, slot_->lane, ctx.deadline, std::move(work));
  absl::StatusOr<bool> result = co_await run;
  co_return result;
}

Async<absl::StatusOr<StepResult>> SqliteSession::ExecuteAlone(const Step& step, const CallContext& ctx) {
  ctx.stage = Stage::kQuery;
  bool reads = options_.read_only;
  if (!reads) {
    Async<absl::StatusOr<bool>> ask = OnlyReads(step, ctx);
    const absl::StatusOr<bool> answer = co_await ask;
    if (!answer.ok()) co_return answer.status();
    reads = *answer;
  }
  Task task;
  task.steps.push_back(step);
  absl::StatusOr<TaskResult> result = absl::InternalError("");
  if (reads) {
    LaneWork<TaskResult> work = [task = std::move(task)](Connection& connection, const JobControl& control) {
      return RunReads(connection, task, control);
    };
    Async<absl::StatusOr<TaskResult>> run =
        RunOnLane<TaskResult>(core_, slot_->lane, ctx.deadline, std::move(work));
    result = co_await run;
  } else {
    Async<absl::StatusOr<TaskResult>> run =
        RunAutocommit(core_, std::move(task), /*alone=*/true, ctx.deadline);
    result = co_await run;
  }
  if (!result.ok()) co_return result.status();
  co_return std::move(result->steps.front());
}

Async<absl::StatusOr<std::unique_ptr<RowStream>>> SqliteSession::Open(const Statement& statement,
                                                                      const CallContext& ctx) {
  StreamOptions stream;
  if (options_.transaction) {
    Async<absl::StatusOr<std::shared_ptr<Lane>>> acquire = TransactionLane(ctx);
    absl::StatusOr<std::shared_ptr<Lane>> lane = co_await acquire;
    if (!lane.ok()) co_return lane.status();
    stream.lane = *std::move(lane);
    if (!std::exchange(begun_, true)) stream.begin = writes_in_transaction() ? kBeginWrite : kBeginRead;
    stream.in_transaction = true;
  } else {
    bool reads = options_.read_only;
    if (!reads) {
      Step step;
      step.statements.push_back(statement);
      Async<absl::StatusOr<bool>> ask = OnlyReads(step, ctx);
      const absl::StatusOr<bool> answer = co_await ask;
      if (!answer.ok()) co_return answer.status();
      reads = *answer;
    }
    stream.lane = slot_->lane;
    if (!reads) {
      Async<absl::StatusOr<std::shared_ptr<Lane>>> acquire = AcquireWriter(core_, ctx.deadline);
      absl::StatusOr<std::shared_ptr<Lane>> lane = co_await acquire;
      if (!lane.ok()) co_return lane.status();
      stream.lane = *std::move(lane);
      stream.begin = kBeginWrite;
      stream.commit = true;
    }
  }
  ctx.stage = Stage::kQuery;
  Async<absl::StatusOr<std::unique_ptr<RowStream>>> open =
      OpenStream(core_, std::move(stream), statement, ctx.deadline);
  absl::StatusOr<std::unique_ptr<RowStream>> result = co_await open;
  Note(result.status());
  co_return result;
}

Async<absl::Status> SqliteSession::Control(const std::string& sql, const CallContext& ctx) {
  if (!options_.transaction) co_return TransactionEnded(core_->connection.shard);
  Async<absl::StatusOr<std::shared_ptr<Lane>>> acquire = TransactionLane(ctx);
  const absl::StatusOr<std::shared_ptr<Lane>> lane = co_await acquire;
  if (!lane.ok()) co_return lane.status();
  const char* begin = std::exchange(begun_, true) ? nullptr
                      : writes_in_transaction()   ? kBeginWrite
                                                  : kBeginRead;
  LaneWork<std::monostate> work = [sql, begin](Connection& connection,
                                               const JobControl&) -> absl::StatusOr<std::monostate> {
    QUARRY_RETURN_IF_ERROR(EnsureTransaction(connection, begin));
    QUARRY_RETURN_IF_ERROR(connection.ControlOnce(sql));
    return std::monostate();
  };
  Async<absl::StatusOr<std::monostate>> run =
      RunOnLane<std::monostate>(core_, *lane, ctx.deadline, std::move(work));
  const absl::StatusOr<std::monostate> result = co_await run;
  Note(result.status());
  co_return result.status();
}

Async<absl::Status> SqliteSession::Commit(const CallContext& ctx) {
  ctx.stage = Stage::kCommit;
  if (ended_) co_return TransactionEnded(core_->connection.shard);
  if (!writes_in_transaction() || writer_ == nullptr) {
    // Nothing was written. The connection lets go of its snapshot when it goes back to the pool.
    End();
    co_return absl::OkStatus();
  }
  const std::shared_ptr<Lane> lane = std::move(writer_);
  End();
  Async<absl::StatusOr<std::monostate>> commit = RunCommit(core_, lane, ctx.deadline);
  const absl::StatusOr<std::monostate> result = co_await commit;
  co_return result.status();
}

Async<absl::Status> SqliteSession::Rollback(const CallContext& ctx) {
  ctx.stage = Stage::kCommit;
  // Whoever holds the lane last rolls back what is open on it.
  End();
  co_return absl::OkStatus();
}

}  // namespace quarry::sqlite
