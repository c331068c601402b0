// A write over several shards: its statements, shard by shard in ascending order, in transactions that are still open when
// this ends. Reference tables, which live on every shard, get the row that the first shard has made.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/model/operation.h"
#include "core/plan/planner.h"

namespace quarry {

struct AcrossWrite {
  const WritePlan& plan;
  Atomicity atomicity = Atomicity::kAll;
  Planner& planner;
  const Topology& topology;
  // Claimed on the first shard, home of the commit, before anything else; the reply that is stored already ends the write.
  std::optional<RequestGuard> guard;
  // Where two shards write, and the first has written something, the second is left to the commit, which runs it with its prepare.
  bool leave_last = false;
};

struct AcrossAnswers {
  // One for each task of the plan, then one for the reference writes when there are any. Steps carry errors under kEach alone.
  std::vector<TaskResult> parts;
  bool left = false;  // The last task is left to the commit; its session is open.
  // The stored reply of an earlier try, as StoredParts has made it. Nothing of this try must be committed.
  std::optional<TaskResult> stored;
};

// The shards of the plan, ascending.
std::vector<ShardId> ShardsOfPlan(const WritePlan& plan, const Topology& topology);
// The steps of the reference writes as one task, for merging.
Task ReferenceTask(const WritePlan& plan);

// The open transaction on a shard.
using SessionOn = std::function<Async<absl::StatusOr<Session*>>(ShardId shard)>;

// Under kAll the first failing step fails the write (fact `item`); a reference write that a later shard refuses does so always.
// References outlive the Async.
Async<absl::StatusOr<AcrossAnswers>> RunAcross(const AcrossWrite& write, SessionOn session_on, const CallContext& ctx);

// What is stored under the request's id: all steps' answers by ascending item; and back.
TaskResult StoredReply(const std::vector<Task>& tasks, const std::vector<TaskResult>& parts);
std::vector<TaskResult> StoredParts(const std::vector<Task>& tasks, TaskResult stored);

}  // namespace quarry
