// The last statements of a transaction together with its PREPARE: one round trip.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/postgres/branch_gid.h"
#include "core/backend/postgres/checks.h"
#include "core/backend/postgres/ending.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/schema.h"
#include "core/backend/postgres/session.h"
#include "core/backend/run_then_prepare.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::postgres {
namespace {

constexpr char kDivisionByZero[] = "22012";

// Of the steps in their order; the first that failed, or did not do what it should, has the word.
absl::StatusOr<TaskResult> TaskResults(const Task& task, Batch& batch, size_t first) {
  TaskResult result;
  for (const Step& step : task.steps) {
    absl::StatusOr<StepResult> answer = StepResult();
    for (size_t i = 0; i < step.statements.size(); ++i) {
      const absl::Status& ran = batch.results[first + i].status;
      if (!ran.ok() && (answer.ok() || absl::IsCancelled(answer.status()))) answer = ran;
    }
    if (answer.ok()) answer = Results(step, batch, first);
    if (!answer.ok()) return WithFact(answer.status(), "item", absl::StrCat(step.item));
    result.steps.push_back(*std::move(answer));
    first += step.statements.size();
  }
  return result;
}

}  // namespace

Async<absl::StatusOr<bool>> PostgresSession::PrepareTask(const Task& task, const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(co_await Ready(ctx));
  const std::vector<std::string> own = {kInsertPart, kBoundStatements};
  const absl::Status ready = co_await PrepareStatements(own, ctx);
  if (!ready.ok()) co_return Explained(core_, ready);
  for (const Step& step : task.steps) {
    QUARRY_CO_RETURN_IF_ERROR(CheckStatements(step));
    if (UsesOwnTables(step)) QUARRY_CO_RETURN_IF_ERROR(co_await EnsureTables(core_, OwnTables::kAll, ctx.deadline));
    const std::vector<std::string> texts = Texts(step);
    const absl::Status known = co_await PrepareStatements(texts, ctx);
    if (!known.ok()) co_return WithFact(known, "item", absl::StrCat(step.item));
  }
  for (const std::string& text : own) {
    if (leased_->FindPrepared(text) == nullptr) co_return false;
  }
  for (const Step& step : task.steps) {
    for (const Statement& statement : step.statements) {
      if (leased_->FindPrepared(*statement.sql) == nullptr) co_return false;
    }
  }
  co_return true;
}

absl::Status PostgresSession::AddBound(const BatchPtr& batch, int64_t ms) {
  const std::vector<Value> params = {Value::Int64(ms)};
  QUARRY_ASSIGN_OR_RETURN(Command command, Bind(leased_->FindPrepared(kBoundStatements), params));
  batch->commands.push_back(std::move(command));
  return absl::OkStatus();
}

absl::Status PostgresSession::AddTask(const BatchPtr& batch, const Task& task) {
  for (const Step& step : task.steps) {
    for (const Statement& statement : step.statements) {
      absl::StatusOr<Command> command = Bind(leased_->FindPrepared(*statement.sql), statement.params);
      if (!command.ok()) return WithFact(command.status(), "item", absl::StrCat(step.item));
      batch->commands.push_back(*std::move(command));
    }
    core_.statements += static_cast<int64_t>(step.statements.size());
  }
  return absl::OkStatus();
}

Async<PreparedTask> PostgresSession::RunAndPrepare(const Task& task, const GlobalTransaction& transaction,
                                                   const CallContext& ctx) {
  const BranchOwner owner = {core_.options.deployment, core_.options.shard};
  const absl::StatusOr<std::string> gid = BranchGid(owner, transaction);
  const std::string id = transaction.id;
  PreparedTask done;
  // With savepoints around the steps they go one by one.
  bool together = gid.ok() && options_.transaction && !options_.undo_steps;
  if (together) {
    const absl::StatusOr<bool> known = co_await PrepareTask(task, ctx);
    if (!known.ok()) {
      done.status = ended_ ? known.status() : End(known.status());
      co_return done;
    }
    together = *known;
  }
  if (!together) {
    done = co_await RunThenPrepare(*this, task, transaction, ctx);
    co_return done;
  }
  const int64_t ms = LockTimeoutMs(core_.loop.Now(), ctx.deadline);
  // What was done before has taken time of its own.
  const bool bounded = ms > 0 && !begun_;
  const BatchPtr batch = NewBatch();
  BoundWaits(batch, ctx);
  absl::Status bound = bounded ? AddBound(batch, ms) : absl::OkStatus();
  const size_t first = batch->commands.size();
  bound.Update(AddTask(batch, task));
  const size_t gate = batch->commands.size();
  bound.Update(AddPrepare(batch, id, *gid, bounded ? ms : kAnyAgeMs));
  if (!bound.ok()) {
    done.status = End(bound);
    co_return done;
  }
  ended_ = true;
  Leased leased = std::move(leased_);
  // PostgreSQL's id of the transaction is on the way with the rest, so a lost answer cannot be looked up.
  Ending ending = {batch, "", *gid};
  const absl::Status ended = co_await EndInBackground(core_, std::move(leased), std::move(ending), ctx.deadline);
  if (!batch->done || batch->lost || batch->weak_commit) {
    done.status = WithFact(ended, "transaction_id", id);
    co_return done;
  }
  done.result = TaskResults(task, *batch, first);
  if (batch->results.back().status.ok() && batch->sync_status.ok()) co_return done;
  const bool late = DetailOf(batch->results[gate].status).facts["sqlstate"] == kDivisionByZero;
  if (!done.result.ok()) {
    done.status = done.result.status();
  } else {
    done.status = late ? DeadlineEnded(core_.options.shard, "commit") : WithFact(Explained(core_, ended), "transaction_id", id);
  }
  co_return done;
}

}  // namespace quarry::postgres
