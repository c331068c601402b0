// What one loop owns: its shards in their wrappings, its snapshot, its engine. Made, used and destroyed on the loop.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/loop.h"
#include "core/base/random.h"
#include "core/base/seal.h"
#include "core/config/config.h"
#include "core/engine/engine.h"
#include "core/plan/snapshot.h"
#include "core/shard/retry_budget.h"
#include "core/shard/shard.h"
#include "server/observe/shard_board.h"
#include "server/observe/shard_metrics.h"
#include "server/observe/transaction_metrics.h"
#include "server/wiring/databases.h"

namespace quarry {

class LoopParts {
 public:
  struct Options {
    uint64_t instance = 0;  // Of this gateway.
    uint32_t loop_index = 0;
    uint32_t id_node = 0;
    const Config* config = nullptr;
    const Databases* databases = nullptr;
    ShardMetrics* metrics = nullptr;
    ShardBoard* board = nullptr;
    TransactionMetrics* transactions = nullptr;
    std::shared_ptr<const Snapshot> snapshot;
    std::shared_ptr<const Sealer> sealer;  // Of page and resume tokens.
    std::shared_ptr<ResultCacheShared> cache_shared;
    std::shared_ptr<LockShared> locks;
  };
  // All that `options` points to, and `loop`, outlive this.
  LoopParts(Loop& loop, Options options);

  void SetSnapshot(std::shared_ptr<const Snapshot> snapshot) { snapshot_ = std::move(snapshot); }
  Engine& engine() { return *engine_; }

 private:
  std::unique_ptr<ShardBackend> MakeShard(size_t shard, Loop& loop, const Options& options);

  SystemRandom random_;
  RetryBudget budget_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::unique_ptr<Engine> engine_;
  // After what they look at.
  std::unique_ptr<ShardFeed> feed_;
  std::unique_ptr<TransactionFeed> transaction_feed_;
};

}  // namespace quarry
