// What a shard's database does for transactions over several shards: it keeps prepared branches and decisions and says
// afterwards what became of them; and it keeps the gate that makes one cut over all shards. docs/transactions.md has the
// protocol: two-phase commit whose only log is a row at one of the participants, the home shard.
// Belongs to one loop, like its Backend. Arguments that are references outlive the returned Async.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/model/statement.h"

namespace quarry {

// Names one transaction over several shards in everything that it leaves on a shard.
struct GlobalTransaction {
  std::string id;    // At most 80 bytes of [a-z0-9-].
  std::string home;  // Name of the shard that holds its decision.
};

enum class Verdict : uint8_t { kCommit, kAbort };

// The row at home that says how a transaction ended. The local commit that stores kCommit is the commit point.
struct Decision {
  std::string transaction_id;
  Verdict verdict = Verdict::kAbort;
  std::vector<std::string> participants;  // Shards that wrote, by name, home included; none in an abort by recovery.
  absl::Duration age;                     // By the database's clock. Not written.
  bool finished = false;                  // Every participant has been seen to be done. Not written.
};

// A branch that is prepared and not finished.
struct Branch {
  GlobalTransaction transaction;
  absl::Duration age;  // Since it was prepared, by the database's clock.
};

// The row that a committed branch leaves.
struct Part {
  std::string transaction_id;
  absl::Duration age;  // By the database's clock.
};

enum class BranchEnd : uint8_t {
  kCommitted,  // Now or earlier: the row that every branch carries is there.
  kAbsent,     // Rolled back now or earlier, or never prepared.
};

// Which decisions are asked for; oldest first unless told otherwise.
struct DecisionFilter {
  bool unfinished_only = false;
  bool newest_first = false;
  absl::Duration age_min = absl::ZeroDuration();
  int64_t count_max = 1'000;
};

// The gate held exclusively: no cross-shard commit becomes visible on this shard in between. Dropping it lets go.
class GateHold {
 public:
  virtual ~GateHold() = default;
  // Lets go, and says whether it was held without a break until now; false when its session was lost on the way.
  virtual Async<absl::StatusOr<bool>> Release(const CallContext& ctx) = 0;
};

enum class GateWait : uint8_t {
  kTry,   // Null at once when a commit is in it.
  kWait,  // Within the deadline; then kUnavailable TRANSACTION_IN_DOUBT naming the branch that has it, where it is known.
};

// Errors, of all: kUnavailable when the shard does not answer; kFailedPrecondition TWO_PHASE_UNAVAILABLE when it lacks what
// a cross-shard commit needs, with what to do. Nothing here passes breakers, limits or retries: recovery asks on its own terms.
class TwoPhase {
 public:
  virtual ~TwoPhase() = default;
  // Creates what is missing of Quarry's own tables (schema quarry); nothing when all is there.
  virtual Async<absl::Status> Init(const CallContext& ctx) = 0;
  // Whether branches can be prepared here: settings, rights, tables.
  virtual Async<absl::Status> Check(const CallContext& ctx) = 0;

  // Ends a branch, if there is one. "No such branch" proves nothing: the branch's own row tells.
  virtual Async<absl::StatusOr<BranchEnd>> Finish(const GlobalTransaction& transaction, Verdict verdict,
                                                  const CallContext& ctx) = 0;
  // Those of this deployment.
  virtual Async<absl::StatusOr<std::vector<Branch>>> ListBranches(const CallContext& ctx) = 0;
  // Of these transactions, those that have committed a branch here.
  virtual Async<absl::StatusOr<std::vector<std::string>>> FindParts(const std::vector<std::string>& transaction_ids,
                                                                    const CallContext& ctx) = 0;
  // The oldest that are at least `age_min` old.
  virtual Async<absl::StatusOr<std::vector<Part>>> ListParts(absl::Duration age_min, int64_t count_max,
                                                             const CallContext& ctx) = 0;

  // At home.
  virtual Async<absl::StatusOr<std::optional<Decision>>> FindDecision(const std::string& transaction_id,
                                                                      const CallContext& ctx) = 0;
  // Stores an abort unless there is a decision; the one that stands, durably. Waits for a commit that is under way.
  virtual Async<absl::StatusOr<Decision>> DecideAbort(const std::string& transaction_id, const CallContext& ctx) = 0;
  virtual Async<absl::StatusOr<std::vector<Decision>>> ListDecisions(const DecisionFilter& filter,
                                                                     const CallContext& ctx) = 0;
  virtual Async<absl::Status> MarkFinished(const std::vector<std::string>& transaction_ids, const CallContext& ctx) = 0;

  // Forgetting, once a decision is finished and old: the parts first, at their shards, then the decisions.
  virtual Async<absl::Status> ForgetParts(const std::vector<std::string>& transaction_ids, const CallContext& ctx) = 0;
  virtual Async<absl::Status> ForgetDecisions(const std::vector<std::string>& transaction_ids, const CallContext& ctx) = 0;

  // The gate, exclusively, on a session of its own.
  virtual Async<absl::StatusOr<std::unique_ptr<GateHold>>> CloseGate(GateWait wait, const CallContext& ctx) = 0;
};

// What is stored and checked in the same transaction as a commit, in the same round trip where the backend can.
struct CommitOptions {
  bool pass_gate = false;            // Shared, just before the commit.
  std::optional<Decision> decision;  // This shard is home. kAborted TRANSACTION_ENDED when another decision stands.
  // The reply to the request that Session::Claim has claimed.
  std::optional<RequestGuard> guard;
  const TaskResult* reply = nullptr;  // Outlives the commit.
};
inline const CommitOptions kPlainCommit;

}  // namespace quarry
