// quarry_resolutions_total{resolver,type,result}: how many keys each resolver was asked for. `result` is "resolved" or
// "not_resolved", a key that is mapped nowhere.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/plan/snapshot.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace quarry {

class ResolverMetrics final : public prometheus::Collectable {
 public:
  // Any thread. The snapshot that calls use from now on; what the one before it counted is kept.
  void Use(std::shared_ptr<const Snapshot> snapshot) ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<prometheus::MetricFamily> Collect() const override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Total {
    std::string type;
    uint64_t resolved = 0;
    uint64_t failed = 0;
  };
  using Totals = std::map<std::string, Total>;  // By the resolver's name.

  static void Add(const Snapshot& snapshot, Totals& totals);

  mutable absl::Mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
  Totals before_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quarry
