// quarry_locks_held, quarry_lock_waiters, quarry_lock_wait_seconds and quarry_locks_lost_total: locks through this gateway.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "core/lock/lock_shared.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace quarry {

// Any thread.
class LockMetrics final : public prometheus::Collectable {
 public:
  explicit LockMetrics(std::shared_ptr<LockShared> shared) : shared_(std::move(shared)) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::shared_ptr<LockShared> shared_;
};

}  // namespace quarry
