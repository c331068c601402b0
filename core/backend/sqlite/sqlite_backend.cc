#include <memory>
#include <utility>
#include <vector>

#include "core/backend/sqlite/core.h"
#include "core/backend/sqlite/database_parts.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "core/backend/sqlite/sqlite_session.h"
#include "core/backend/sqlite/sqlite_two_phase.h"
#include "core/backend/sqlite/steps.h"
#include "core/base/loop.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace sqlite {
namespace {

bool HasRaw(const Task& task) {
  for (const Step& step : task.steps) {
    for (const Statement& statement : step.statements) {
      if (statement.raw) return true;
    }
  }
  return false;
}

// Short reads run on the loop, on its own connection: cheaper than any hand-over to a thread. Those that arrive in one turn
// of the loop run in one read transaction, which begins after the last of them has come: none misses a commit that was
// acknowledged before it was sent.
class SqliteBackend final : public Backend {
 public:
  SqliteBackend(Loop& loop, std::shared_ptr<DatabaseParts> database, LeasePoolOptions pool)
      : database_(std::move(database)),
        core_(std::make_shared<Core>(loop, std::move(pool), database_->connection())),
        two_phase_(core_) {
    core_->writer = database_->writer_queue();
    core_->workers = database_->worker_queue();
    core_->branches = database_->branches();
    core_->gate = database_->gate();
    core_->strict_snapshots = database_->strict_snapshots();
  }
  ~SqliteBackend() override {
    core_->port->Close();
    *alive_ = false;
  }

  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) override {
    ctx.stage = Stage::kQuery;
    if (task.writes() || task.guard.has_value()) return RunAutocommit(core_, task, HasRaw(task), ctx.deadline);
    if (HasRaw(task)) return ReadOnWorker(core_, task, ctx);
    return ReadHere(task, ctx);
  }

  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options,
                                                        const CallContext& ctx) override {
    return LeaseOn(core_, options, ctx);
  }

  Async<absl::Status> Ping(const CallContext& ctx) override {
    const JobControl control(ctx.deadline);
    Statement statement;
    static const auto sql = std::make_shared<const std::string>("SELECT 1 FROM sqlite_schema LIMIT 1");
    statement.sql = sql;
    const absl::StatusOr<Connection*> reader = Reader();
    if (!reader.ok()) co_return reader.status();
    const absl::StatusOr<StatementResult> answer = (*reader)->Run(statement, control);
    co_return answer.status();
  }

  TwoPhase& two_phase() override { return two_phase_; }
  BackendStats stats() const override {
    const Counters& counters = *core_->counters;
    BackendStats stats;
    stats.sessions_leased = core_->pool.leased();
    stats.sessions_open = core_->pool.leased() + core_->pool.idle();
    stats.waiters = core_->pool.waiting();
    stats.sessions_max = core_->pool.sessions_max();
    stats.statements = counters.statements.load(std::memory_order_relaxed);
    stats.prepared_hits = counters.prepared_hits.load(std::memory_order_relaxed);
    stats.prepared_misses = counters.prepared_misses.load(std::memory_order_relaxed);
    stats.groups = counters.groups.load(std::memory_order_relaxed);
    stats.grouped_writes = counters.grouped_writes.load(std::memory_order_relaxed);
    return stats;
  }

 private:
  absl::StatusOr<Connection*> Reader() {
    if (reader_ == nullptr) {
      QUARRY_ASSIGN_OR_RETURN(reader_, Connection::Open(core_->connection, Connection::Mode::kRead));
      reader_->CountFor(core_->counters.get());
    }
    return reader_.get();
  }

  // A read that waits for the end of the loop's turn; dropped with its call.
  struct WaitingRead {
    Completer<absl::StatusOr<TaskResult>> done;
    const Task* task;
    absl::Time deadline;
  };

  Async<absl::StatusOr<TaskResult>> ReadHere(const Task& task, const CallContext& ctx) {
    Completer<absl::StatusOr<TaskResult>> done(core_->loop);
    Future<absl::StatusOr<TaskResult>> future = done.future();
    waiting_.push_back({done, &task, ctx.deadline});
    if (waiting_.size() == 1) {
      core_->loop.Defer([this, alive = alive_] {
        if (*alive) RunWaiting();
      });
    }
    co_return co_await future;
  }

  void RunWaiting() {
    std::vector<WaitingRead> reads = std::exchange(waiting_, {});
    std::erase_if(reads, [](const WaitingRead& read) { return read.done.abandoned(); });
    if (reads.empty()) return;
    const absl::StatusOr<Connection*> reader = Reader();
    const bool grouped = reads.size() > 1 && reader.ok() && (*reader)->Control("BEGIN").ok();
    const absl::Time now = core_->loop.Now();
    for (WaitingRead& read : reads) {
      if (!reader.ok()) {
        read.done.Set(reader.status());
      } else if (now >= read.deadline) {
        read.done.Set(DeadlineEnded(core_->connection.shard, "queue"));
      } else {
        const JobControl control(read.deadline);
        read.done.Set(RunReads(**reader, *read.task, control));
      }
    }
    if (grouped) (*reader)->Rollback();
  }

  static Async<absl::StatusOr<TaskResult>> ReadOnWorker(std::shared_ptr<Core> core, const Task& task,
                                                        const CallContext& ctx) {
    Async<absl::StatusOr<std::unique_ptr<ReaderSlot>>> acquire = AcquireReader(core, ctx);
    absl::StatusOr<std::unique_ptr<ReaderSlot>> slot = co_await acquire;
    if (!slot.ok()) co_return slot.status();
    const std::shared_ptr<Lane> lane = (*slot)->lane;
    const SlotHolder holder(core, *std::move(slot));
    ctx.stage = Stage::kQuery;
    LaneWork<TaskResult> work = [task](Connection& connection, const JobControl& control) {
      return RunReads(connection, task, control);
    };
    Async<absl::StatusOr<TaskResult>> run = RunOnLane<TaskResult>(core, lane, ctx.deadline, std::move(work));
    absl::StatusOr<TaskResult> result = co_await run;
    co_return result;
  }

  static Async<absl::StatusOr<std::unique_ptr<Session>>> LeaseOn(std::shared_ptr<Core> core,
                                                                 SessionOptions options,
                                                                 const CallContext& ctx) {
    Async<absl::StatusOr<std::unique_ptr<ReaderSlot>>> acquire = AcquireReader(core, ctx);
    absl::StatusOr<std::unique_ptr<ReaderSlot>> slot = co_await acquire;
    if (!slot.ok()) co_return slot.status();
    std::unique_ptr<Session> session =
        std::make_unique<SqliteSession>(std::move(core), *std::move(slot), options);
    co_return session;
  }

  // Gives the place back, also when its caller is dropped.
  class SlotHolder {
   public:
    SlotHolder(std::shared_ptr<Core> core, std::unique_ptr<ReaderSlot> slot)
        : core_(std::move(core)), slot_(std::move(slot)) {}
    SlotHolder(const SlotHolder&) = delete;
    SlotHolder& operator=(const SlotHolder&) = delete;
    ~SlotHolder() { ReleaseReader(core_, std::move(slot_)); }

   private:
    std::shared_ptr<Core> core_;
    std::unique_ptr<ReaderSlot> slot_;
  };

  std::shared_ptr<DatabaseParts> database_;
  std::shared_ptr<Core> core_;
  SqliteTwoPhase two_phase_;
  std::unique_ptr<Connection> reader_;  // The loop's own.
  std::vector<WaitingRead> waiting_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace
}  // namespace sqlite

std::unique_ptr<Backend> MakeSqliteBackend(Loop& loop, std::shared_ptr<SqliteDatabase> database,
                                           LeasePoolOptions pool) {
  // Open makes no other kind.
  return std::make_unique<sqlite::SqliteBackend>(
      loop, std::static_pointer_cast<sqlite::DatabaseParts>(std::move(database)), std::move(pool));
}

}  // namespace quarry
