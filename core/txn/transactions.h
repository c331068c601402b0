// The interactive transactions of one loop. A transaction takes its shard with its first statement and stays there.
// Its statements run one at a time; what a dropped call leaves half done ends the transaction.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
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

namespace quarry {

struct TransactionOptions {
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

  // `loop` and `random` outlive this.
  Transactions(Loop& loop, Random& random, uint32_t loop_index, TransactionOptions options);
  ~Transactions();
  Transactions(const Transactions&) = delete;
  Transactions& operator=(const Transactions&) = delete;

  // kResourceExhausted LIMIT_EXCEEDED when too many are open.
  absl::StatusOr<std::string> Begin(const BeginOptions& options);
  // The time without a call after which it is rolled back.
  absl::StatusOr<absl::Duration> IdleTimeoutOf(const std::string& id) const;
  absl::StatusOr<bool> ReadOnly(const std::string& id) const;
  // The shard that it has taken; nullopt before its first statement.
  absl::StatusOr<std::optional<ShardId>> ShardOf(const std::string& id) const;

  // Takes the transaction for one statement on `shard`, opening it there if it is the first.
  // kFailedPrecondition CROSS_SHARD_TRANSACTION for a second shard, kAborted TRANSACTION_BUSY while another call uses it.
  Async<absl::StatusOr<std::unique_ptr<Lease>>> Use(const std::string& id, ShardId shard, Backend& backend,
                                                    const CallContext& ctx);
  // All steps of `task`, one after the other; under kEach a failing step is reported, under kAll it fails the task.
  // Of a kAll task whose step fails nothing remains, though the transaction goes on.
  // A task with a guard that this transaction has already run gives the same result again, unless a rollback to a
  // savepoint has undone it.
  Async<absl::StatusOr<TaskResult>> Execute(const std::string& id, const Task& task, Backend& backend,
                                            const CallContext& ctx);
  Async<absl::Status> Savepoint(const std::string& id, SavepointAction action, const std::string& name,
                                const CallContext& ctx);
  // Finishes in the background when its caller goes or its deadline ends (kUnknown COMMIT_OUTCOME_UNKNOWN);
  // State tells the end. Committing a committed transaction again is OK.
  Async<absl::Status> Commit(const std::string& id, const CallContext& ctx);
  // Rolling back one that is rolled back is OK.
  Async<absl::Status> Rollback(const std::string& id, const CallContext& ctx);
  // kNotFound TRANSACTION_NOT_FOUND for one that never was, or ended too long ago.
  absl::StatusOr<TransactionState> State(const std::string& id) const;
  // The shard that it has taken, or had when it ended; errors as for State.
  absl::StatusOr<std::optional<ShardId>> ShardEverOf(const std::string& id) const;
  size_t size() const { return open_.size(); }

  // The loop index in an id; kInvalidArgument when it is not of our form.
  static absl::StatusOr<uint32_t> LoopOf(const std::string& id);

 private:
  struct Transaction;
  struct CommitJob;
  using CommitJobs = std::list<std::unique_ptr<CommitJob>>;
  absl::StatusOr<std::shared_ptr<Transaction>> Find(const std::string& id) const;
  absl::StatusOr<std::shared_ptr<Transaction>> FindIdle(const std::string& id) const;
  void ArmIdleTimer(const std::shared_ptr<Transaction>& transaction);
  void End(const std::shared_ptr<Transaction>& transaction, TransactionState state);
  Async<absl::Status> FinishCommit(std::shared_ptr<Transaction> transaction, CommitJob* job);

  Loop& loop_;
  Random& random_;
  const uint32_t loop_index_;
  const TransactionOptions options_;
  absl::flat_hash_map<std::string, std::shared_ptr<Transaction>> open_;
  struct Fate {
    TransactionState state{};
    std::optional<ShardId> shard;
  };
  absl::flat_hash_map<std::string, Fate> ended_;
  std::deque<std::string> ended_order_;
  std::shared_ptr<CommitJobs> commits_;  // Shared, weakly, with deferred work alone.
};

// The use of a transaction by one call. Dropping it without Done rolls the transaction back.
class Transactions::Lease {
 public:
  Lease(Transactions& owner, std::shared_ptr<Transaction> transaction);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Session& session();
  // The statement has answered; a status that ends transactions (EndsTransaction) ends this one.
  void Done(const absl::Status& status);

 private:
  Transactions& owner_;  // Outlives this.
  std::shared_ptr<Transaction> transaction_;
  bool done_ = false;
};

}  // namespace quarry
