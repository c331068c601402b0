// What Prometheus clients usually tell of their process: process_cpu_seconds_total, process_resident_memory_bytes,
// process_open_fds and their kin. Read from /proc at each scrape.
#pragma once

#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace quarry {

// Any thread.
class ProcessMetrics final : public prometheus::Collectable {
 public:
  // What /proc does not tell is left out.
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace quarry
