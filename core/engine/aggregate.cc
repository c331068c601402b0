#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/shard_error.h"
#include "core/base/error.h"
#include "core/base/gather.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "core/engine/shard_timer.h"
#include "core/model/check.h"
#include "core/plan/plan_aggregate.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

std::vector<Row> TakeRows(TaskResult& result) {
  if (result.steps.empty() || result.steps.front().statements.empty()) return {};
  return std::move(result.steps.front().statements.front().batch.rows);
}

absl::Status OverReply(int64_t bytes_max) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded,
                   absl::StrCat("the groups have more than ", bytes_max, " bytes (limits.reply_bytes); give a limit, a having "
                                "condition, or fewer columns in group_by"),
                   {{"limit", absl::StrCat(bytes_max)}});
}

}  // namespace

// The merge as it goes, and what failed in it: a failure of the whole call, even where shards may be missing.
struct Engine::Aggregation {
  explicit Aggregation(const AggregateSpec& asked) : spec(asked), merge(asked) {}
  const AggregateSpec& spec;  // Outlives this.
  AggregateMerge merge;
  absl::Status failed;
};

// A question may take its time, so it has a session: what is given to Execute may be answered on the loop's own thread.
Async<absl::StatusOr<TaskResult>> Engine::AskShard(const Task& task, const std::string& transaction_id, const CallContext& ctx) {
  if (!transaction_id.empty()) co_return co_await RunTask(task, transaction_id, ctx);
  const ShardTimer timer(ctx, task.shard);
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();
  SessionOptions options;
  options.transaction = false;
  options.read_only = true;
  absl::Status failure;
  for (int attempt = 0; attempt < 2; ++attempt) {
    ctx.stage = Stage::kPool;
    absl::StatusOr<std::unique_ptr<Session>> session = co_await parts_.shards[Index(task.shard)]->Lease(options, ctx);
    failure = session.status();
    TaskResult result;
    for (size_t i = 0; failure.ok() && i < task.steps.size(); ++i) {
      ctx.stage = Stage::kQuery;
      const Step& step = task.steps[i];
      absl::StatusOr<StepResult> answer = co_await (*session)->Execute(step, ctx);
      failure = answer.status();
      if (answer.ok()) result.steps.push_back(*std::move(answer));
    }
    if (failure.ok()) co_return result;
    if (!absl::IsUnavailable(failure)) break;
  }
  co_return OnShard(failure, now->topology.name(task.shard));
}

// All of a shard's answers or none of them reach the merge.
Async<absl::StatusOr<bool>> Engine::AddShard(const AggregatePart& part, const std::string& transaction_id, const CallContext& ctx,
                                             Aggregation& aggregation) {
  absl::StatusOr<TaskResult> partial = co_await AskShard(part.partial, transaction_id, ctx);
  if (!partial.ok()) {
    const absl::Status failure = OfPartialSums(aggregation.spec, partial.status());
    // No failure of the shard, which allow_partial would leave out.
    if (absl::IsOutOfRange(failure)) aggregation.failed.Update(failure);
    co_return failure;
  }
  CountShardRows(ctx, part.shard, *partial);
  std::vector<std::pair<size_t, std::vector<Row>>> values;
  for (const auto& [column, task] : part.distinct) {
    const Task& ask = task;
    absl::StatusOr<TaskResult> answer = co_await AskShard(ask, transaction_id, ctx);
    if (!answer.ok()) co_return answer.status();
    CountShardRows(ctx, part.shard, *answer);
    values.emplace_back(column, TakeRows(*answer));
  }
  ctx.stage = Stage::kMerge;
  aggregation.failed.Update(aggregation.merge.Add(TakeRows(*partial)));
  for (auto& [column, rows] : values) aggregation.failed.Update(aggregation.merge.AddDistinct(column, std::move(rows)));
  QUARRY_CO_RETURN_IF_ERROR(aggregation.failed);
  co_return true;
}

Async<absl::StatusOr<AggregatePlan>> Engine::PlanAggregation(const AggregateOperation& op, Place place, const CallContext& ctx) {
  ctx.stage = Stage::kPlan;
  absl::StatusOr<AggregatePlan> plan = PlanAggregate(op, *place.snapshot, place.spread, texts_, parts_.limits.aggregate);
  if (!plan.ok() || plan->unmapped.empty()) co_return plan;
  QUARRY_CO_ASSIGN_OR_RETURN(const Table* table, FindTable(*place.snapshot, op.table));
  absl::StatusOr<bool> learned = co_await Learn(*table, plan->unmapped, *place.snapshot, ctx);
  if (!learned.ok()) co_return learned.status();
  if (!*learned) co_return plan;
  co_return PlanAggregate(op, *place.snapshot, place.spread, texts_, parts_.limits.aggregate);
}

Async<absl::StatusOr<AggregateResult>> Engine::AggregateAt(const AggregateOperation& op, Place place,
                                                           const std::string& transaction_id, const CallContext& ctx) {
  QUARRY_CO_ASSIGN_OR_RETURN(AggregatePlan plan, co_await PlanAggregation(op, place, ctx));
  const bool partial = op.allow_partial && transaction_id.empty();
  std::vector<ShardId> shards;
  for (const AggregatePart& part : plan.parts) shards.push_back(part.shard);
  QUARRY_CO_RETURN_IF_ERROR(co_await Cut(transaction_id, std::move(shards), ctx));
  Aggregation aggregation(plan.spec);
  std::vector<Async<absl::StatusOr<bool>>> work;
  for (const AggregatePart& part : plan.parts) work.push_back(AddShard(part, transaction_id, ctx, aggregation));
  GatherOptions options;
  // A transaction's calls run one at a time.
  options.width = transaction_id.empty() ? parts_.limits.scatter_width : 1;
  options.stop_at_first_error = !partial;
  const std::vector<absl::StatusOr<bool>> answers = co_await Gather(ctx.loop, std::move(work), options);
  QUARRY_CO_RETURN_IF_ERROR(aggregation.failed);
  AggregateResult result;
  result.served_by.epoch = place.snapshot->topology.epoch();
  result.served_by.level = LevelOf(transaction_id);
  absl::Status failure;
  for (size_t i = 0; i < answers.size(); ++i) {
    const ShardId shard = plan.parts[i].shard;
    result.served_by.asked.push_back(shard);
    if (answers[i].ok()) {
      result.served_by.answered.push_back(shard);
      continue;
    }
    result.failed.emplace_back(shard, answers[i].status());
    // What was dropped for another's failure does not tell why.
    if (failure.ok() || absl::IsCancelled(failure)) failure = answers[i].status();
  }
  if (!failure.ok() && !partial) co_return failure;
  ctx.stage = Stage::kMerge;
  result.header = plan.spec.header;
  QUARRY_CO_ASSIGN_OR_RETURN(result.rows, std::move(aggregation.merge).Finish());
  const int64_t bytes = ByteSize(result.rows);
  if (bytes > parts_.limits.reply_bytes_max) co_return OverReply(parts_.limits.reply_bytes_max);
  RowBounds bounds;
  bounds.rows_max = op.bounds.rows_max;
  bounds.bytes_max = op.bounds.bytes_max;
  QUARRY_CO_RETURN_IF_ERROR(CheckBounds(bounds, static_cast<int64_t>(result.rows.size()), bytes));
  co_return result;
}

Async<absl::StatusOr<AggregateResult>> Engine::AggregateNow(const AggregateOperation& op, const std::string& transaction_id,
                                                            const CallContext& ctx) {
  QUARRY_CO_ASSIGN_OR_RETURN(Place place, PlaceOf(transaction_id));
  QUARRY_CO_ASSIGN_OR_RETURN(const Table* table, FindTable(*place.snapshot, op.table));
  const auto shards = static_cast<uint32_t>(place.snapshot->topology.shards().size());
  // The rows of a reference table are on every shard: the next that answers will do.
  const bool elsewhere = table->kind() == TableKind::kReference && !place.pinned && op.target.empty();
  for (uint32_t tried = 1;; ++tried) {
    absl::StatusOr<AggregateResult> result = co_await AggregateAt(op, place, transaction_id, ctx);
    const bool unavailable = absl::IsUnavailable(result.status()) || (result.ok() && !result->failed.empty());
    if (!elsewhere || !unavailable || tried >= shards) co_return result;
    place.spread = ShardId{(static_cast<uint32_t>(place.spread) + 1) % shards};
  }
}

}  // namespace quarry
