// Counts the time that a call spends on a shard, where the call is one that counts (CallContext::shard_costs); else it costs
// nothing. One user.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "core/base/context.h"
#include "core/model/ids.h"
#include "core/model/shard_costs.h"
#include "core/model/statement.h"

namespace quarry {

// What is under way when a call is dropped counts up to then.
class ShardTimer {
 public:
  // `ctx` outlives this.
  explicit ShardTimer(const CallContext& ctx) : ctx_(ctx) {}
  ShardTimer(const CallContext& ctx, ShardId shard) : ctx_(ctx) { Start(shard); }
  ~ShardTimer() { Stop(); }
  ShardTimer(const ShardTimer&) = delete;
  ShardTimer& operator=(const ShardTimer&) = delete;

  void Start(ShardId shard) {
    if (ctx_.shard_costs == nullptr) return;
    ctx_.shard_costs->Of(shard);
    shard_ = shard;
    began_ = ctx_.loop.Now();
  }
  void Stop() {
    if (!shard_.has_value()) return;
    ctx_.shard_costs->Of(*shard_).time += ctx_.loop.Now() - began_;
    shard_.reset();
  }

 private:
  const CallContext& ctx_;
  std::optional<ShardId> shard_;  // While it runs.
  absl::Time began_;
};

inline void CountShardRows(const CallContext& ctx, ShardId shard, int64_t rows) {
  if (ctx.shard_costs != nullptr && rows > 0) ctx.shard_costs->Of(shard).rows += rows;
}
// The rows of a task that reads.
inline void CountShardRows(const CallContext& ctx, ShardId shard, const TaskResult& result) {
  if (ctx.shard_costs == nullptr) return;
  for (const StepResult& step : result.steps) {
    for (const StatementResult& statement : step.statements) {
      CountShardRows(ctx, shard, static_cast<int64_t>(statement.batch.rows.size()));
    }
  }
}

}  // namespace quarry
