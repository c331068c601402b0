#include "server/observe/peer_metrics.h"

#include <algorithm>
#include <array>
#include <utility>

#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"
#include "server/observe/metric_family.h"

namespace quarry {

std::vector<prometheus::MetricFamily> PeerMetrics::Collect() const {
  prometheus::MetricFamily gateways =
      MakeFamily("quarry_peers", "Addresses of gateways, by what is there as this gateway last saw it.", prometheus::MetricType::Gauge);
  std::array<int, kPeerStates> counts{};
  for (const Peer& peer : peers_.peers()) ++counts[static_cast<size_t>(peer.state)];
  // It is a gateway also where no address leads back to it, as `quarryctl gateways list` tells.
  int& self = counts[static_cast<size_t>(PeerState::kSelf)];
  self = std::max(self, 1);
  for (size_t state = 0; state < kPeerStates; ++state) {
    prometheus::ClientMetric metric;
    metric.label = {{"state", PeerStateName(static_cast<PeerState>(state))}};
    metric.gauge.value = counts[state];
    gateways.metric.push_back(std::move(metric));
  }
  prometheus::MetricFamily calls = MakeFamily("quarry_forwarded_calls_total", "Calls of other gateways' transactions, by how they ended.",
                                              prometheus::MetricType::Counter);
  for (size_t at = 0; at < kForwardResults; ++at) {
    const auto result = static_cast<ForwardResult>(at);
    prometheus::ClientMetric metric;
    metric.label = {{"result", ForwardResultName(result)}};
    metric.counter.value = static_cast<double>(peers_.forwarded(result));
    calls.metric.push_back(std::move(metric));
  }
  return {std::move(gateways), std::move(calls)};
}

}  // namespace quarry
