#include "server/observe/shard_metrics.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"
#include "server/observe/metric_family.h"
#include "server/observe/rpc_metrics.h"

namespace quarry {
namespace {

constexpr size_t kKinds = static_cast<size_t>(CallKind::kRollback) + 1;
constexpr size_t kCodes = 17;
constexpr std::array<double, 12> kBounds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                            0.01,   0.025,   0.1,    0.5,   1,      5};

// Of one kind of call. One writer.
struct KindCounts {
  std::array<std::atomic<uint64_t>, kCodes> codes{};
  std::array<std::atomic<uint64_t>, kBounds.size() + 1> buckets{};
  std::atomic<uint64_t> nanos{0};
};

template <typename T>
void Increment(std::atomic<T>& counter, T by = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

using Labels = std::vector<prometheus::ClientMetric::Label>;

// Families in the order of their first use.
class Families {
 public:
  void Counter(const char* name, const char* help, Labels labels, double value) {
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    metric.counter.value = value;
    Of(name, help, prometheus::MetricType::Counter).metric.push_back(std::move(metric));
  }
  void Gauge(const char* name, const char* help, Labels labels, double value) {
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    metric.gauge.value = value;
    Of(name, help, prometheus::MetricType::Gauge).metric.push_back(std::move(metric));
  }
  void Histogram(const char* name, const char* help, prometheus::ClientMetric metric) {
    Of(name, help, prometheus::MetricType::Histogram).metric.push_back(std::move(metric));
  }
  std::vector<prometheus::MetricFamily> Take() && { return std::move(families_); }

 private:
  prometheus::MetricFamily& Of(const char* name, const char* help, prometheus::MetricType type) {
    const auto [found, added] = index_.try_emplace(name, families_.size());
    if (added) families_.push_back(MakeFamily(name, help, type));
    return families_[found->second];
  }
  std::vector<prometheus::MetricFamily> families_;
  std::map<std::string, size_t> index_;
};

}  // namespace

class ShardMetrics::Observer final : public ShardObserver {
 public:
  explicit Observer(std::string name) : shard(std::move(name)) {}

  void OnCall(CallKind kind, absl::StatusCode code, absl::Duration took) override {
    KindCounts& counts = kinds[static_cast<size_t>(kind)];
    Increment<uint64_t>(counts.codes[std::min<size_t>(static_cast<size_t>(code), kCodes - 1)]);
    const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), absl::ToDoubleSeconds(took)) - kBounds.begin();
    Increment<uint64_t>(counts.buckets[static_cast<size_t>(bucket)]);
    Increment<uint64_t>(counts.nanos, static_cast<uint64_t>(std::max<int64_t>(absl::ToInt64Nanoseconds(took), 0)));
  }
  void OnRetry() override { Increment<uint64_t>(retries); }
  void OnShed() override { Increment<uint64_t>(shed); }
  void OnBreaker(bool open) override { breaker_open.store(open ? 1 : 0, std::memory_order_relaxed); }
  void OnSessions(int change) override { Increment<int64_t>(sessions, change); }

  const std::string shard;
  std::array<KindCounts, kKinds> kinds;
  std::atomic<uint64_t> retries{0};
  std::atomic<uint64_t> shed{0};
  std::atomic<int64_t> breaker_open{0};
  std::atomic<int64_t> sessions{0};
};

// One shard over its observers.
struct ShardMetrics::Totals {
  struct Kind {
    std::array<uint64_t, kCodes> codes{};
    std::array<uint64_t, kBounds.size() + 1> buckets{};
    uint64_t nanos = 0;
  };
  std::array<Kind, kKinds> kinds;
  uint64_t retries = 0;
  uint64_t shed = 0;
  int64_t breakers_open = 0;
  int64_t sessions = 0;

  void Add(const Observer& from) {
    for (size_t k = 0; k < kKinds; ++k) {
      for (size_t i = 0; i < kCodes; ++i) kinds[k].codes[i] += from.kinds[k].codes[i].load(std::memory_order_relaxed);
      for (size_t i = 0; i < kinds[k].buckets.size(); ++i) {
        kinds[k].buckets[i] += from.kinds[k].buckets[i].load(std::memory_order_relaxed);
      }
      kinds[k].nanos += from.kinds[k].nanos.load(std::memory_order_relaxed);
    }
    retries += from.retries.load(std::memory_order_relaxed);
    shed += from.shed.load(std::memory_order_relaxed);
    breakers_open += from.breaker_open.load(std::memory_order_relaxed);
    sessions += from.sessions.load(std::memory_order_relaxed);
  }

  void CollectKind(const std::string& shard, size_t k, Families& out) const {
    const char* kind = CallKindName(static_cast<CallKind>(k));
    prometheus::ClientMetric times;
    times.label = {{"shard", shard}, {"kind", kind}};
    uint64_t cumulative = 0;
    for (size_t i = 0; i < kinds[k].buckets.size(); ++i) {
      cumulative += kinds[k].buckets[i];
      times.histogram.bucket.push_back(
          {cumulative, i < kBounds.size() ? kBounds[i] : std::numeric_limits<double>::infinity()});
    }
    if (cumulative == 0) return;
    times.histogram.sample_count = cumulative;
    times.histogram.sample_sum = static_cast<double>(kinds[k].nanos) / 1e9;
    out.Histogram("quarry_shard_call_seconds", "Time of a call on a shard, waiting included, in seconds.",
                  std::move(times));
    for (size_t i = 0; i < kCodes; ++i) {
      if (kinds[k].codes[i] == 0) continue;
      out.Counter("quarry_shard_calls_total", "Calls on a shard, by code.",
                  {{"shard", shard}, {"kind", kind}, {"code", GrpcCodeName(static_cast<absl::StatusCode>(i))}},
                  static_cast<double>(kinds[k].codes[i]));
    }
  }

  void Collect(const std::string& shard, Families& out) const {
    for (size_t k = 0; k < kKinds; ++k) CollectKind(shard, k, out);
    const Labels labels = {{"shard", shard}};
    out.Counter("quarry_shard_retries_total", "Calls that were tried again.", labels, static_cast<double>(retries));
    out.Counter("quarry_shard_shed_total", "Calls refused because the shard had too many.", labels,
                static_cast<double>(shed));
    out.Gauge("quarry_shard_breaker_open", "Loops whose breaker of the shard is open.", labels,
              static_cast<double>(breakers_open));
    out.Gauge("quarry_shard_sessions_in_use", "Sessions that calls and transactions hold.", labels,
              static_cast<double>(sessions));
  }
};

namespace {

void CollectView(const ShardView& view, Families& out) {
  const Labels labels = {{"shard", view.name}};
  const BackendStats& stats = view.stats;
  out.Gauge("quarry_shard_up", "1 when the shard answers, else 0.", labels, view.state == ShardState::kUp ? 1 : 0);
  out.Gauge("quarry_pool_sessions_open", "Open connections, shared ones and those of commits over several shards included.", labels,
            static_cast<double>(stats.sessions_open));
  out.Gauge("quarry_pool_sessions_leased", "Sessions in use.", labels, static_cast<double>(stats.sessions_leased));
  out.Gauge("quarry_pool_sessions_max", "Most sessions that may be in use.", labels,
            static_cast<double>(stats.sessions_max));
  out.Gauge("quarry_pool_waiters", "Calls that wait for a session.", labels, static_cast<double>(stats.waiters));
  out.Counter("quarry_statements_total", "Statements run.", labels, static_cast<double>(stats.statements));
  out.Counter("quarry_prepared_statements_total", "Uses of prepared statements: found, or prepared anew.",
              {{"shard", view.name}, {"result", "hit"}}, static_cast<double>(stats.prepared_hits));
  out.Counter("quarry_prepared_statements_total", "Uses of prepared statements: found, or prepared anew.",
              {{"shard", view.name}, {"result", "miss"}}, static_cast<double>(stats.prepared_misses));
  out.Counter("quarry_group_commits_total", "Durable commits that carried more than one write.", labels,
              static_cast<double>(stats.groups));
  out.Counter("quarry_grouped_writes_total", "Writes that shared a durable commit.", labels,
              static_cast<double>(stats.grouped_writes));
  out.Counter("quarry_joined_reads_total", "Reads by key that shared a statement with others.", labels,
              static_cast<double>(stats.joined_reads));
}

}  // namespace

ShardMetrics::ShardMetrics(const ShardBoard& board) : board_(board) {}

ShardMetrics::~ShardMetrics() = default;

ShardObserver* ShardMetrics::AddObserver(const std::string& shard) {
  const absl::MutexLock lock(&mutex_);
  observers_.push_back(std::make_unique<Observer>(shard));
  return observers_.back().get();
}

std::vector<prometheus::MetricFamily> ShardMetrics::Collect() const {
  std::map<std::string, Totals> totals;
  {
    const absl::MutexLock lock(&mutex_);
    for (const std::unique_ptr<Observer>& observer : observers_) totals[observer->shard].Add(*observer);
  }
  Families out;
  for (const auto& [shard, total] : totals) total.Collect(shard, out);
  for (const ShardView& view : board_.shards()) CollectView(view, out);
  out.Gauge("quarry_catalog_ready", "1 once the tables of the shards are known, else 0.", {},
            board_.catalog_ready() ? 1 : 0);
  out.Gauge("quarry_open_transactions", "Interactive transactions that are open.", {},
            static_cast<double>(board_.open_transactions()));
  return std::move(out).Take();
}

}  // namespace quarry
