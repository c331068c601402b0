#include "core/backend/fake_backend.h"

#include <algorithm>

#include "core/backend/run_then_prepare.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

TaskResult EmptyResult(const Task& task) {
  TaskResult result;
  for (const Step& step : task.steps) {
    StepResult answer;
    answer.statements.resize(step.statements.size());
    result.steps.push_back(std::move(answer));
  }
  return result;
}

}  // namespace

void FakeBackend::AnswerWith(absl::Status status) {
  state_->lease_status = status;
  state_->ping_status = status;
  state_->script = [status](const Task& task) -> absl::StatusOr<TaskResult> {
    QUARRY_RETURN_IF_ERROR(status);
    return EmptyResult(task);
  };
}

void FakeBackend::AnswerWith(TaskResult result) {
  state_->script = [result = std::move(result)](const Task&) { return absl::StatusOr<TaskResult>(result); };
}

absl::StatusOr<TaskResult> FakeBackend::State::Answer(const Task& task) {
  if (!next.empty()) {
    absl::StatusOr<TaskResult> answer = std::move(next.front());
    next.pop_front();
    return answer;
  }
  return script ? script(task) : EmptyResult(task);
}

Async<absl::Status> FakeBackend::State::Take(const CallContext& ctx) {
  absl::Duration takes = delay;
  if (!delays.empty()) {
    takes = delays.front();
    delays.pop_front();
  }
  if (takes == absl::ZeroDuration()) co_return absl::OkStatus();
  const absl::Time ready = ctx.loop.Now() + takes;
  SleepUntil pause(ctx.loop, std::min(ready, ctx.deadline));
  co_await pause;
  if (ready <= ctx.deadline) co_return absl::OkStatus();
  co_return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                      "deadline ended while the statement ran", {{"stage", "query"}});
}

Async<absl::StatusOr<TaskResult>> FakeBackend::Run(std::shared_ptr<State> state, const Task& task, int64_t& written,
                                                   const CallContext& ctx) {
  state->tasks.push_back(task);
  const absl::Status in_time = co_await state->Take(ctx);
  QUARRY_CO_RETURN_IF_ERROR(in_time);
  if (task.guard.has_value()) {
    absl::StatusOr<std::optional<TaskResult>> stored = state->two_phase.state().Claim(*task.guard);
    QUARRY_CO_RETURN_IF_ERROR(stored.status());
    if (stored->has_value()) co_return **std::move(stored);
  }
  absl::StatusOr<TaskResult> answer = state->Answer(task);
  if (answer.ok() && task.writes()) {
    ++written;
    if (task.guard.has_value()) {
      state->two_phase.state().replies[task.guard->request_id] = std::make_pair(task.guard->request_hash, *answer);
    }
  }
  co_return answer;
}

class FakeBackend::FakeStream final : public RowStream {
 public:
  FakeStream(std::shared_ptr<State> state, StatementResult result)
      : state_(std::move(state)), result_(std::move(result)) {}

  RowHeader header() const override { return result_.batch.header; }
  Async<absl::StatusOr<RowBatch>> Next(const CallContext& ctx) override {
    const absl::Status in_time = co_await state_->Take(ctx);
    QUARRY_CO_RETURN_IF_ERROR(in_time);
    RowBatch batch;
    batch.header = result_.batch.header;
    batch.rows = std::exchange(result_.batch.rows, {});
    co_return batch;
  }
  int64_t affected() const override { return result_.affected; }

 private:
  const std::shared_ptr<State> state_;
  StatementResult result_;
};

class FakeBackend::FakeSession final : public Session {
 public:
  FakeSession(std::shared_ptr<State> state, const SessionOptions& options)
      : state_(std::move(state)), options_(options), in_transaction_(options.transaction) {
    ++state_->sessions;
  }
  ~FakeSession() override {
    --state_->sessions;
    if (in_transaction_) ++state_->rollbacks;
  }

  Async<absl::StatusOr<StepResult>> Execute(const Step& step, const CallContext& ctx) override {
    Task task;
    task.steps.push_back(step);
    QUARRY_CO_RETURN_IF_ERROR(Admit(task));
    wrote_ = wrote_ || task.writes();
    ++state_->calls;
    absl::StatusOr<TaskResult> result = co_await Run(state_, task, in_transaction_ ? pending_ : state_->applied, ctx);
    QUARRY_CO_RETURN_IF_ERROR(result.status());
    if (result->steps.empty()) co_return StepResult();
    QUARRY_CO_RETURN_IF_ERROR(result->steps[0].status);
    co_return std::move(result->steps[0]);
  }
  Async<absl::StatusOr<std::unique_ptr<RowStream>>> Open(const Statement& statement,
                                                         const CallContext& ctx) override {
    Step step;
    step.statements.push_back(statement);
    absl::StatusOr<StepResult> result = co_await Execute(step, ctx);
    QUARRY_CO_RETURN_IF_ERROR(result.status());
    StatementResult rows;
    if (!result->statements.empty()) rows = std::move(result->statements[0]);
    co_return std::make_unique<FakeStream>(state_, std::move(rows));
  }
  Async<absl::Status> Control(const std::string& sql, const CallContext& ctx) override {
    state_->controls.push_back(sql);
    const absl::Status in_time = co_await state_->Take(ctx);
    co_return in_time;
  }
  Async<absl::Status> Commit(const CommitOptions& options, const CallContext& ctx) override {
    const absl::Status in_time = co_await state_->Take(ctx);
    QUARRY_CO_RETURN_IF_ERROR(in_time);
    const absl::Status stored = state_->two_phase.state().Commit(options);
    QUARRY_CO_RETURN_IF_ERROR(stored);
    if (std::exchange(in_transaction_, false)) ++state_->commits;
    state_->applied += std::exchange(pending_, 0);
    co_return absl::OkStatus();
  }
  Async<absl::Status> Rollback(const CallContext&) override {
    if (std::exchange(in_transaction_, false)) ++state_->rollbacks;
    co_return absl::OkStatus();
  }
  bool wrote() const override { return wrote_; }
  Async<absl::StatusOr<std::optional<TaskResult>>> Claim(const RequestGuard& guard, const CallContext&) override {
    co_return state_->two_phase.state().Claim(guard);
  }
  Async<absl::Status> PassGate(const CallContext&) override { co_return state_->two_phase.state().Before("PassGate"); }
  Async<absl::Status> Prepare(const GlobalTransaction& transaction, const CallContext& ctx) override {
    const absl::Status in_time = co_await state_->Take(ctx);
    QUARRY_CO_RETURN_IF_ERROR(in_time);
    const absl::Status prepared = state_->two_phase.state().Prepare(transaction);
    if (prepared.ok() || absl::IsUnknown(prepared)) in_transaction_ = false;
    co_return prepared;
  }
  Async<PreparedTask> RunAndPrepare(const Task& task, const GlobalTransaction& transaction, const CallContext& ctx) override {
    return RunThenPrepare(*this, task, transaction, ctx);
  }

 private:
  absl::Status Admit(const Task& task) const {
    if (options_.transaction && !in_transaction_) {
      return MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded, "the transaction has ended");
    }
    if (!options_.read_only || !task.writes()) return absl::OkStatus();
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kReadOnly, "the session is read-only");
  }

  const std::shared_ptr<State> state_;
  const SessionOptions options_;
  bool in_transaction_;  // One that has not ended.
  bool wrote_ = false;
  int64_t pending_ = 0;  // Written and not committed.
};

Async<absl::StatusOr<TaskResult>> FakeBackend::Execute(const Task& task, const CallContext& ctx) {
  ++state_->calls;
  absl::StatusOr<TaskResult> result = co_await Run(state_, task, state_->applied, ctx);
  co_return result;
}

Async<absl::StatusOr<std::unique_ptr<Session>>> FakeBackend::Lease(const SessionOptions& options,
                                                                   const CallContext& ctx) {
  ++state_->leases;
  const SessionOptions asked = options;
  const absl::Status in_time = co_await state_->Take(ctx);
  QUARRY_CO_RETURN_IF_ERROR(in_time);
  QUARRY_CO_RETURN_IF_ERROR(state_->lease_status);
  co_return std::make_unique<FakeSession>(state_, asked);
}

Async<absl::Status> FakeBackend::Ping(const CallContext& ctx) {
  ++state_->pings;
  const absl::Status in_time = co_await state_->Take(ctx);
  QUARRY_CO_RETURN_IF_ERROR(in_time);
  co_return state_->ping_status;
}

BackendStats FakeBackend::stats() const {
  BackendStats stats;
  stats.sessions_open = state_->sessions;
  stats.sessions_leased = state_->sessions;
  stats.statements = state_->calls;
  return stats;
}

}  // namespace quarry
