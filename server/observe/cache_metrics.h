// quarry_result_cache_requests_total{result} and quarry_result_cache_evictions_total: answers that were kept and given again. `result` is
// "hit" or "miss"; calls that may not be given a kept answer are not counted. quarry_merged_reads_total: calls that shared an answer.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "core/cache/result_cache.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace quarry {

// Any thread.
class CacheMetrics final : public prometheus::Collectable {
 public:
  explicit CacheMetrics(std::shared_ptr<const ResultCacheShared> shared) : shared_(std::move(shared)) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::shared_ptr<const ResultCacheShared> shared_;
};

}  // namespace quarry
