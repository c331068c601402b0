#include "server/observe/cache_metrics.h"

#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"
#include "server/observe/metric_family.h"

namespace quarry {
namespace {

prometheus::MetricFamily Counts(const char* name, const char* help) {
  return MakeFamily(name, help, prometheus::MetricType::Counter);
}

void Add(prometheus::MetricFamily& family, std::vector<prometheus::ClientMetric::Label> labels, uint64_t count) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = static_cast<double>(count);
  family.metric.push_back(std::move(metric));
}

}  // namespace

std::vector<prometheus::MetricFamily> CacheMetrics::Collect() const {
  prometheus::MetricFamily requests =
      Counts("quarry_result_cache_requests_total", "Calls that accept a kept answer, by whether there was one.");
  Add(requests, {{"result", "hit"}}, shared_->hits.value());
  Add(requests, {{"result", "miss"}}, shared_->misses.value());
  prometheus::MetricFamily evictions =
      Counts("quarry_result_cache_evictions_total", "Answers that were dropped before their time, for want of space.");
  Add(evictions, {}, shared_->evictions.value());
  prometheus::MetricFamily merged = Counts("quarry_merged_reads_total",
                                           "Calls that got the answer to an identical read which another had asked for.");
  Add(merged, {}, shared_->merged.value());
  return {std::move(requests), std::move(evictions), std::move(merged)};
}

}  // namespace quarry
