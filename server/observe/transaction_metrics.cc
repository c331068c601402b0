#include "server/observe/transaction_metrics.h"

#include <utility>

#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"
#include "server/observe/metric_family.h"

namespace quarry {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

void Add(MetricFamily& family, std::vector<ClientMetric::Label> labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  family.metric.push_back(std::move(metric));
}

MetricFamily CounterOf(const char* name, const char* help, int64_t value) {
  MetricFamily family = MakeFamily(name, help, MetricType::Counter);
  Add(family, {}, static_cast<double>(value));
  return family;
}

MetricFamily GaugeOf(const char* name, const char* help, double value) {
  MetricFamily family = MakeFamily(name, help, MetricType::Gauge);
  Add(family, {}, value);
  return family;
}

CommitStats Sum(const std::vector<CommitStats>& loops) {
  CommitStats sum;
  for (const CommitStats& loop : loops) {
    sum.one_phase += loop.one_phase;
    sum.two_phase += loop.two_phase;
    sum.rolled_back += loop.rolled_back;
    sum.in_doubt += loop.in_doubt;
    sum.unfinished += loop.unfinished;
    sum.contradicted += loop.contradicted;
  }
  return sum;
}

void CollectCommits(const CommitStats& commits, std::vector<MetricFamily>& families) {
  MetricFamily begun = MakeFamily("quarry_commits_total",
                              "Commits of interactive transactions and of writes over several shards that began, by phases.",
                              MetricType::Counter);
  Add(begun, {{"phase", "one"}}, static_cast<double>(commits.one_phase));
  Add(begun, {{"phase", "two"}}, static_cast<double>(commits.two_phase));
  families.push_back(std::move(begun));
  MetricFamily ends = MakeFamily("quarry_commit_troubles_total",
                             "Commits over several shards that were rolled back, whose caller was told in_doubt, that were "
                             "left to recovery unfinished, or that a shard contradicted.",
                             MetricType::Counter);
  Add(ends, {{"kind", "rolled_back"}}, static_cast<double>(commits.rolled_back));
  Add(ends, {{"kind", "in_doubt"}}, static_cast<double>(commits.in_doubt));
  Add(ends, {{"kind", "unfinished"}}, static_cast<double>(commits.unfinished));
  Add(ends, {{"kind", "contradicted"}}, static_cast<double>(commits.contradicted));
  families.push_back(std::move(ends));
}

void CollectRecovery(const RecoveryStats& recovery, std::vector<MetricFamily>& families) {
  families.push_back(GaugeOf("quarry_transactions_in_doubt",
                           "Transactions over several shards that recovery has found and cannot end now.",
                           static_cast<double>(recovery.in_doubt)));
  families.push_back(GaugeOf("quarry_transactions_in_doubt_oldest_seconds", "Age of the oldest of those.",
                           absl::ToDoubleSeconds(recovery.oldest)));
  families.push_back(GaugeOf("quarry_transactions_strangers",
                           "Those of them whose home is no shard of this gateway.", static_cast<double>(recovery.strangers)));
  families.push_back(GaugeOf("quarry_recovery_unasked_shards", "Shards that the latest sweep could not ask.",
                           static_cast<double>(recovery.unasked)));
  MetricFamily resolved = MakeFamily("quarry_recovery_resolved_total", "Transactions that recovery has ended, by verdict.",
                                 MetricType::Counter);
  Add(resolved, {{"verdict", "commit"}}, static_cast<double>(recovery.committed));
  Add(resolved, {{"verdict", "abort"}}, static_cast<double>(recovery.rolled_back));
  families.push_back(std::move(resolved));
  families.push_back(CounterOf("quarry_recovery_postponed_total",
                             "Tries of recovery that ended without an answer of a shard.", recovery.postponed));
  families.push_back(CounterOf("quarry_recovery_sweeps_total", "Looks of recovery over all shards.", recovery.sweeps));
  families.push_back(CounterOf("quarry_decisions_forgotten_total", "Old decisions that were deleted.", recovery.forgotten));
  families.push_back(GaugeOf("quarry_audit_findings", "What the latest audit of transactions found wrong.",
                           static_cast<double>(recovery.findings)));
}

}  // namespace

void TransactionMetrics::Publish(size_t loop, const CommitStats& commits) {
  const absl::MutexLock lock(&mutex_);
  commits_[loop] = commits;
}

void TransactionMetrics::Publish(const RecoveryStats& recovery) {
  const absl::MutexLock lock(&mutex_);
  recovery_ = recovery;
}

std::vector<MetricFamily> TransactionMetrics::Collect() const {
  const absl::MutexLock lock(&mutex_);
  std::vector<MetricFamily> families;
  CollectCommits(Sum(commits_), families);
  CollectRecovery(recovery_, families);
  return families;
}

TransactionFeed::TransactionFeed(Loop& loop, size_t loop_index, const Engine& engine, TransactionMetrics& metrics,
                                 absl::Duration interval)
    : loop_(loop), loop_index_(loop_index), engine_(engine), metrics_(metrics), interval_(interval) {
  Publish();
}

void TransactionFeed::Publish() {
  metrics_.Publish(loop_index_, engine_.commit_stats());
  if (const RecoveryStats* recovery = engine_.recovery_stats(); recovery != nullptr) metrics_.Publish(*recovery);
  timer_ = Timer(loop_, loop_.Now() + interval_, [this] { Publish(); });
}

}  // namespace quarry
