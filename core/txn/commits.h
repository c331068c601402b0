// The commits of one loop. A transaction that wrote on one shard commits in one phase; one that wrote on several is driven
// through the Coordinator. What is begun here is finished here, whatever becomes of its caller.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/loop.h"
#include "core/base/random.h"
#include "core/model/ids.h"
#include "core/txn/coordinator.h"

namespace quarry {

// One shard's open part of a transaction.
struct OpenPart {
  ShardId shard{};
  std::unique_ptr<Session> session;
};

// The shards that a commit may need, by ShardId.
struct ShardParty {
  Backend* backend = nullptr;  // Outlives every commit.
  std::string name;
  Dialect dialect = Dialect::kPostgres;
};

// What the highest of two writing shards has still to do when the commit begins: it is done together with its prepare. Every
// other statement of the transaction is done by then, so nobody waits for rows behind a gate.
struct LastPart {
  ShardId shard{};
  Task task;
  absl::Time deadline;  // Of its statements.
  // Where the commit has a guard: the reply that is stored, once this part's result is there.
  std::function<TaskResult(const TaskResult& result)> reply;
};

struct CommitEnd {
  CommitOutcome outcome = CommitOutcome::kRolledBack;
  absl::Status status;  // OK when it is committed. kUnknown COMMIT_OUTCOME_UNKNOWN in doubt.
  TaskResult last;      // Of the last part, when it is committed.
};

struct CommitWork {
  std::string transaction_id;
  std::vector<OpenPart> parts;  // Ascending by shard.
  std::optional<LastPart> last;  // All parts count as writers then.
  // Claimed at home, Coordinator::HomeOf the writers, which stores the reply with the commit.
  std::optional<RequestGuard> guard;
  TaskResult reply;
  // Stores a decision although one shard alone wrote, so that every gateway can tell the outcome afterwards.
  bool keep_decision = false;
  // Called once, when the end is known, whether or not the caller still waits. May be null.
  std::function<void(const CommitEnd& end)> on_end;
};

// What has happened, for metrics.
struct CommitStats {
  int64_t one_phase = 0;
  int64_t two_phase = 0;
  int64_t rolled_back = 0;  // Of two phases.
  int64_t in_doubt = 0;     // Callers who were told so.
  int64_t unfinished = 0;   // Left to recovery by this coordinator.
  int64_t contradicted = 0;
};

class Commits {
 public:
  // `loop` and `random` outlive this. `timeout`: of each step; the caller's deadline bounds only his waiting.
  Commits(Loop& loop, Random& random, absl::Duration timeout);
  ~Commits();
  Commits(const Commits&) = delete;
  Commits& operator=(const Commits&) = delete;

  // `parties`: all shards, by ShardId.
  Async<CommitEnd> Run(CommitWork work, std::vector<ShardParty> parties, const CallContext& ctx);
  const CommitStats& stats() const { return stats_; }
  size_t running() const;
  bool Runs(const std::string& transaction_id) const;

 private:
  struct Job;
  using Jobs = std::list<std::unique_ptr<Job>>;
  Async<CommitEnd> RunOnePhase(Job* job);
  Async<CommitEnd> Drive(Job* job);
  void Carry(Job* job, std::vector<CommitAction> actions);
  Async<CommitEvent> Perform(Job* job, CommitAction action);
  // The prepare of its shard, with the last part where there is one.
  Async<absl::Status> Prepare(Job* job, ShardId shard, bool* refused, const CallContext& ctx);

  Loop& loop_;
  Random& random_;
  const absl::Duration timeout_;
  CommitStats stats_;
  std::shared_ptr<Jobs> jobs_;  // Shared, weakly, with deferred work alone.
};

// The shards of a transaction that may go through two phases can: kFailedPrecondition TWO_PHASE_UNAVAILABLE names the first that
// cannot, before anything is written.
Async<absl::Status> CheckTwoPhase(std::vector<ShardParty> parties, const CallContext& ctx);

}  // namespace quarry
