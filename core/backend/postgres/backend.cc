#include "core/backend/postgres/backend.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/postgres/checks.h"
#include "core/backend/postgres/core.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/pipeline.h"
#include "core/backend/postgres/schema.h"
#include "core/backend/postgres/session.h"
#include "core/backend/postgres/task.h"
#include "core/backend/postgres/two_phase.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/check.h"

namespace quarry::postgres {
namespace {

// Statements that one connection takes before the next is used.
constexpr size_t kSharedMax = 32;
constexpr char kUndefinedTable[] = "42P01";

// A step that may run as one autocommit statement on a shared connection.
bool StandsAlone(const Step& step) {
  return step.statements.size() == 1 && !step.statements[0].raw && !NeedsUndo(step);
}

class PostgresBackend final : public Backend {
 public:
  PostgresBackend(Loop& loop, PostgresOptions options) : core_(loop, std::move(options)), writer_(core_, true), two_phase_(core_) {
    for (int64_t i = 0; i < std::max<int64_t>(core_.options.pipelines, 1); ++i) {
      readers_.push_back(std::make_unique<Pipeline>(core_, false));
    }
  }

  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) override;
  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options, const CallContext& ctx) override;
  Async<absl::Status> Ping(const CallContext& ctx) override;
  TwoPhase& two_phase() override { return two_phase_; }
  BackendStats stats() const override;

 private:
  Pipeline& PipelineFor(bool writes);
  // Steps that each stand alone, in order; one result each.
  Async<std::vector<StepResult>> RunShared(const Task& task, size_t first, size_t count, const CallContext& ctx);
  Async<StepResult> RunExclusive(const Step& step, const CallContext& ctx);
  Async<absl::StatusOr<TaskResult>> ExecuteEach(const Task& task, const CallContext& ctx);
  Async<absl::StatusOr<TaskResult>> ExecutePlain(const Task& task, const CallContext& ctx);
  // Of Quarry's own tables, which are made where they are missing.
  Async<absl::StatusOr<TaskResult>> ExecuteOwn(const Task& task, const CallContext& ctx);
  Async<absl::StatusOr<TaskResult>> ExecuteReads(const Task& task, const CallContext& ctx);

  Core core_;
  Pipeline writer_;
  PostgresTwoPhase two_phase_;
  std::vector<std::unique_ptr<Pipeline>> readers_;
};

// The first that answers and has room, for reads that wait together share a statement; when none has, the least loaded.
Pipeline& PostgresBackend::PipelineFor(bool writes) {
  if (writes) return writer_;
  const auto cost = [](const Pipeline& pipeline) {
    return std::pair(pipeline.stalled(), pipeline.load() < kSharedMax ? 0 : pipeline.load());
  };
  return **std::min_element(readers_.begin(), readers_.end(),
                            [&cost](const auto& a, const auto& b) { return cost(*a) < cost(*b); });
}

Async<StepResult> PostgresBackend::RunExclusive(const Step& step, const CallContext& ctx) {
  Task task;
  task.steps = {step};
  absl::StatusOr<TaskResult> ran = co_await RunUnguarded(core_, task, ctx);
  StepResult result;
  if (ran.ok()) {
    result = std::move(ran->steps[0]);
  } else {
    result.status = ran.status();
  }
  co_return result;
}

Async<std::vector<StepResult>> PostgresBackend::RunShared(const Task& task, size_t first, size_t count,
                                                          const CallContext& ctx) {
  std::vector<const Statement*> statements;
  for (size_t i = 0; i < count; ++i) statements.push_back(&task.steps[first + i].statements[0]);
  const bool writes = std::any_of(statements.begin(), statements.end(), [](const Statement* s) { return s->writes; });
  Pipeline& pipeline = PipelineFor(writes);
  std::vector<absl::StatusOr<StatementResult>> ran = co_await pipeline.Run(statements, ctx);
  std::vector<StepResult> results(count);
  for (size_t i = 0; i < count; ++i) {
    if (ran[i].ok()) {
      results[i].status = EvaluateCheck(statements[i]->check, *ran[i]);
      if (results[i].status.ok()) results[i].statements.push_back(*std::move(ran[i]));
    } else if (IsSharedLimit(ran[i].status())) {
      results[i] = co_await RunExclusive(task.steps[first + i], ctx);
    } else {
      results[i].status = ran[i].status();
    }
  }
  co_return results;
}

// Steps in their order: those that can share go together, the others one by one.
Async<absl::StatusOr<TaskResult>> PostgresBackend::ExecuteEach(const Task& task, const CallContext& ctx) {
  TaskResult result;
  size_t next = 0;
  while (next < task.steps.size()) {
    size_t end = next;
    while (end < task.steps.size() && StandsAlone(task.steps[end])) ++end;
    if (end == next) {
      StepResult alone = co_await RunExclusive(task.steps[next], ctx);
      result.steps.push_back(std::move(alone));
      ++next;
      continue;
    }
    std::vector<StepResult> shared = co_await RunShared(task, next, end - next, ctx);
    for (StepResult& step : shared) result.steps.push_back(std::move(step));
    next = end;
  }
  co_return result;
}

Async<absl::StatusOr<TaskResult>> PostgresBackend::ExecuteReads(const Task& task, const CallContext& ctx) {
  TaskResult result;
  result.steps = co_await RunShared(task, 0, task.steps.size(), ctx);
  for (const StepResult& step : result.steps) {
    if (!step.status.ok()) co_return step.status;
  }
  co_return result;
}

Async<absl::StatusOr<TaskResult>> PostgresBackend::ExecuteOwn(const Task& task, const CallContext& ctx) {
  const absl::Status ready = co_await EnsureTables(core_, OwnTables::kAll, ctx.deadline);
  if (!ready.ok()) co_return ready;
  absl::StatusOr<TaskResult> result = co_await ExecutePlain(task, ctx);
  if (!result.ok() && DetailOf(result.status()).facts["sqlstate"] == kUndefinedTable) core_.tables_ready = false;
  co_return result;
}

Async<absl::StatusOr<TaskResult>> PostgresBackend::Execute(const Task& task, const CallContext& ctx) {
  ctx.stage = Stage::kQueue;
  if (task.uses_own_tables()) return ExecuteOwn(task, ctx);
  return ExecutePlain(task, ctx);
}

Async<absl::StatusOr<TaskResult>> PostgresBackend::ExecutePlain(const Task& task, const CallContext& ctx) {
  if (task.guard.has_value()) return RunGuarded(core_, task, ctx);
  if (task.atomicity == Atomicity::kEach) return ExecuteEach(task, ctx);
  const bool alone = std::all_of(task.steps.begin(), task.steps.end(), StandsAlone);
  if (alone && (task.steps.size() == 1 || !task.writes())) return ExecuteReads(task, ctx);
  return RunUnguarded(core_, task, ctx);
}

Async<absl::StatusOr<std::unique_ptr<Session>>> PostgresBackend::Lease(const SessionOptions& options,
                                                                      const CallContext& ctx) {
  absl::StatusOr<Leased> leased = co_await postgres::Lease(core_, ctx);
  if (!leased.ok()) co_return leased.status();
  if (!options.transaction && options.read_only) {
    const auto batch = std::make_shared<Batch>();
    batch->commands.push_back(Plain("SET default_transaction_read_only = on"));
    (*leased)->dirty = true;
    const bool in_time = co_await (*leased)->Run(batch, ctx.deadline);
    if (!in_time) co_return DeadlineEnded(core_.options.shard, "pool");
    if (batch->lost) co_return Unavailable(core_.options.shard, batch->lost_cause, absl::Milliseconds(100));
  }
  std::unique_ptr<Session> session = std::make_unique<PostgresSession>(core_, *std::move(leased), options);
  co_return session;
}

const std::shared_ptr<const std::string>& PingSql() {
  static const auto* const sql = new std::shared_ptr<const std::string>(std::make_shared<const std::string>("SELECT 1"));
  return *sql;
}

Async<absl::Status> PostgresBackend::Ping(const CallContext& ctx) {
  Statement statement;
  statement.sql = PingSql();
  statement.returns_rows = true;
  const std::vector<const Statement*> statements = {&statement};
  std::vector<absl::StatusOr<StatementResult>> results = co_await PipelineFor(false).Run(statements, ctx);
  co_return results[0].status();
}

BackendStats PostgresBackend::stats() const {
  BackendStats stats;
  stats.sessions_open = core_.leased_open + two_phase_.sessions_open() + (writer_.open() ? 1 : 0);
  stats.sessions_leased = core_.pool.leased();
  stats.waiters = core_.pool.waiting();
  stats.sessions_max = core_.options.sessions_max;
  stats.statements = core_.statements;
  stats.prepared_hits = core_.prepared_hits + writer_.prepared_hits();
  stats.prepared_misses = core_.prepared_misses + writer_.prepared_misses();
  stats.groups = core_.groups;
  stats.grouped_writes = core_.grouped_writes;
  stats.joined_reads = core_.joined_reads;
  for (const auto& reader : readers_) {
    stats.sessions_open += reader->open() ? 1 : 0;
    stats.prepared_hits += reader->prepared_hits();
    stats.prepared_misses += reader->prepared_misses();
  }
  return stats;
}

}  // namespace
}  // namespace quarry::postgres

namespace quarry {

std::unique_ptr<Backend> MakePostgresBackend(Loop& loop, PostgresOptions options) {
  return std::make_unique<postgres::PostgresBackend>(loop, std::move(options));
}

}  // namespace quarry
