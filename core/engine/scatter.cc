#include "core/engine/scatter.h"

#include <string>
#include <utility>

#include "core/backend/shard_error.h"
#include "core/base/gather.h"
#include "core/engine/shard_timer.h"

namespace quarry {
namespace {

Async<absl::StatusOr<TaskResult>> RunOn(const Task& task, Backend& shard, const std::string& name,
                                        const CallContext& ctx) {
  ShardTimer timer(ctx, task.shard);
  absl::StatusOr<TaskResult> result = co_await shard.Execute(task, ctx);
  timer.Stop();
  if (!result.ok()) co_return OnShard(result.status(), name);
  co_return result;
}

}  // namespace

absl::Status FirstFailure(const std::vector<absl::StatusOr<TaskResult>>& results) {
  absl::Status first;
  for (const absl::StatusOr<TaskResult>& result : results) {
    if (result.ok()) continue;
    if (!absl::IsCancelled(result.status())) return result.status();
    first = result.status();
  }
  return first;
}

Async<std::vector<absl::StatusOr<TaskResult>>> Scatter(const std::vector<Task>& tasks,
                                                       const std::vector<std::unique_ptr<Backend>>& shards,
                                                       const Topology& topology, ScatterOptions options,
                                                       const CallContext& ctx) {
  std::vector<Async<absl::StatusOr<TaskResult>>> work;
  work.reserve(tasks.size());
  for (const Task& task : tasks) {
    work.push_back(RunOn(task, *shards[Index(task.shard)], topology.name(task.shard), ctx));
  }
  GatherOptions gather;
  gather.width = options.width;
  gather.stop_at_first_error = options.stop_at_first_error;
  co_return co_await Gather(ctx.loop, std::move(work), gather);
}

}  // namespace quarry
