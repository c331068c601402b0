// The only fan-out: all tasks of a plan at once, each on its shard.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/backend/backend.h"
#include "core/model/statement.h"
#include "core/topology/topology.h"

namespace quarry {

struct ScatterOptions {
  size_t width = 16;  // Shards at a time.
  bool stop_at_first_error = true;
};

// One result per task, in order; each failure names its shard. References outlive the Async.
Async<std::vector<absl::StatusOr<TaskResult>>> Scatter(const std::vector<Task>& tasks,
                                                       const std::vector<std::unique_ptr<Backend>>& shards,
                                                       const Topology& topology, ScatterOptions options,
                                                       const CallContext& ctx);

// The failure to report for the whole: the first that is not a mere consequence of another. OK when all are.
absl::Status FirstFailure(const std::vector<absl::StatusOr<TaskResult>>& results);

}  // namespace quarry
