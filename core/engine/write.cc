#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/across_write.h"
#include "core/engine/engine.h"
#include "core/engine/generated_keys.h"
#include "core/engine/scatter.h"

namespace quarry {
namespace {

// The error of an atomic write, with the place of the mutation that failed where there are several.
absl::Status AtItem(const absl::Status& status, bool indexed_paths) {
  ErrorDetail detail = DetailOf(status);
  const auto item = detail.facts.find("item");
  if (item == detail.facts.end()) return status;
  // A lock is the whole write's.
  if (!indexed_paths || detail.reason == reason::kLockLost) {
    detail.facts.erase(item);
    return MakeError(status.code(), std::string(status.message()), detail);
  }
  return WithMessage(status, absl::StrCat("mutations[", item->second, "]: ", std::string(status.message())));
}

// Under kEach a shard that fails fails its own items and no others.
TaskResult FailedSteps(const Task& task, const absl::Status& status) {
  TaskResult result;
  StepResult failed;
  failed.status = status;
  result.steps.assign(task.steps.size(), failed);
  return result;
}

absl::Status Undone(const absl::Status& ended) {
  ErrorDetail detail = DetailOf(ended);
  detail.reason = reason::kShardUnavailable;
  detail.retry_after = absl::Milliseconds(100);
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("nothing was written: ", std::string(ended.message())), detail);
}

std::vector<Task> AllTasks(const WritePlan& plan) {
  std::vector<Task> tasks = plan.tasks;
  if (!plan.reference_writes.empty()) tasks.push_back(ReferenceTask(plan));
  return tasks;
}

// The part of a plan that goes to all shards, as a plan of its own.
WritePlan ReferencePart(const WritePlan& plan) {
  WritePlan part;
  part.reference_writes = plan.reference_writes;
  return part;
}

// As SessionOn wants it, though nothing is waited for.
Async<absl::StatusOr<Session*>> SessionOf(Transactions::Lease* lease, ShardId shard) { co_return &lease->session(shard); }

// What the commit runs with its prepare, owned: the caller may go.
LastPart LastPartOf(const std::vector<Task>& tasks, const std::vector<TaskResult>& parts, bool stores_reply,
                    absl::Time deadline) {
  LastPart last{tasks.back().shard, tasks.back(), deadline, nullptr};
  last.task.guard.reset();  // Home has it.
  if (stores_reply) {
    last.reply = [tasks, parts = parts](const TaskResult& result) mutable {
      parts.back() = result;
      return StoredReply(tasks, parts);
    };
  }
  return last;
}

std::optional<RequestGuard> GuardOf(const WriteOperation& op) {
  if (op.request_id.empty()) return std::nullopt;
  return RequestGuard{op.request_id, op.request_hash};
}

}  // namespace

// What became of a plan's tasks.
struct Engine::Written {
  std::vector<TaskResult> parts;  // One for each task, then one of the reference writes when there are any.
  std::vector<ShardId> failed;    // Under kEach: shards that did not answer.
  CommitEnd end;                  // Of a commit over several shards.
  std::string transaction_id;     // The same.
};

std::vector<ShardParty> Engine::Parties() const {
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();
  std::vector<ShardParty> parties;
  for (const Shard& shard : now->topology.shards()) parties.push_back({parts_.shards[Index(shard.id)].get(), shard.name, shard.dialect});
  return parties;
}

Async<absl::StatusOr<WriteResult>> Engine::Write(const WriteOperation& asked, const std::string& transaction_id,
                                                 const CallContext& ctx) {
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();
  ctx.stage = Stage::kPlan;
  WriteOperation generated;
  const bool generates = std::any_of(asked.mutations.begin(), asked.mutations.end(),
                                     [](const Mutation& mutation) { return !mutation.generate.empty(); });
  if (generates) {
    generated = asked;
    QUARRY_CO_RETURN_IF_ERROR(Generate(generated));
    if (transaction_id.empty() && NeedsStoredKeys(generated, *now)) {
      QUARRY_CO_RETURN_IF_ERROR(co_await StoreGeneratedKeys(generated, *now, parts_.shards, ctx));
    }
  }
  const WriteOperation& op = generates ? generated : asked;
  QUARRY_CO_ASSIGN_OR_RETURN(WritePlan plan, co_await PlanWriteWithDirectory(op, now, ctx));
  const WriteNote note = NoteOfWrite(op, plan, *now);
  const bool several = plan.tasks.size() > 1 || !plan.reference_writes.empty();
  absl::StatusOr<Written> written = absl::UnknownError("");
  if (!transaction_id.empty()) {
    written = co_await WriteInTransaction(op, plan, *now, transaction_id, ctx);
  } else if (several && op.atomicity == Atomicity::kAll) {
    written = co_await WriteAcross(op, plan, GuardOf(op), *now, ctx);
  } else {
    written = co_await WriteApart(op, plan, *now, ctx);
  }
  if (!written.ok()) co_return AtItem(written.status(), op.indexed_paths);
  ctx.stage = Stage::kMerge;
  std::vector<ShardId> asked_shards = ShardsOfPlan(plan, now->topology);
  if (!plan.reference_writes.empty()) plan.tasks.push_back(ReferenceTask(plan));
  WriteResult result = MergeWrite(plan.merge, plan.tasks, std::move(written->parts));
  for (auto& [item, status] : plan.refused) result.mutations[item].status = std::move(status);
  result.served_by.epoch = now->topology.epoch();
  result.served_by.asked = std::move(asked_shards);
  for (const ShardId shard : result.served_by.asked) {
    const std::vector<ShardId>& failed = written->failed;
    if (std::find(failed.begin(), failed.end(), shard) == failed.end()) result.served_by.answered.push_back(shard);
  }
  result.transaction_id = std::move(written->transaction_id);
  result.unfinished = written->end.outcome == CommitOutcome::kCommittedUnfinished;
  co_return result;
}

// Each shard's task is a transaction of its own; the reference writes are one over all shards.
Async<absl::StatusOr<Engine::Written>> Engine::WriteApart(const WriteOperation& op, const WritePlan& plan,
                                                          const Snapshot& snapshot, const CallContext& ctx) {
  const bool all = op.atomicity == Atomicity::kAll;
  const std::string no_transaction;
  std::vector<absl::StatusOr<TaskResult>> answers = co_await RunTasks(plan.tasks, no_transaction, all, ctx);
  Written written;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].ok()) {
      written.parts.push_back(*std::move(answers[i]));
    } else if (all) {
      co_return answers[i].status();
    } else {
      written.parts.push_back(FailedSteps(plan.tasks[i], answers[i].status()));
      written.failed.push_back(plan.tasks[i].shard);
    }
  }
  if (plan.reference_writes.empty()) co_return written;
  const WritePlan everywhere = ReferencePart(plan);
  std::optional<RequestGuard> guard = GuardOf(op);
  // The last shard may hold another part of the same request, of a sharded table, under the request's own id.
  if (guard.has_value()) guard->request_id = RequestIdOfPart(op.request_id, 'f');
  absl::StatusOr<Written> reference = co_await WriteAcross(op, everywhere, guard, snapshot, ctx);
  if (reference.ok()) {
    written.parts.push_back(std::move(reference->parts.front()));
    written.end = reference->end;
    written.transaction_id = reference->transaction_id;
  } else {
    written.parts.push_back(FailedSteps(ReferenceTask(plan), reference.status()));
    written.failed = ShardsOfPlan(plan, snapshot.topology);
  }
  co_return written;
}

Async<absl::StatusOr<Session*>> Engine::OpenPartOn(ShardId shard, SessionOptions options, std::vector<OpenPart>* open,
                                                    const CallContext& ctx) {
  absl::StatusOr<std::unique_ptr<Session>> session = co_await parts_.shards[Index(shard)]->Lease(options, ctx);
  if (!session.ok()) co_return session.status();
  OpenPart part;
  part.shard = shard;
  part.session = *std::move(session);
  open->push_back(std::move(part));
  co_return open->back().session.get();
}

// One transaction over all shards of the plan: statements ascending, then the commit, which runs those of the last part.
Async<absl::StatusOr<Engine::Written>> Engine::WriteAcross(const WriteOperation& op, const WritePlan& plan,
                                                           std::optional<RequestGuard> guard, const Snapshot& snapshot,
                                                           const CallContext& ctx) {
  const std::vector<Task> tasks = AllTasks(plan);
  const std::vector<ShardId> shards = ShardsOfPlan(plan, snapshot.topology);
  std::vector<ShardParty> parties = Parties();
  std::vector<ShardParty> asked;
  for (const ShardId shard : shards) asked.push_back(parties[Index(shard)]);
  const absl::Status able = co_await CheckTwoPhase(std::move(asked), ctx);
  QUARRY_CO_RETURN_IF_ERROR(able);
  std::vector<OpenPart> open;
  const bool leave_last = op.atomicity == Atomicity::kAll && plan.reference_writes.empty();
  const AcrossWrite write{plan, op.atomicity, planner_, snapshot.topology, guard, leave_last};
  SessionOptions options;
  // The first step that fails ends the whole.
  options.undo_steps = op.atomicity == Atomicity::kEach;
  SessionOn session_on = [this, options, &open, &ctx](ShardId shard) { return OpenPartOn(shard, options, &open, ctx); };
  absl::StatusOr<AcrossAnswers> answers = co_await RunAcross(write, std::move(session_on), ctx);
  if (!answers.ok()) co_return answers.status();
  Written written;
  if (answers->stored.has_value()) {
    written.parts = StoredParts(tasks, *std::move(answers->stored));
    co_return written;
  }
  written.parts = std::move(answers->parts);
  CommitWork work;
  work.transaction_id = transactions_.NewId();
  written.transaction_id = work.transaction_id;
  work.parts = std::move(open);
  work.guard = guard;
  if (answers->left) {
    work.last = LastPartOf(tasks, written.parts, guard.has_value(), ctx.deadline);
  } else if (guard.has_value()) {
    work.reply = StoredReply(tasks, written.parts);
  }
  written.end = co_await commits_.Run(std::move(work), std::move(parties), ctx);
  if (answers->left) written.parts.back() = std::move(written.end.last);
  // Nobody but this write was in the transaction, so another try is as good as the first.
  if (ReasonOf(written.end.status) == reason::kTransactionEnded) co_return Undone(written.end.status);
  QUARRY_CO_RETURN_IF_ERROR(written.end.status);
  co_return written;
}

Async<absl::StatusOr<Engine::Written>> Engine::WriteInTransaction(const WriteOperation& op, const WritePlan& plan,
                                                                  const Snapshot& snapshot,
                                                                  const std::string& transaction_id,
                                                                  const CallContext& ctx) {
  Written written;
  if (plan.tasks.size() == 1 && plan.reference_writes.empty()) {
    absl::StatusOr<TaskResult> result = co_await RunTask(plan.tasks.front(), transaction_id, ctx);
    if (!result.ok()) co_return result.status();
    written.parts.push_back(*std::move(result));
    co_return written;
  }
  const std::vector<Task> tasks = AllTasks(plan);
  const std::vector<ShardId> shards = ShardsOfPlan(plan, snapshot.topology);
  if (shards.empty()) co_return written;
  absl::StatusOr<std::unique_ptr<Transactions::Lease>> lease = co_await transactions_.Use(transaction_id, shards, true, ctx);
  if (!lease.ok()) co_return lease.status();
  const std::optional<RequestGuard> guard = GuardOf(op);
  if (guard.has_value()) {
    absl::StatusOr<std::optional<TaskResult>> stored = (*lease)->StoredReply(*guard);
    if (!stored.ok() || stored->has_value()) (*lease)->Done(absl::OkStatus());
    if (!stored.ok()) co_return stored.status();
    if (stored->has_value()) {
      written.parts = StoredParts(tasks, **std::move(stored));
      co_return written;
    }
  }
  const bool whole = op.atomicity == Atomicity::kAll || !plan.reference_writes.empty();
  absl::Status status;
  if (whole) status = co_await (*lease)->Mark(shards, ctx);
  absl::StatusOr<AcrossAnswers> answers = absl::UnknownError("");
  if (status.ok()) {
    const AcrossWrite write{plan, op.atomicity, planner_, snapshot.topology, std::nullopt, false};
    Transactions::Lease* const held = lease->get();
    SessionOn session_on = [held](ShardId shard) { return SessionOf(held, shard); };
    answers = co_await RunAcross(write, std::move(session_on), ctx);
    status = answers.status();
  }
  if (whole && !EndsTransaction(status)) {
    const absl::Status unmarked = co_await (*lease)->Unmark(shards, !status.ok(), ctx);
    if (!unmarked.ok()) status = unmarked;
  }
  (*lease)->Done(status);
  QUARRY_CO_RETURN_IF_ERROR(status);
  written.parts = std::move(answers->parts);
  if (guard.has_value()) (*lease)->StoreReply(*guard, StoredReply(tasks, written.parts));
  co_return written;
}

}  // namespace quarry
