#include "server/observe/resolver_metrics.h"

#include <utility>

#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"
#include "server/observe/metric_family.h"

namespace quarry {

void ResolverMetrics::Add(const Snapshot& snapshot, Totals& totals) {
  for (const auto& [name, resolver] : snapshot.resolvers) {
    Total& total = totals[name];
    total.type = resolver->type();
    total.resolved += resolver->counts().resolved.value();
    total.failed += resolver->counts().failed.value();
  }
}

void ResolverMetrics::Use(std::shared_ptr<const Snapshot> snapshot) {
  const absl::MutexLock lock(&mutex_);
  if (snapshot_ != nullptr) Add(*snapshot_, before_);
  snapshot_ = std::move(snapshot);
}

std::vector<prometheus::MetricFamily> ResolverMetrics::Collect() const {
  Totals totals;
  {
    const absl::MutexLock lock(&mutex_);
    totals = before_;
    if (snapshot_ != nullptr) Add(*snapshot_, totals);
  }
  prometheus::MetricFamily family =
      MakeFamily("quarry_resolutions_total", "Keys that a resolver was asked for.", prometheus::MetricType::Counter);
  const auto add = [&family](const std::string& name, const Total& total, const char* result, uint64_t count) {
    prometheus::ClientMetric metric;
    metric.label = {{"resolver", name}, {"type", total.type}, {"result", result}};
    metric.counter.value = static_cast<double>(count);
    family.metric.push_back(std::move(metric));
  };
  for (const auto& [name, total] : totals) {
    add(name, total, "resolved", total.resolved);
    add(name, total, "not_resolved", total.failed);
  }
  return {std::move(family)};
}

}  // namespace quarry
