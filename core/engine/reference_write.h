// Writes to reference tables, which live on every shard: until two-phase commit carries them, all shards execute before
// any commits, shard 0 decides, and a failure in between says that the outcome is unknown.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/model/operation.h"
#include "core/plan/planner.h"

namespace quarry {

struct ReferenceWriteParts {
  const std::vector<std::unique_ptr<Backend>>& shards;
  const Topology& topology;
  Planner& planner;
};

// The answers of the first shard, one step per write, in order; `replayed` when shard 0 had the request already.
// kUnavailable when a shard does not answer: nothing was applied. References outlive the Async.
Async<absl::StatusOr<TaskResult>> RunReferenceWrites(const std::vector<ReferenceWrite>& writes,
                                                     const WriteOperation& op, const ReferenceWriteParts& parts,
                                                     const CallContext& ctx);

}  // namespace quarry
