#include "core/shard/shard.h"

#include <utility>

#include "core/shard/breaker_backend.h"
#include "core/shard/metered_backend.h"

namespace quarry {
namespace {

ShardObserver& OrNobody(ShardObserver* observer) {
  static NoShardObserver nobody;
  return observer != nullptr ? *observer : nobody;
}

class DecoratedShard final : public ShardBackend {
 public:
  // `breaker` is inside of `chain`.
  DecoratedShard(std::unique_ptr<Backend> chain, const Breaker& breaker, ShardHealthOptions options, Loop& loop,
                 Random& random)
      : chain_(std::move(chain)), health_(*chain_, breaker, options, loop, random) {}

  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) override {
    return chain_->Execute(task, ctx);
  }
  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options,
                                                        const CallContext& ctx) override {
    return chain_->Lease(options, ctx);
  }
  Async<absl::Status> Ping(const CallContext& ctx) override { return chain_->Ping(ctx); }
  TwoPhase& two_phase() override { return chain_->two_phase(); }
  BackendStats stats() const override { return chain_->stats(); }
  ShardHealthReport health() const override { return health_.report(); }

 private:
  std::unique_ptr<Backend> chain_;
  ShardHealth health_;
};

}  // namespace

std::unique_ptr<ShardBackend> DecorateShard(std::unique_ptr<Backend> driver, ShardOptions options, Loop& loop,
                                            Random& random, RetryBudget& budget, ShardObserver* observer) {
  ShardObserver& heard = OrNobody(observer);
  auto broken = std::make_unique<BreakerBackend>(std::move(driver), options.name, options.breaker, heard);
  const Breaker& breaker = broken->breaker();
  auto retried = std::make_unique<RetryBackend>(std::move(broken), options.retry, random, budget, heard);
  auto limited = std::make_unique<LimiterBackend>(std::move(retried), options.name, options.limiter, heard);
  auto metered = std::make_unique<MeteredBackend>(std::move(limited), heard);
  return std::make_unique<DecoratedShard>(std::move(metered), breaker, options.health, loop, random);
}

}  // namespace quarry
