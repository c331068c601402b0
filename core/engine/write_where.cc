#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/backend/shard_error.h"
#include "core/base/gather.h"
#include "core/base/status_macros.h"
#include "core/engine/bulk_write.h"
#include "core/engine/engine.h"
#include "core/engine/shard_timer.h"

namespace quarry {
namespace {

// A caller whose deadline ends first would not learn what was written: so much of the time is kept for the answer.
constexpr double kAnswerShare = 0.1;
constexpr absl::Duration kAnswerMax = absl::Seconds(1);

absl::Time WorkDeadline(const CallContext& ctx) {
  return ctx.deadline - std::min(kAnswerMax, kAnswerShare * std::max(ctx.deadline - ctx.loop.Now(), absl::ZeroDuration()));
}

// True when the part is known to have written nothing.
bool WroteNothing(const BulkWriteResult::Part& part) {
  return part.rows == 0 && !part.status.ok() && !absl::IsUnknown(part.status) && !absl::IsDeadlineExceeded(part.status);
}

// The error of the whole call, where it has no better place: nothing was written.
absl::Status ErrorOfAll(const std::vector<BulkWriteResult::Part>& parts) {
  if (parts.empty()) return absl::OkStatus();
  for (const BulkWriteResult::Part& part : parts) {
    if (part.status.ok()) return absl::OkStatus();
  }
  const bool nothing = std::all_of(parts.begin(), parts.end(), WroteNothing);
  const bool one = parts.size() == 1 && parts.front().rows == 0;
  return nothing || one ? parts.front().status : absl::OkStatus();
}

// What batches of a transaction answered, for a repeated call: nothing of it counts before the whole write stands.
using NewReplies = std::vector<std::pair<RequestGuard, TaskResult>>;

Async<absl::StatusOr<TaskResult>> RunBatch(Transactions::Lease* lease, Task task, NewReplies* replies, const CallContext& ctx) {
  if (task.guard.has_value()) {
    absl::StatusOr<std::optional<TaskResult>> stored = lease->StoredReply(*task.guard);
    if (!stored.ok()) co_return stored.status();
    if (stored->has_value()) co_return **std::move(stored);
  }
  const ShardTimer timer(ctx, task.shard);
  absl::StatusOr<StepResult> step = co_await lease->session(task.shard).Execute(task.steps.front(), ctx);
  if (!step.ok()) co_return step.status();
  TaskResult result;
  result.steps.push_back(*std::move(step));
  if (task.guard.has_value()) replies->emplace_back(*task.guard, result);
  co_return result;
}

BulkShard BulkShardOf(const BulkWriteOperation& op, ShardId id, const Topology& topology, int64_t rows_default) {
  BulkShard shard;
  shard.shard = id;
  shard.dialect = topology.shard(id).dialect;
  shard.batch_rows = op.batch_rows == 0 ? rows_default : op.batch_rows;
  return shard;
}

BulkWriteResult ResultOf(std::vector<BulkShardResult> answers, const Snapshot& snapshot, const CallContext& ctx) {
  BulkWriteResult result;
  result.served_by.epoch = snapshot.topology.epoch();
  result.replayed = !answers.empty();
  for (BulkShardResult& answer : answers) {
    result.replayed &= answer.replayed;
    result.served_by.asked.push_back(answer.part.shard);
    CountShardRows(ctx, answer.part.shard, answer.part.rows);
    if (answer.part.status.ok()) result.served_by.answered.push_back(answer.part.shard);
    result.parts.push_back(std::move(answer.part));
  }
  return result;
}

}  // namespace

Async<absl::StatusOr<BulkWritePlan>> Engine::PlanBulk(const BulkWriteOperation& op, Place place, const CallContext& ctx) {
  ctx.stage = Stage::kPlan;
  BulkWriteLimits limits;
  limits.row_bytes_max = parts_.limits.row_bytes_max;
  absl::StatusOr<BulkWritePlan> plan = PlanBulkWrite(op, *place.snapshot, limits);
  if (!plan.ok() || plan->unmapped.empty()) co_return plan;
  absl::StatusOr<bool> learned = co_await Learn(*plan->table, plan->unmapped, *place.snapshot, ctx);
  if (!learned.ok()) co_return learned.status();
  if (!*learned) co_return plan;
  co_return PlanBulkWrite(op, *place.snapshot, limits);
}

Async<absl::StatusOr<TaskResult>> Engine::RunOwnTask(Task task, const CallContext& ctx) {
  co_return co_await RunTask(task, "", ctx);
}

Async<absl::StatusOr<BulkWriteResult>> Engine::WriteWhere(const BulkWriteOperation& op, const std::string& transaction_id,
                                                          const CallContext& ctx) {
  QUARRY_CO_ASSIGN_OR_RETURN(const Place place, PlaceOf(transaction_id));
  QUARRY_CO_ASSIGN_OR_RETURN(const BulkWritePlan plan, co_await PlanBulk(op, place, ctx));
  const WriteNote note = NoteOf({op.table}, plan.route.shards, *place.snapshot);
  CallContext work_ctx(ctx.loop);
  work_ctx.shard_costs = ctx.shard_costs;
  work_ctx.deadline = WorkDeadline(ctx);
  work_ctx.call_id = ctx.call_id;
  ctx.stage = Stage::kQuery;
  absl::StatusOr<BulkWriteResult> result = absl::UnknownError("");
  if (transaction_id.empty()) {
    result = co_await WriteWhereApart(op, plan, *place.snapshot, work_ctx);
  } else {
    result = co_await WriteWhereInTransaction(op, plan, *place.snapshot, transaction_id, work_ctx);
  }
  ctx.stage = work_ctx.stage;
  co_return result;
}

Async<absl::StatusOr<BulkWriteResult>> Engine::WriteWhereApart(const BulkWriteOperation& op, const BulkWritePlan& plan,
                                                               const Snapshot& snapshot, const CallContext& ctx) {
  std::vector<Async<absl::StatusOr<BulkShardResult>>> work;
  for (const ShardId id : plan.route.shards) {
    BulkShard shard = BulkShardOf(op, id, snapshot.topology, parts_.limits.bulk_rows);
    shard.run = [this, &ctx](Task task) { return RunOwnTask(std::move(task), ctx); };
    work.push_back(RunBulkShard(plan, op, std::move(shard), texts_));
  }
  GatherOptions options;
  options.width = parts_.limits.scatter_width;
  options.stop_at_first_error = false;
  std::vector<absl::StatusOr<BulkShardResult>> answers = co_await Gather(ctx.loop, std::move(work), options);
  std::vector<BulkShardResult> done;
  for (absl::StatusOr<BulkShardResult>& answer : answers) {
    if (!answer.ok()) co_return answer.status();
    done.push_back(*std::move(answer));
  }
  BulkWriteResult result = ResultOf(std::move(done), snapshot, ctx);
  QUARRY_CO_RETURN_IF_ERROR(ErrorOfAll(result.parts));
  co_return result;
}

// Shard after shard, as a transaction's statements are; all of it or nothing.
Async<absl::StatusOr<BulkWriteResult>> Engine::WriteWhereInTransaction(const BulkWriteOperation& op, const BulkWritePlan& plan,
                                                                       const Snapshot& snapshot,
                                                                       const std::string& transaction_id,
                                                                       const CallContext& ctx) {
  const std::vector<ShardId>& shards = plan.route.shards;
  if (shards.empty()) co_return ResultOf({}, snapshot, ctx);
  absl::StatusOr<std::unique_ptr<Transactions::Lease>> lease = co_await transactions_.Use(transaction_id, shards, true, ctx);
  if (!lease.ok()) co_return lease.status();
  absl::Status status = co_await (*lease)->Mark(shards, ctx);
  NewReplies replies;
  std::vector<BulkShardResult> done;
  for (const ShardId id : shards) {
    if (!status.ok()) break;
    BulkShard shard = BulkShardOf(op, id, snapshot.topology, parts_.limits.bulk_rows);
    shard.run = [held = lease->get(), &replies, &ctx](Task task) { return RunBatch(held, std::move(task), &replies, ctx); };
    absl::StatusOr<BulkShardResult> answer = co_await RunBulkShard(plan, op, std::move(shard), texts_);
    status = OnShard(answer.ok() ? answer->part.status : answer.status(), snapshot.topology.name(id));
    if (answer.ok()) done.push_back(*std::move(answer));
  }
  if (!EndsTransaction(status)) {
    const absl::Status unmarked = co_await (*lease)->Unmark(shards, !status.ok(), ctx);
    if (!unmarked.ok()) status = unmarked;
  }
  (*lease)->Done(status);
  QUARRY_CO_RETURN_IF_ERROR(status);
  for (const auto& [guard, reply] : replies) (*lease)->StoreReply(guard, reply);
  co_return ResultOf(std::move(done), snapshot, ctx);
}

}  // namespace quarry
