#include "core/engine/across_write.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/shard_error.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/txn/transactions.h"

namespace quarry {
namespace {

// The stored form of an item that was refused: it has no rows and no error.
TaskResult WithRefusals(TaskResult stored) {
  stored.replayed = true;
  for (StepResult& step : stored.steps) {
    if (!step.statements.empty()) continue;
    step.status = MakeError(absl::StatusCode::kFailedPrecondition, reason::kConstraintViolation,
                            "an earlier try of this request has refused this item; send it under a new request_id "
                            "to see why");
  }
  return stored;
}

// One run over all shards.
class Across {
 public:
  Across(const AcrossWrite& write, const CallContext& ctx)
      : write_(write), ctx_(ctx), made_(write.plan.reference_writes.size()) {
    for (const Task& task : write.plan.tasks) answers_.parts.emplace_back().steps.resize(task.steps.size());
    if (!made_.empty()) answers_.parts.emplace_back().steps.resize(made_.size());
  }

  Async<absl::StatusOr<AcrossAnswers>> Run(SessionOn session_on) {
    const std::vector<ShardId> shards = ShardsOfPlan(write_.plan, write_.topology);
    for (const ShardId shard : shards) {
      Async<absl::StatusOr<Session*>> open = session_on(shard);
      const absl::StatusOr<Session*> session = co_await open;
      if (!session.ok()) co_return OnShard(session.status(), write_.topology.name(shard));
      if (answers_.left) break;
      if (write_.guard.has_value() && shard == shards.front()) {
        const RequestGuard& guard = *write_.guard;
        absl::StatusOr<std::optional<TaskResult>> stored = co_await (*session)->Claim(guard, ctx_);
        if (!stored.ok()) co_return OnShard(stored.status(), write_.topology.name(shard));
        answers_.stored = *std::move(stored);
        if (answers_.stored.has_value()) break;
      }
      const absl::Status ran = co_await RunShard(shard, **session);
      if (!ran.ok()) co_return ran;
      answers_.left = write_.leave_last && shards.size() == 2 && shard == shards.front() && (*session)->wrote();
    }
    co_return std::move(answers_);
  }

 private:
  // The shard's own steps and those of reference tables, in the order of the mutations.
  Async<absl::Status> RunShard(ShardId shard, Session& session) {
    const std::vector<Task>& tasks = write_.plan.tasks;
    const auto task = std::find_if(tasks.begin(), tasks.end(), [shard](const Task& one) { return one.shard == shard; });
    const size_t index = static_cast<size_t>(task - tasks.begin());
    const size_t own = task == tasks.end() ? 0 : task->steps.size();
    size_t at = 0;
    for (size_t reference = 0; reference < made_.size(); ++reference) {
      for (; at < own && task->steps[at].item < write_.plan.reference_writes[reference].item; ++at) {
        const absl::Status ran = co_await RunOwn(shard, session, task->steps[at], answers_.parts[index].steps[at]);
        QUARRY_CO_RETURN_IF_ERROR(ran);
      }
      const absl::Status ran = co_await RunReference(shard, session, reference);
      QUARRY_CO_RETURN_IF_ERROR(ran);
    }
    for (; at < own; ++at) {
      const absl::Status ran = co_await RunOwn(shard, session, task->steps[at], answers_.parts[index].steps[at]);
      QUARRY_CO_RETURN_IF_ERROR(ran);
    }
    first_ = false;
    co_return absl::OkStatus();
  }

  Async<absl::Status> RunOwn(ShardId shard, Session& session, const Step& step, StepResult& result) {
    absl::StatusOr<StepResult> answer = co_await session.Execute(step, ctx_);
    if (answer.ok()) {
      result = *std::move(answer);
      co_return absl::OkStatus();
    }
    const absl::Status failed = OnShard(answer.status(), write_.topology.name(shard));
    if (write_.atomicity == Atomicity::kAll || EndsTransaction(failed)) {
      co_return WithFact(failed, "item", absl::StrCat(step.item));
    }
    result.status = failed;
    co_return absl::OkStatus();
  }

  Async<absl::Status> RunReference(ShardId shard, Session& session, size_t index) {
    const ReferenceWrite& reference = write_.plan.reference_writes[index];
    StepResult& result = answers_.parts.back().steps[index];
    if (first_) {
      const absl::Status ran = co_await RunOwn(shard, session, reference.step, result);
      QUARRY_CO_RETURN_IF_ERROR(ran);
      if (!result.status.ok()) co_return absl::OkStatus();
      const std::vector<Row>& rows = result.statements.back().batch.rows;
      if (rows.empty() && reference.kind != MutationKind::kDelete) co_return NoRow(shard, reference);
      made_[index] = rows.empty() ? Row() : rows.front();
      co_return absl::OkStatus();
    }
    if (!made_[index].has_value()) co_return absl::OkStatus();  // The first shard has refused it.
    const Dialect dialect = write_.topology.shard(shard).dialect;
    const Step step = write_.planner.ReplicaStep(reference, *made_[index], dialect);
    const absl::StatusOr<StepResult> answer = co_await session.Execute(step, ctx_);
    if (answer.ok()) co_return absl::OkStatus();
    co_return WithFact(OnShard(answer.status(), write_.topology.name(shard)), "item", absl::StrCat(reference.item));
  }

  absl::Status NoRow(ShardId shard, const ReferenceWrite& reference) const {
    const std::string& name = write_.topology.name(shard);
    return MakeError(absl::StatusCode::kInternal, reason::kDatabaseError,
                     absl::StrCat("shard ", name, ": table ", reference.table->name(), " gave no row back, so the other shards "
                                  "cannot be given the same; does a trigger drop it?"),
                     {{"shard", name}, {"item", absl::StrCat(reference.item)}});
  }

  const AcrossWrite& write_;
  const CallContext& ctx_;
  std::vector<std::optional<Row>> made_;  // By the first shard, for each reference write.
  bool first_ = true;                     // No shard is done yet.
  AcrossAnswers answers_;
};

// Positions of all steps by ascending item.
std::vector<std::pair<size_t, size_t>> ByItem(const std::vector<Task>& tasks) {
  std::vector<std::pair<size_t, size_t>> places;
  for (size_t task = 0; task < tasks.size(); ++task) {
    for (size_t step = 0; step < tasks[task].steps.size(); ++step) places.emplace_back(task, step);
  }
  std::sort(places.begin(), places.end(), [&tasks](const auto& a, const auto& b) {
    return tasks[a.first].steps[a.second].item < tasks[b.first].steps[b.second].item;
  });
  return places;
}

}  // namespace

std::vector<ShardId> ShardsOfPlan(const WritePlan& plan, const Topology& topology) {
  std::vector<ShardId> shards;
  if (plan.reference_writes.empty()) {
    for (const Task& task : plan.tasks) shards.push_back(task.shard);
  } else {
    for (const Shard& shard : topology.shards()) shards.push_back(shard.id);
  }
  return shards;
}

Task ReferenceTask(const WritePlan& plan) {
  Task task;
  for (const ReferenceWrite& write : plan.reference_writes) {
    Step step;
    step.item = write.item;
    task.steps.push_back(std::move(step));
  }
  return task;
}

Async<absl::StatusOr<AcrossAnswers>> RunAcross(const AcrossWrite& write, SessionOn session_on, const CallContext& ctx) {
  Across across(write, ctx);
  absl::StatusOr<AcrossAnswers> answers = co_await across.Run(std::move(session_on));
  co_return answers;
}

TaskResult StoredReply(const std::vector<Task>& tasks, const std::vector<TaskResult>& parts) {
  TaskResult stored;
  for (const auto& [task, step] : ByItem(tasks)) {
    StepResult& kept = stored.steps.emplace_back();
    if (parts[task].steps[step].status.ok()) kept = parts[task].steps[step];
  }
  return stored;
}

std::vector<TaskResult> StoredParts(const std::vector<Task>& tasks, TaskResult stored) {
  stored = WithRefusals(std::move(stored));
  std::vector<TaskResult> parts;
  for (const Task& task : tasks) {
    parts.emplace_back().steps.resize(task.steps.size());
    parts.back().replayed = true;
  }
  size_t next = 0;
  for (const auto& [task, step] : ByItem(tasks)) {
    if (next < stored.steps.size()) parts[task].steps[step] = std::move(stored.steps[next++]);
  }
  return parts;
}

}  // namespace quarry
