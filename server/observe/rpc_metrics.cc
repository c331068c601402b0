#include "server/observe/rpc_metrics.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"
#include "server/observe/metric_family.h"

namespace quarry {
namespace {

prometheus::ClientMetric Labelled(const MethodLabels& labels) {
  prometheus::ClientMetric metric;
  metric.label = {{"grpc_type", labels.type}, {"grpc_service", labels.service}, {"grpc_method", labels.name}};
  return metric;
}

// One writer: the loop's thread.
void Increment(std::atomic<uint64_t>& counter, uint64_t by = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace

const char* GrpcCodeName(absl::StatusCode code) {
  static constexpr std::array<const char*, 17> kNames = {
      "OK",           "Canceled",      "Unknown",           "InvalidArgument",    "DeadlineExceeded", "NotFound",
      "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",          "OutOfRange",
      "Unimplemented", "Internal",      "Unavailable",       "DataLoss",           "Unauthenticated"};
  const auto index = static_cast<size_t>(code);
  return index < kNames.size() ? kNames[index] : "Unknown";
}

RpcMetrics::RpcMetrics(std::vector<MethodLabels> methods, size_t loops)
    : methods_(std::move(methods)), loops_(loops), cells_(std::make_unique<Cell[]>(methods_.size() * loops)) {}

void RpcMetrics::Started(size_t loop, size_t method) { Increment(cell(loop, method).started); }

void RpcMetrics::Ended(size_t loop, size_t method, absl::StatusCode code, absl::Duration took) {
  Cell& counts = cell(loop, method);
  Increment(counts.codes[std::min<size_t>(static_cast<size_t>(code), 16)]);
  const double seconds = absl::ToDoubleSeconds(took);
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds) - kBounds.begin();
  Increment(counts.buckets[static_cast<size_t>(bucket)]);
  Increment(counts.nanos, static_cast<uint64_t>(std::max<int64_t>(absl::ToInt64Nanoseconds(took), 0)));
}

void RpcMetrics::CollectMethod(size_t method, std::vector<prometheus::MetricFamily>& families) const {
  uint64_t started = 0;
  uint64_t nanos = 0;
  std::array<uint64_t, 17> codes{};
  std::array<uint64_t, kBounds.size() + 1> buckets{};
  for (size_t loop = 0; loop < loops_; ++loop) {
    const Cell& counts = cell(loop, method);
    started += counts.started.load(std::memory_order_relaxed);
    nanos += counts.nanos.load(std::memory_order_relaxed);
    for (size_t i = 0; i < codes.size(); ++i) codes[i] += counts.codes[i].load(std::memory_order_relaxed);
    for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += counts.buckets[i].load(std::memory_order_relaxed);
  }
  prometheus::ClientMetric starts = Labelled(methods_[method]);
  starts.counter.value = static_cast<double>(started);
  families[0].metric.push_back(std::move(starts));
  for (size_t i = 0; i < codes.size(); ++i) {
    if (codes[i] == 0) continue;
    prometheus::ClientMetric handled = Labelled(methods_[method]);
    handled.label.push_back({"grpc_code", GrpcCodeName(static_cast<absl::StatusCode>(i))});
    handled.counter.value = static_cast<double>(codes[i]);
    families[1].metric.push_back(std::move(handled));
  }
  prometheus::ClientMetric times = Labelled(methods_[method]);
  uint64_t cumulative = 0;
  for (size_t i = 0; i < buckets.size(); ++i) {
    cumulative += buckets[i];
    const double bound = i < kBounds.size() ? kBounds[i] : std::numeric_limits<double>::infinity();
    times.histogram.bucket.push_back({cumulative, bound});
  }
  times.histogram.sample_count = cumulative;
  times.histogram.sample_sum = static_cast<double>(nanos) / 1e9;
  families[2].metric.push_back(std::move(times));
}

std::vector<prometheus::MetricFamily> RpcMetrics::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  families.push_back(
      MakeFamily("grpc_server_started_total", "RPCs started on the server.", prometheus::MetricType::Counter));
  families.push_back(MakeFamily("grpc_server_handled_total", "RPCs completed on the server, by code.",
                            prometheus::MetricType::Counter));
  families.push_back(MakeFamily("grpc_server_handling_seconds", "Time from an RPC's arrival to its end, in seconds.",
                            prometheus::MetricType::Histogram));
  for (size_t method = 0; method < methods_.size(); ++method) CollectMethod(method, families);
  return families;
}

}  // namespace quarry
