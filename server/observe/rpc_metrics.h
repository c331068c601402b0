// The usual metrics of a gRPC server: grpc_server_started_total, grpc_server_handled_total and
// grpc_server_handling_seconds. Each loop counts in memory of its own, without locks; a scrape adds up.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace quarry {

struct MethodLabels {
  std::string type;  // "unary", "server_stream", …
  std::string service;
  std::string name;
};

// "OK", "NotFound", …: the values of the label grpc_code.
const char* GrpcCodeName(absl::StatusCode code);

class RpcMetrics final : public prometheus::Collectable {
 public:
  RpcMetrics(std::vector<MethodLabels> methods, size_t loops);

  // On that loop's thread.
  void Started(size_t loop, size_t method);
  void Ended(size_t loop, size_t method, absl::StatusCode code, absl::Duration took);

  // Any thread. Codes that never came are left out.
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  static constexpr std::array<double, 15> kBounds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                     0.05,   0.1,     0.25,   0.5,   1,      2.5,   10};
  struct Cell {
    std::atomic<uint64_t> started{0};
    std::array<std::atomic<uint64_t>, 17> codes{};
    std::array<std::atomic<uint64_t>, kBounds.size() + 1> buckets{};
    std::atomic<uint64_t> nanos{0};
  };
  const Cell& cell(size_t loop, size_t method) const { return cells_[loop * methods_.size() + method]; }
  Cell& cell(size_t loop, size_t method) { return cells_[loop * methods_.size() + method]; }
  void CollectMethod(size_t method, std::vector<prometheus::MetricFamily>& families) const;

  const std::vector<MethodLabels> methods_;
  const size_t loops_;
  std::unique_ptr<Cell[]> cells_;
};

}  // namespace quarry
