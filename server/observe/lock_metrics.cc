#include "server/observe/lock_metrics.h"

#include <limits>

#include "absl/time/clock.h"
#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"
#include "server/observe/metric_family.h"

namespace quarry {
namespace {

prometheus::MetricFamily Gauge(const char* name, const char* help, int64_t value) {
  prometheus::MetricFamily family = MakeFamily(name, help, prometheus::MetricType::Gauge);
  family.metric.emplace_back().gauge.value = static_cast<double>(value);
  return family;
}

prometheus::MetricFamily WaitSeconds(const LockShared::Waits& waits) {
  prometheus::MetricFamily family = MakeFamily("quarry_lock_wait_seconds", "From a call for a lock to its grant.",
                                               prometheus::MetricType::Histogram);
  prometheus::ClientMetric::Histogram& histogram = family.metric.emplace_back().histogram;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < waits.buckets.size(); ++i) {
    cumulative += waits.buckets[i];
    const bool last = i == LockShared::kWaitBounds.size();
    histogram.bucket.push_back({cumulative, last ? std::numeric_limits<double>::infinity() : LockShared::kWaitBounds[i]});
  }
  histogram.sample_count = cumulative;
  histogram.sample_sum = waits.seconds;
  return family;
}

}  // namespace

std::vector<prometheus::MetricFamily> LockMetrics::Collect() const {
  prometheus::MetricFamily lost =
      MakeFamily("quarry_locks_lost_total", "Renewals refused because the lease was over.", prometheus::MetricType::Counter);
  lost.metric.emplace_back().counter.value = static_cast<double>(shared_->lost());
  return {Gauge("quarry_locks_held", "Leases of locks granted or renewed here that last.", shared_->held(absl::Now())),
          Gauge("quarry_lock_waiters", "Calls in line for a lock.", shared_->waiting()), WaitSeconds(shared_->waits()),
          std::move(lost)};
}

}  // namespace quarry
