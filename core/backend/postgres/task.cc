#include "core/backend/postgres/task.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/backend/postgres/checks.h"
#include "core/backend/postgres/connection.h"
#include "core/backend/postgres/ending.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/gate.h"
#include "core/backend/postgres/raw_sql.h"
#include "core/backend/postgres/requests.h"
#include "core/backend/postgres/schema.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/check.h"
#include "core/model/codec.h"

namespace quarry::postgres {
namespace {

constexpr char kTransactionId[] = "SELECT pg_current_xact_id()::text";
constexpr int kStaleTriesMax = 2;

// One attempt at one task, on one connection. Lives in the frame that runs it.
class Attempt {
 public:
  Attempt(Core& core, const Task& task, const CallContext& ctx, Leased leased)
      : core_(core), task_(task), ctx_(ctx), leased_(std::move(leased)), results_(task.steps.size()) {}
  Async<absl::StatusOr<TaskResult>> Run();

 private:
  bool guarded() const { return task_.guard.has_value(); }
  bool each() const { return task_.atomicity == Atomicity::kEach; }
  Async<absl::Status> Prepare();
  Async<absl::Status> RunBatch(BatchPtr batch);
  Async<absl::Status> RunSteps();
  Async<absl::Status> UndoStep(size_t step);
  Async<absl::StatusOr<TaskResult>> Replay();
  Async<absl::StatusOr<TaskResult>> Commit();
  absl::Status Add(const BatchPtr& batch, const std::string& sql, const std::vector<Value>& params);
  absl::Status AddHead(const BatchPtr& batch);
  // Adds the steps from `next` on as far as they can go in one round trip; the position after them.
  size_t AddSteps(const BatchPtr& batch, size_t next);
  absl::Status TakeResults(const BatchPtr& batch, size_t step);

  struct Place {
    size_t first = 0;          // Of the step's statements in the batch.
    size_t end = 0;            // After its last command.
  };

  Core& core_;
  const Task& task_;
  const CallContext& ctx_;
  Leased leased_;
  std::vector<StepResult> results_;
  std::vector<absl::Status> prepare_statuses_;  // By step, under kEach.
  std::vector<Place> places_;                   // Of the latest batch, by step.
  bool id_taken_ = false;                       // The guard's row was there already.
  bool head_sent_ = false;
  std::string transaction_;
};

absl::Status Attempt::Add(const BatchPtr& batch, const std::string& sql, const std::vector<Value>& params) {
  const PreparedPtr prepared = leased_->FindPrepared(sql);
  if (prepared == nullptr) return absl::InternalError("a statement was not prepared");
  QUARRY_ASSIGN_OR_RETURN(Command command, Bind(prepared, params));
  batch->commands.push_back(std::move(command));
  return absl::OkStatus();
}

Async<absl::Status> Attempt::Prepare() {
  std::vector<std::string> texts;
  std::vector<size_t> steps;
  for (size_t i = 0; i < task_.steps.size(); ++i) {
    for (const Statement& statement : task_.steps[i].statements) {
      if (statement.raw) {
        QUARRY_CO_RETURN_IF_ERROR(CheckRawSql(*statement.sql));
        leased_->dirty = true;
      }
      texts.push_back(*statement.sql);
      steps.push_back(i);
    }
  }
  const size_t own = texts.size();
  if (guarded()) {
    texts.push_back(kInsertRequest);
    texts.push_back(kStoreReply);
  }
  absl::Cleanup interrupt = [this] { core_.StartInterrupt(leased_.get()); };
  const std::vector<absl::Status> statuses = co_await leased_->Prepare(texts, &core_.type_names, ctx_.deadline);
  std::move(interrupt).Cancel();
  prepare_statuses_.assign(task_.steps.size(), absl::OkStatus());
  for (size_t i = 0; i < statuses.size(); ++i) {
    if (statuses[i].ok()) continue;
    const bool of_one_step = i < own && each() && !absl::IsUnavailable(statuses[i]) && !absl::IsDeadlineExceeded(statuses[i]);
    if (!of_one_step) co_return statuses[i];
    prepare_statuses_[steps[i]] = statuses[i];
  }
  co_return absl::OkStatus();
}

Async<absl::Status> Attempt::RunBatch(BatchPtr batch) {
  absl::Cleanup interrupt = [this] { core_.StartInterrupt(leased_.get()); };
  const bool in_time = co_await leased_->Run(batch, ctx_.deadline);
  if (!in_time) co_return DeadlineEnded(core_.options.shard, "query");
  std::move(interrupt).Cancel();
  // Nothing was committed yet, so nothing remains.
  if (batch->lost) co_return Unavailable(core_.options.shard, batch->lost_cause, absl::Milliseconds(100));
  co_return absl::OkStatus();
}

absl::Status Attempt::AddHead(const BatchPtr& batch) {
  batch->commands.push_back(Plain("BEGIN"));
  if (guarded()) {
    const auto hash = static_cast<int64_t>(task_.guard->request_hash);
    QUARRY_RETURN_IF_ERROR(Add(batch, kInsertRequest, {Value::Uuid(task_.guard->request_id), Value::Int64(hash)}));
  }
  if (task_.writes() || guarded()) batch->commands.push_back(Plain(kTransactionId));
  return absl::OkStatus();
}

size_t Attempt::AddSteps(const BatchPtr& batch, size_t next) {
  places_.assign(task_.steps.size(), Place());
  while (next < task_.steps.size()) {
    const Step& step = task_.steps[next];
    const size_t before = batch->commands.size();
    if (each()) batch->commands.push_back(Plain("SAVEPOINT quarry_step"));
    places_[next].first = batch->commands.size();
    absl::Status bound = prepare_statuses_[next];
    for (const Statement& statement : step.statements) {
      if (bound.ok()) bound = Add(batch, *statement.sql, statement.params);
    }
    if (!bound.ok()) {
      results_[next].status = bound;
      batch->commands.resize(before);
      if (!each()) return next;
      ++next;
      continue;
    }
    const bool may_undo = each() && NeedsUndo(step);
    if (each() && !may_undo) batch->commands.push_back(Plain("RELEASE SAVEPOINT quarry_step"));
    places_[next].end = batch->commands.size();
    ++next;
    // Whether this step stays must be known before the next one runs.
    if (may_undo) break;
  }
  core_.statements += static_cast<int64_t>(batch->commands.size());
  return next;
}

absl::Status Attempt::TakeResults(const BatchPtr& batch, size_t step) {
  const std::vector<Statement>& statements = task_.steps[step].statements;
  for (size_t i = 0; i < statements.size(); ++i) {
    StatementResult& result = batch->results[places_[step].first + i].result;
    QUARRY_RETURN_IF_ERROR(EvaluateCheck(statements[i].check, result));
    results_[step].statements.push_back(std::move(result));
  }
  return absl::OkStatus();
}

Async<absl::Status> Attempt::UndoStep(size_t step) {
  results_[step].statements.clear();
  const auto batch = std::make_shared<Batch>();
  batch->commands.push_back(Plain("ROLLBACK TO SAVEPOINT quarry_step"));
  batch->commands.push_back(Plain("RELEASE SAVEPOINT quarry_step"));
  QUARRY_CO_RETURN_IF_ERROR(co_await RunBatch(batch));
  co_return batch->FirstError();
}

// Ends with an error when the whole task must be rolled back; id_taken_ says whether it is a replay.
Async<absl::Status> Attempt::RunSteps() {
  size_t next = 0;
  do {
    const auto batch = std::make_shared<Batch>();
    const bool with_head = !head_sent_;
    if (with_head) QUARRY_CO_RETURN_IF_ERROR(AddHead(batch));
    const size_t start = next;
    const size_t head = batch->commands.size();
    next = AddSteps(batch, start);
    if (!each() && next < task_.steps.size()) {
      co_return WithFact(results_[next].status, "item", absl::StrCat(task_.steps[next].item));
    }
    head_sent_ = true;
    QUARRY_CO_RETURN_IF_ERROR(co_await RunBatch(batch));
    for (size_t i = 0; with_head && i < head; ++i) {
      if (!batch->results[i].status.ok()) co_return batch->results[i].status;
    }
    if (with_head && guarded() && batch->results[1].result.affected == 0) {
      id_taken_ = true;
      co_return absl::OkStatus();
    }
    if (with_head && head > 1) transaction_ = batch->results[head - 1].result.batch.rows[0][0].text();
    for (size_t step = start; step < next; ++step) {
      if (!results_[step].status.ok()) continue;
      absl::Status status;
      for (size_t i = places_[step].first; i < places_[step].end && status.ok(); ++i) {
        status = batch->results[i].status;
      }
      const bool ran = status.ok();
      if (ran) status = TakeResults(batch, step);
      if (status.ok()) continue;
      if (!each()) co_return WithFact(status, "item", absl::StrCat(task_.steps[step].item));
      results_[step].status = status;
      results_[step].statements.clear();
      // A failed check of a step that wrote nothing leaves nothing, and its savepoint is released already.
      if (ran && !NeedsUndo(task_.steps[step])) continue;
      // These end the transaction as a whole.
      if (absl::IsAborted(status) && ReasonOf(status) != reason::kEtagMismatch) co_return status;
      QUARRY_CO_RETURN_IF_ERROR(co_await UndoStep(step));
      // What came after it in the batch did not run.
      next = step + 1;
    }
  } while (next < task_.steps.size());
  co_return absl::OkStatus();
}

Async<absl::StatusOr<TaskResult>> Attempt::Replay() {
  const auto batch = std::make_shared<Batch>();
  batch->commands.push_back(Plain("ROLLBACK"));
  QUARRY_CO_RETURN_IF_ERROR(co_await RunBatch(batch));
  absl::StatusOr<std::optional<TaskResult>> found =
      co_await FindReply(core_, leased_.get(), *task_.guard, ctx_);
  if (!found.ok()) co_return found.status();
  if (found->has_value()) co_return **std::move(found);
  // The holder was forgotten in between.
  co_return Unavailable(core_.options.shard, "the request_id was let go while it was looked up", absl::ZeroDuration());
}

Async<absl::StatusOr<TaskResult>> Attempt::Commit() {
  TaskResult result;
  result.steps = std::move(results_);
  const auto batch = std::make_shared<Batch>();
  if (guarded()) {
    const std::vector<Value> params = {Value::Uuid(task_.guard->request_id), Value::Bytes(EncodeTaskResult(result))};
    QUARRY_CO_RETURN_IF_ERROR(Add(batch, kStoreReply, params));
  }
  const bool pass_gate = core_.options.strict_snapshots && task_.writes();
  if (pass_gate) batch->commands.push_back(Plain(PassGateSql(core_.options.deployment)));
  batch->commands.push_back(Plain("COMMIT"));
  ctx_.stage = Stage::kCommit;
  Leased leased = std::move(leased_);
  Ending ending = {batch, transaction_, ""};
  const absl::Status status = co_await EndInBackground(core_, std::move(leased), std::move(ending), ctx_.deadline);
  // Nobody but this task was in the transaction, so another try is as good as the first.
  const bool undone = absl::IsAborted(status) && ReasonOf(status) == reason::kTransactionEnded;
  if (undone) co_return Unavailable(core_.options.shard, "the connection broke at the commit", absl::Milliseconds(100));
  if (!status.ok()) co_return status;
  co_return result;
}

Async<absl::StatusOr<TaskResult>> Attempt::Run() {
  QUARRY_CO_RETURN_IF_ERROR(co_await Prepare());
  const absl::Status ran = co_await RunSteps();
  if (id_taken_) {
    absl::StatusOr<TaskResult> stored = co_await Replay();
    co_return stored;
  }
  // The connection rolls back as it goes to its pool.
  if (!ran.ok()) co_return ran;
  absl::StatusOr<TaskResult> committed = co_await Commit();
  co_return committed;
}

Async<absl::StatusOr<TaskResult>> RunTask(Core& core, const Task& task, const CallContext& ctx) {
  absl::StatusOr<TaskResult> result = absl::InternalError("not run");
  for (int tries = 0; tries < kStaleTriesMax; ++tries) {
    absl::StatusOr<Leased> leased = co_await Lease(core, ctx);
    if (!leased.ok()) co_return leased.status();
    ctx.stage = Stage::kQuery;
    Attempt attempt(core, task, ctx, *std::move(leased));
    result = co_await attempt.Run();
    if (!IsStalePlan(result.status())) break;
  }
  co_return result;
}

}  // namespace

Async<absl::StatusOr<TaskResult>> RunUnguarded(Core& core, const Task& task, const CallContext& ctx) {
  absl::StatusOr<TaskResult> result = co_await RunTask(core, task, ctx);
  co_return result;
}

Async<absl::StatusOr<TaskResult>> RunGuarded(Core& core, const Task& task, const CallContext& ctx) {
  const std::string id = task.guard->request_id;
  // Tries of one request on this loop go one after the other, so that those that wait hold no session.
  while (core.requests_at_work.contains(id)) {
    const bool in_time = co_await WaitInLine(core, core.requests_at_work[id], ctx.deadline);
    if (!in_time) co_return DeadlineEnded(core.options.shard, "queue");
  }
  core.requests_at_work[id];
  const absl::Cleanup wake = [&core, id] {
    const auto waiters = core.requests_at_work.extract(id);
    for (Completer<bool> waiter : waiters.mapped()) waiter.Set(true);
  };
  const absl::Status ready = co_await EnsureTables(core, OwnTables::kRequests, ctx.deadline);
  if (!ready.ok()) co_return ready;
  absl::StatusOr<TaskResult> result = co_await RunTask(core, task, ctx);
  if (!result.ok() && DetailOf(result.status()).facts["sqlstate"] == "42P01") core.requests_ready = false;
  co_return result;
}

}  // namespace quarry::postgres
