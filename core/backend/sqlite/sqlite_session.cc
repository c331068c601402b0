#include "core/backend/sqlite/sqlite_session.h"

#include <utility>
#include <variant>

#include "absl/time/clock.h"
#include "core/backend/sqlite/outcomes.h"
#include "core/backend/sqlite/row_stream.h"
#include "core/backend/sqlite/steps.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/codec.h"

namespace quarry::sqlite {
namespace {

// What a commit stores with it, the caller being free to go.
struct CommitWork {
  Begin begin = Begin::kNothing;
  std::optional<Decision> decision;
  std::optional<RequestGuard> guard;
  std::string reply;
  Gate::Pass pass;
};

absl::Status StoreOutcome(Connection& connection, CommitWork& work) {
  QUARRY_RETURN_IF_ERROR(connection.BeginAs(work.begin));
  const absl::Time now = absl::Now();
  if (work.guard.has_value()) QUARRY_RETURN_IF_ERROR(StoreReply(connection, *work.guard, std::move(work.reply), now));
  if (work.decision.has_value()) QUARRY_RETURN_IF_ERROR(InsertDecision(connection, *work.decision, now));
  return absl::OkStatus();
}

absl::StatusOr<std::monostate> CommitOn(Connection& connection, CommitWork& work) {
  absl::Status status = StoreOutcome(connection, work);
  if (status.ok()) {
    const int code = connection.Commit();
    if (code == SQLITE_OK) return std::monostate();
    status = CommitErrorOf(connection.handle(), code, connection.shard(), reason::kCommitOutcomeUnknown);
  }
  connection.Rollback();
  return status;
}

// What becomes a branch, the caller being free to go.
struct BranchWork {
  Begin begin = Begin::kNothing;
  Task task;
  GlobalTransaction transaction;
  absl::Time deadline;  // Of the task.
  Gate::Pass pass;
};

absl::StatusOr<TaskResult> MakeBranch(Connection& connection, Branches& branches, BranchWork& work) {
  absl::Status status = work.begin == Begin::kNothing ? absl::OkStatus() : connection.BeginAs(work.begin);
  absl::StatusOr<TaskResult> result = TaskResult();
  if (status.ok() && !work.task.steps.empty()) {
    const JobControl control(work.deadline);
    result = RunWrites(connection, work.task, control, absl::Now());
    status = result.status();
    if (!status.ok()) connection.Rollback();
  }
  // It knows how to leave nothing when there is no transaction.
  status.Update(branches.Prepare(connection, work.transaction, std::move(work.pass)));
  if (!status.ok()) return status;
  return result;
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
                                                CommitWork work, absl::Time deadline) {
  using Result = absl::StatusOr<std::monostate>;
  Completer<Result> done(core->loop);
  Future<Result> future = done.future();
  const Timer timer(core->loop, deadline + kDeadlineGrace,
                    [done, shard = core->connection.shard]() mutable { done.Set(OutcomeUnknown(shard)); });
  lane->Submit([done, port = core->port, work = std::move(work)](Connection& connection) mutable {
    Result result = CommitOn(connection, work);
    work.pass = Gate::Pass();
    port->Post([done, result = std::move(result)]() mutable { done.Set(std::move(result)); });
  });
  // The next user need not wait until this one has read the answer.
  lane.reset();
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
  pass_ = Gate::Pass();
}

Begin SqliteSession::TakeBegin() {
  if (std::exchange(begun_, true)) return Begin::kNothing;
  return writes_in_transaction() ? Begin::kRecorded : Begin::kRead;
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
  LaneWork<StepResult> work = [step, begin = TakeBegin(), wrote = wrote_](
                                  Connection& connection, const JobControl& control) -> absl::StatusOr<StepResult> {
    QUARRY_RETURN_IF_ERROR(connection.BeginAs(begin));
    absl::StatusOr<StepResult> result = RunStep(connection, step, control);
    if (connection.changed()) wrote->store(true);
    return result;
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
    stream.begin = TakeBegin();
    stream.in_transaction = true;
    stream.wrote = wrote_;
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
      stream.begin = Begin::kWrite;
      stream.commit = true;
      if (core_->strict_snapshots) stream.gate = core_->gate;
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
  LaneWork<std::monostate> work = [sql, begin = TakeBegin()](Connection& connection,
                                                             const JobControl&) -> absl::StatusOr<std::monostate> {
    QUARRY_RETURN_IF_ERROR(connection.BeginAs(begin));
    QUARRY_RETURN_IF_ERROR(connection.ControlOnce(sql));
    return std::monostate();
  };
  Async<absl::StatusOr<std::monostate>> run =
      RunOnLane<std::monostate>(core_, *lane, ctx.deadline, std::move(work));
  const absl::StatusOr<std::monostate> result = co_await run;
  Note(result.status());
  co_return result.status();
}

Async<absl::Status> SqliteSession::Commit(const CommitOptions& options, const CallContext& ctx) {
  ctx.stage = Stage::kCommit;
  if (ended_) co_return TransactionEnded(core_->connection.shard);
  const bool stores = options.decision.has_value() || (options.guard.has_value() && options.reply != nullptr);
  if (stores && !writes_in_transaction()) co_return ReadOnly(core_->connection.shard);
  if (!writes_in_transaction() || (writer_ == nullptr && !stores)) {
    // Nothing was written. The connection lets go of its snapshot when it goes back to the pool.
    End();
    co_return absl::OkStatus();
  }
  if (options.pass_gate || (core_->strict_snapshots && (wrote() || stores))) {
    Async<absl::Status> enter = PassGate(ctx);
    const absl::Status passed = co_await enter;
    QUARRY_CO_RETURN_IF_ERROR(passed);
  }
  Async<absl::StatusOr<std::shared_ptr<Lane>>> acquire = TransactionLane(ctx);
  absl::StatusOr<std::shared_ptr<Lane>> lane = co_await acquire;
  QUARRY_CO_RETURN_IF_ERROR(lane.status());
  ctx.stage = Stage::kCommit;
  CommitWork work;
  work.begin = TakeBegin();
  work.decision = options.decision;
  if (options.guard.has_value() && options.reply != nullptr) {
    work.guard = options.guard;
    work.reply = EncodeTaskResult(*options.reply);
  }
  work.pass = std::move(pass_);
  End();
  Async<absl::StatusOr<std::monostate>> commit = RunCommit(core_, *std::move(lane), std::move(work), ctx.deadline);
  const absl::StatusOr<std::monostate> result = co_await commit;
  co_return result.status();
}

Async<absl::Status> SqliteSession::Rollback(const CallContext& ctx) {
  ctx.stage = Stage::kCommit;
  // Whoever holds the lane last rolls back what is open on it.
  End();
  co_return absl::OkStatus();
}

bool SqliteSession::wrote() const { return wrote_->load(); }

Async<absl::StatusOr<std::optional<TaskResult>>> SqliteSession::Claim(const RequestGuard& guard,
                                                                      const CallContext& ctx) {
  using Reply = std::optional<TaskResult>;
  if (!writes_in_transaction()) co_return ReadOnly(core_->connection.shard);
  Async<absl::StatusOr<std::shared_ptr<Lane>>> acquire = TransactionLane(ctx);
  const absl::StatusOr<std::shared_ptr<Lane>> lane = co_await acquire;
  if (!lane.ok()) co_return lane.status();
  // Whoever holds the id holds the writer too, so there is nothing to insert: it is this transaction's until it ends.
  LaneWork<Reply> work = [guard, begin = TakeBegin()](Connection& connection,
                                                      const JobControl&) -> absl::StatusOr<Reply> {
    QUARRY_RETURN_IF_ERROR(connection.BeginAs(begin));
    return FindReply(connection, guard);
  };
  Async<absl::StatusOr<Reply>> run = RunOnLane<Reply>(core_, *lane, ctx.deadline, std::move(work));
  absl::StatusOr<Reply> result = co_await run;
  Note(result.status());
  co_return result;
}

Async<absl::Status> SqliteSession::PassGate(const CallContext& ctx) {
  if (ended_) co_return TransactionEnded(core_->connection.shard);
  if (pass_ || !writes_in_transaction()) co_return absl::OkStatus();
  Async<absl::StatusOr<Gate::Pass>> enter = EnterGate(core_, Gate::Mode::kShared, ctx.deadline);
  absl::StatusOr<Gate::Pass> pass = co_await enter;
  if (!pass.ok()) {
    End();
    co_return pass.status();
  }
  pass_ = *std::move(pass);
  co_return absl::OkStatus();
}

Async<absl::Status> SqliteSession::Prepare(const GlobalTransaction& transaction, const CallContext& ctx) {
  const Task nothing;
  const PreparedTask done = co_await RunAndPrepare(nothing, transaction, ctx);
  co_return done.status;
}

// Who has the writer waits for no row, so the gate may come before the statements.
Async<PreparedTask> SqliteSession::RunAndPrepare(const Task& task, const GlobalTransaction& transaction,
                                                 const CallContext& ctx) {
  using Result = absl::StatusOr<TaskResult>;
  PreparedTask done;
  ctx.stage = Stage::kCommit;
  if (ended_) done.status = TransactionEnded(core_->connection.shard);
  if (!writes_in_transaction()) done.status = ReadOnly(core_->connection.shard);
  if (!done.status.ok()) co_return done;
  Async<absl::StatusOr<std::shared_ptr<Lane>>> acquire = TransactionLane(ctx);
  absl::StatusOr<std::shared_ptr<Lane>> lane = co_await acquire;
  done.status = lane.status();
  if (!done.status.ok()) co_return done;
  done.status = co_await PassGate(ctx);
  if (!done.status.ok()) co_return done;
  ctx.stage = Stage::kCommit;
  Completer<Result> answer(core_->loop);
  Future<Result> future = answer.future();
  const Timer timer(core_->loop, ctx.deadline + kDeadlineGrace, [answer, shard = core_->connection.shard]() mutable {
    answer.Set(OutcomeUnknown(shard));
  });
  core_->branches->Announce(transaction, *lane);
  BranchWork work{TakeBegin(), task, transaction, ctx.deadline, std::move(pass_)};
  (*lane)->Submit([answer, work = std::move(work), branches = core_->branches, counters = core_->counters,
                   port = core_->port](Connection& connection) mutable {
    connection.CountFor(counters.get());
    Result result = MakeBranch(connection, *branches, work);
    connection.CountFor(nullptr);
    port->Post([answer, result = std::move(result)]() mutable { answer.Set(std::move(result)); });
  });
  *lane = nullptr;
  End();
  done.result = co_await future;
  done.status = done.result.status();
  co_return done;
}

}  // namespace quarry::sqlite
