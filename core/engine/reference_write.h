// Writes to reference tables, which live on every shard: until two-phase commit carries them, all shards execute before
// any commits, shard 0 decides, and a failure in between says that the outcome is unknown.
#pragma once

#include <list>
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

// Decisions under way. Once shard 0 is asked to decide, a write goes on when its caller has gone or its deadline has
// ended: otherwise the other shards would not follow. One loop; outlived by the backends.
class ReferenceDecisions {
 public:
  struct Job;
  using Jobs = std::list<std::unique_ptr<Job>>;

  ReferenceDecisions();
  ~ReferenceDecisions();
  ReferenceDecisions(const ReferenceDecisions&) = delete;
  ReferenceDecisions& operator=(const ReferenceDecisions&) = delete;
  const std::shared_ptr<Jobs>& jobs() const { return jobs_; }

 private:
  std::shared_ptr<Jobs> jobs_;  // Shared, weakly, with deferred work alone.
};

struct ReferenceWriteParts {
  const std::vector<std::unique_ptr<Backend>>& shards;
  const Topology& topology;
  Planner& planner;
  ReferenceDecisions& decisions;
};

// One step per write, in order: the answers of the first shard, or those stored on shard 0 when it had the request
// already (`replayed`). kUnavailable when a shard does not answer: nothing was applied. kUnknown COMMIT_OUTCOME_UNKNOWN
// when shards may differ now. References outlive the Async.
Async<absl::StatusOr<TaskResult>> RunReferenceWrites(const std::vector<ReferenceWrite>& writes,
                                                     const WriteOperation& op, const ReferenceWriteParts& parts,
                                                     const CallContext& ctx);

}  // namespace quarry
