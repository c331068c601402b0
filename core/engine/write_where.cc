#include <algorithm>
#include <utility>

#include "absl/time/time.h"
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

// The error of the whole call, where it has no better place: nothing was written, or a transaction ends with it.
absl::Status ErrorOfAll(const std::vector<BulkWriteResult::Part>& parts, bool in_transaction) {
  if (parts.empty()) return absl::OkStatus();
  for (const BulkWriteResult::Part& part : parts) {
    if (part.status.ok()) return absl::OkStatus();
  }
  const bool nothing = std::all_of(parts.begin(), parts.end(), WroteNothing);
  const bool one = parts.size() == 1 && (in_transaction || parts.front().rows == 0);
  return nothing || one ? parts.front().status : absl::OkStatus();
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

Async<absl::StatusOr<TaskResult>> Engine::RunOwnTask(Task task, std::string transaction_id, const CallContext& ctx) {
  co_return co_await RunTask(task, transaction_id, ctx);
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
  std::vector<Async<absl::StatusOr<BulkShardResult>>> work;
  for (const ShardId id : plan.route.shards) {
    BulkShard shard;
    shard.shard = id;
    shard.dialect = place.snapshot->topology.shard(id).dialect;
    shard.batch_rows = op.batch_rows == 0 ? parts_.limits.bulk_rows : op.batch_rows;
    shard.run = [this, &transaction_id, &work_ctx](Task task) {
      return RunOwnTask(std::move(task), transaction_id, work_ctx);
    };
    work.push_back(RunBulkShard(plan, op, std::move(shard), texts_));
  }
  GatherOptions options;
  // A transaction's calls run one at a time.
  options.width = transaction_id.empty() ? parts_.limits.scatter_width : 1;
  options.stop_at_first_error = false;
  std::vector<absl::StatusOr<BulkShardResult>> answers = co_await Gather(ctx.loop, std::move(work), options);
  ctx.stage = work_ctx.stage;
  BulkWriteResult result;
  result.served_by.epoch = place.snapshot->topology.epoch();
  result.replayed = !answers.empty();
  for (absl::StatusOr<BulkShardResult>& answer : answers) {
    if (!answer.ok()) co_return answer.status();
    result.replayed &= answer->replayed;
    result.served_by.asked.push_back(answer->part.shard);
    CountShardRows(ctx, answer->part.shard, answer->part.rows);
    if (answer->part.status.ok()) result.served_by.answered.push_back(answer->part.shard);
    result.parts.push_back(std::move(answer->part));
  }
  QUARRY_CO_RETURN_IF_ERROR(ErrorOfAll(result.parts, !transaction_id.empty()));
  co_return result;
}

}  // namespace quarry
