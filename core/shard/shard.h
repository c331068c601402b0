// One shard as the engine sees it: a driver in all its wrappings.
#pragma once

#include <memory>
#include <string>

#include "core/backend/backend.h"
#include "core/base/loop.h"
#include "core/base/random.h"
#include "core/shard/breaker.h"
#include "core/shard/health.h"
#include "core/shard/limiter_backend.h"
#include "core/shard/observer.h"
#include "core/shard/retry_backend.h"
#include "core/shard/retry_budget.h"

namespace quarry {

struct ShardOptions {
  std::string name;  // For messages.
  BreakerOptions breaker;
  RetryOptions retry;
  LimiterOptions limiter;
  ShardHealthOptions health;
};

// Belongs to one loop.
class ShardBackend : public Backend {
 public:
  virtual ShardHealthReport health() const = 0;
};

// metered > limited > retried > broken > `driver`, with a prober that starts with the loop: nothing is asked of
// the shard before this returns, so a dead one delays nobody. `loop`, `random`, `budget` and `observer` outlive
// it; a null observer hears nothing. Called on the loop's thread, or before the loop runs.
std::unique_ptr<ShardBackend> DecorateShard(std::unique_ptr<Backend> driver, ShardOptions options, Loop& loop,
                                            Random& random, RetryBudget& budget, ShardObserver* observer);

}  // namespace quarry
