// Commits, recovery and audits of transactions as metrics: quarry_commits_total{phase} and its kin, the gauges of what is in
// doubt now, and what the latest audit found. Each loop publishes its counts a few times a second.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/loop.h"
#include "core/engine/engine.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace quarry {

// Thread-safe.
class TransactionMetrics final : public prometheus::Collectable {
 public:
  explicit TransactionMetrics(size_t loops) : commits_(loops) {}

  // One loop's counts since its start.
  void Publish(size_t loop, const CommitStats& commits) ABSL_LOCKS_EXCLUDED(mutex_);
  // Of the loop that recovers.
  void Publish(const RecoveryStats& recovery) ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<prometheus::MetricFamily> Collect() const override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  std::vector<CommitStats> commits_ ABSL_GUARDED_BY(mutex_);
  RecoveryStats recovery_ ABSL_GUARDED_BY(mutex_);
};

// Publishes what an engine counts, now and every `interval`. Made and destroyed on its loop.
class TransactionFeed {
 public:
  // All outlive this.
  TransactionFeed(Loop& loop, size_t loop_index, const Engine& engine, TransactionMetrics& metrics,
                  absl::Duration interval = absl::Milliseconds(200));
  TransactionFeed(const TransactionFeed&) = delete;
  TransactionFeed& operator=(const TransactionFeed&) = delete;

 private:
  void Publish();

  Loop& loop_;
  const size_t loop_index_;
  const Engine& engine_;
  TransactionMetrics& metrics_;
  const absl::Duration interval_;
  Timer timer_;
};

}  // namespace quarry
