// The interactive transactions of one loop. A transaction opens a session on each shard with the first statement there.
// Its calls run one at a time; what a dropped call leaves half done ends the transaction.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/loop.h"
#include "core/base/random.h"
#include "core/txn/commits.h"
#include "core/txn/snapshot_cuts.h"

namespace quarry {

struct TransactionOptions {
  uint64_t instance = 0;  // Of this gateway; its ids name it.
  absl::Duration idle_timeout_default = absl::Seconds(30);
  absl::Duration idle_timeout_max = absl::Minutes(10);
  // How long a commit goes on after its caller has gone.
  absl::Duration commit_timeout = absl::Seconds(30);
  size_t open_max = 1'000;          // Per loop.
  size_t remembered_max = 100'000;  // Ended ones that GetTransaction still knows, per loop.
};

struct BeginOptions {
  Isolation isolation = Isolation::kDefault;
  bool read_only = false;
  bool single_shard = false;    // A second shard is refused.
  bool snapshot = false;        // Reads one cut, which Cut takes; read_only too.
  absl::Duration idle_timeout;  // Zero: the default.
};

enum class TransactionState : uint8_t { kActive, kCommitted, kRolledBack, kInDoubt };
enum class SavepointAction : uint8_t { kCreate, kRollbackTo, kRelease };

// True for a statement's error after which its transaction cannot go on: kAborted (an etag mismatch aside),
// kUnavailable, kUnknown, kDeadlineExceeded, kDataLoss.
bool EndsTransaction(const absl::Status& status);

class Transactions {
 public:
  class Lease;

  // `loop`, `random` and the backends of `parties` outlive this. `parties`: all shards, by ShardId, as they are named now.
  Transactions(Loop& loop, Random& random, uint32_t loop_index, TransactionOptions options,
               std::function<std::vector<ShardParty>()> parties, Commits& commits, SnapshotCuts& cuts);
  ~Transactions();
  Transactions(const Transactions&) = delete;
  Transactions& operator=(const Transactions&) = delete;

  // kResourceExhausted LIMIT_EXCEEDED when too many are open.
  absl::StatusOr<std::string> Begin(const BeginOptions& options);
  // A fresh id, for a commit without Begin.
  std::string NewId();
  // The time without a call after which it is rolled back.
  absl::StatusOr<absl::Duration> IdleTimeoutOf(const std::string& id) const;
  absl::StatusOr<bool> ReadOnly(const std::string& id) const;
  // The shards that it has a session on, ascending; none before its first statement.
  absl::StatusOr<std::vector<ShardId>> ShardsOf(const std::string& id) const;

  absl::StatusOr<bool> IsSnapshot(const std::string& id) const;
  // Fixes what a snapshot transaction sees, on these shards and no others (ascending). Nothing for other transactions, and
  // when it is fixed already. Errors of SnapshotCuts::Open, which end the transaction.
  Async<absl::Status> Cut(const std::string& id, std::vector<ShardId> shards, const CallContext& ctx);
  // The end of a transaction that only read, without a word to anybody.
  void Forget(const std::string& id);

  // Takes the transaction for one call on `shards`, opening it where it is not open yet. `writes`: the call may write; when
  // several shards may then have been written, they are checked to be able to commit together.
  // kFailedPrecondition TRANSACTION_BUSY while another call uses it, CROSS_SHARD_TRANSACTION for a second shard of a
  // single-shard transaction, TWO_PHASE_UNAVAILABLE.
  Async<absl::StatusOr<std::unique_ptr<Lease>>> Use(const std::string& id, std::vector<ShardId> shards, bool writes,
                                                    const CallContext& ctx);
  // All steps of `task`, one after the other; under kEach a failing step is reported, under kAll it fails the task.
  // Of a kAll task whose step fails nothing remains, though the transaction goes on.
  // A task with a guard that this transaction has already run gives the same result again, unless a rollback to a
  // savepoint has undone it.
  Async<absl::StatusOr<TaskResult>> Execute(const std::string& id, const Task& task, const CallContext& ctx);
  // Tasks that only read, at the same time on their shards; one result for each.
  Async<std::vector<absl::StatusOr<TaskResult>>> ExecuteReads(const std::string& id, const std::vector<Task>& tasks,
                                                              const CallContext& ctx);
  Async<absl::Status> Savepoint(const std::string& id, SavepointAction action, const std::string& name,
                                const CallContext& ctx);
  // Finishes in the background when its caller goes or its deadline ends (kUnknown COMMIT_OUTCOME_UNKNOWN);
  // State tells the end. Committing a committed transaction again is OK. `keep_decision`: see CommitWork.
  Async<CommitEnd> Commit(const std::string& id, bool keep_decision, const CallContext& ctx);
  // Rolling back one that is rolled back is OK.
  Async<absl::Status> Rollback(const std::string& id, const CallContext& ctx);
  // kNotFound TRANSACTION_NOT_FOUND for one that never was, or ended too long ago.
  absl::StatusOr<TransactionState> State(const std::string& id) const;
  // The shards that it has taken, or had when it ended; errors as for State.
  absl::StatusOr<std::vector<ShardId>> ShardsEverOf(const std::string& id) const;
  size_t size() const { return open_.size(); }

  // The loop in an id, of this gateway or another; kInvalidArgument when it is not of our form.
  static absl::StatusOr<uint32_t> LoopOf(const std::string& id);

 private:
  struct Transaction;
  absl::StatusOr<std::shared_ptr<Transaction>> Find(const std::string& id) const;
  absl::StatusOr<std::shared_ptr<Transaction>> FindIdle(const std::string& id) const;
  Async<absl::Status> Open(std::shared_ptr<Transaction> transaction, ShardId shard, const CallContext& ctx);
  absl::Status CheckShards(const Transaction& transaction, const std::vector<ShardId>& shards) const;
  // Whether the shards that have written and those that may now can commit together.
  Async<absl::Status> CheckWriters(std::shared_ptr<Transaction> transaction, std::vector<ShardId> shards,
                                   const CallContext& ctx);
  void ArmIdleTimer(const std::shared_ptr<Transaction>& transaction);
  void End(const std::shared_ptr<Transaction>& transaction, TransactionState state);

  Loop& loop_;
  Random& random_;
  const uint32_t loop_index_;
  const TransactionOptions options_;
  const std::function<std::vector<ShardParty>()> parties_;
  Commits& commits_;
  SnapshotCuts& cuts_;
  absl::flat_hash_map<std::string, std::shared_ptr<Transaction>> open_;
  struct Fate {
    TransactionState state{};
    std::vector<ShardId> shards;
  };
  absl::flat_hash_map<std::string, Fate> ended_;
  std::deque<std::string> ended_order_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // Gone with this.
};

// The use of a transaction by one call. Dropping it without Done rolls the transaction back.
class Transactions::Lease {
 public:
  Lease(Transactions& owner, std::shared_ptr<Transaction> transaction);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  // On one of the shards that Use was asked for.
  Session& session(ShardId shard);
  // What comes between the two leaves nothing on these shards when it is undone, though the transaction goes on.
  Async<absl::Status> Mark(std::vector<ShardId> shards, const CallContext& ctx);
  // kAborted when it could not be undone, which ends the transaction.
  Async<absl::Status> Unmark(std::vector<ShardId> shards, bool undo, const CallContext& ctx);
  // The replies of requests that this transaction has already run.
  // kInvalidArgument REQUEST_ID_REUSED when it was another request's.
  absl::StatusOr<std::optional<TaskResult>> StoredReply(const RequestGuard& guard) const;
  void StoreReply(const RequestGuard& guard, const TaskResult& reply);
  // The transaction is this call's own: it ends with Done.
  void EndWithCall() { ends_ = true; }
  // The statement has answered; a status that ends transactions (EndsTransaction) ends this one.
  void Done(const absl::Status& status);

 private:
  Transactions& owner_;  // Outlives this.
  std::shared_ptr<Transaction> transaction_;
  bool done_ = false;
  bool ends_ = false;
};

}  // namespace quarry
