// quarry_peers{state} and quarry_forwarded_calls_total{result}: the other gateways, and the calls of their transactions that came
// here. Any thread.
#pragma once

#include <vector>

#include "core/topology/peer_table.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace quarry {

class PeerMetrics final : public prometheus::Collectable {
 public:
  // `peers` outlives this.
  explicit PeerMetrics(const PeerTable& peers) : peers_(peers) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const PeerTable& peers_;
};

}  // namespace quarry
