// Metrics of the shards: their calls as they end, their pools as the board last saw them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/shard/observer.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/observe/shard_board.h"

namespace quarry {

// Hands out one observer per shard and loop and adds them up at a scrape:
// quarry_shard_calls_total{shard,kind,code}, quarry_shard_call_seconds{shard,kind}, quarry_shard_retries_total,
// quarry_shard_shed_total, quarry_shard_breaker_open, quarry_shard_sessions_in_use; and of the board:
// quarry_shard_up, quarry_pool_sessions_{open,leased,max}, quarry_pool_waiters, quarry_statements_total,
// quarry_prepared_statements_total{result}, quarry_group_commits_total, quarry_grouped_writes_total,
// quarry_joined_reads_total, quarry_catalog_ready, quarry_open_transactions.
class ShardMetrics final : public prometheus::Collectable {
 public:
  // `board` outlives this.
  explicit ShardMetrics(const ShardBoard& board);
  ~ShardMetrics() override;

  // Any thread; the observer is of one loop and lives as long as this.
  ShardObserver* AddObserver(const std::string& shard) ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<prometheus::MetricFamily> Collect() const override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Observer;
  struct Totals;

  const ShardBoard& board_;
  mutable absl::Mutex mutex_;
  std::vector<std::unique_ptr<Observer>> observers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quarry
