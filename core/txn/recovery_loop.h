// Recovery at work: looks over all shards for transactions that nobody has finished, at once when it starts and then all the
// time, and drives each through the Recovery machine. Every gateway may run one; any number do no harm to each other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/loop.h"
#include "core/txn/audit.h"
#include "core/txn/commits.h"
#include "core/txn/recovery.h"

namespace quarry {

struct RecoveryOptions {
  absl::Duration interval = absl::Seconds(1);
  // Younger ones are left to their coordinator. It decides when to try, never what is true.
  absl::Duration age_min = absl::Seconds(5);
  absl::Duration step_timeout = absl::Seconds(10);
  absl::Duration audit_interval = absl::Minutes(1);
  absl::Duration keep = absl::Hours(24);  // Of finished decisions, for GetTransaction.
  size_t width = 16;                      // Transactions at a time.
};

// For metrics, since start.
struct RecoveryStats {
  int64_t sweeps = 0;
  int64_t committed = 0;    // Transactions that were finished as decided.
  int64_t rolled_back = 0;
  int64_t postponed = 0;    // Tries that a shard which does not answer has ended.
  int64_t forgotten = 0;    // Decisions.
  int64_t in_doubt = 0;     // Now: seen by the latest sweep and not ended by it.
  absl::Duration oldest = absl::ZeroDuration();  // Of those.
  int64_t strangers = 0;    // Now: transactions whose home is no shard of ours.
  int64_t unasked = 0;      // Shards that the latest sweep could not ask.
  int64_t findings = 0;     // Of the latest audit.
};

// A transaction as the shards know it.
struct TransactionTrace {
  std::string transaction_id;
  std::string home;                        // "" when no branch names it and there is no decision.
  std::optional<Decision> decision;        // A commit, where there is one; else the abort at home.
  std::vector<std::string> branches;       // Shards that have one prepared, by name.
  absl::Duration age;                      // Of the oldest that was seen of it.
};

// Shards that could not be asked, with why.
struct UnaskedShard {
  std::string shard;
  absl::Status why;
};
using Unasked = std::vector<UnaskedShard>;

// What every shard holds of unfinished transactions. Shards that do not answer have an empty sighting and are told in `unasked`.
Async<std::vector<ShardSighting>> SightShards(std::vector<ShardParty> parties, absl::Duration timeout, Unasked* unasked,
                                              const CallContext& ctx);
// Of the sightings, one trace for each transaction, by id.
std::vector<TransactionTrace> TracesOf(const std::vector<ShardSighting>& sightings);

// What is known of one transaction, from all shards. Whole unless `unasked` says otherwise.
Async<TransactionTrace> TraceTransaction(std::string transaction_id, std::vector<ShardParty> parties, Unasked* unasked,
                                         const CallContext& ctx);

// Ends one transaction now, whatever its age: as decided, or by an abort when nothing is decided. nullopt: a shard did not
// answer, so it goes on later. Contradictions go to `broken`.
Async<std::optional<Verdict>> RecoverTransaction(RecoveryTarget target, std::vector<ShardParty> parties,
                                                 absl::Duration step_timeout, std::vector<ShardId>* broken, Loop& loop);

// Who is told; each may be null.
struct RecoveryListener {
  // What an audit finds, when it is first seen.
  std::function<void(const AuditFinding& finding)> on_finding = {};
  // That a shard can take no part in transactions over several shards, and why; once for each shard.
  std::function<void(const std::string& shard, const absl::Status& why)> on_unfit = {};
};

class RecoveryLoop {
 public:
  // `loop` outlives this. `parties`: all shards, as they are named now.
  RecoveryLoop(Loop& loop, RecoveryOptions options, std::function<std::vector<ShardParty>()> parties,
               RecoveryListener listener);
  RecoveryLoop(const RecoveryLoop&) = delete;
  RecoveryLoop& operator=(const RecoveryLoop&) = delete;

  // On the loop's thread, or before it runs.
  void Start();
  // One look over all shards; what Start repeats. The first that reaches a shard checks it for what commits over several
  // shards need, which creates Quarry's tables where the gateway may.
  Async<void> Sweep();
  const RecoveryStats& stats() const { return stats_; }

 private:
  Async<void> Run();
  Async<void> CheckNewShards();
  Async<void> FinishWhatIsDone(std::vector<ShardSighting>* sightings);
  // One page of each home; true when one was full, so that more of them are old.
  Async<bool> ForgetOld();
  Async<void> AuditAll();
  Async<absl::StatusOr<bool>> RecoverOne(RecoveryTarget target);

  Loop& loop_;
  const RecoveryOptions options_;
  const std::function<std::vector<ShardParty>()> parties_;
  const RecoveryListener listener_;
  RecoveryStats stats_;
  absl::Time next_audit_ = absl::InfinitePast();
  bool more_to_forget_ = false;
  std::set<std::string> checked_;  // Shards, by name.
  std::set<std::string> told_;     // Subjects of the findings of the latest audit.
  Running running_;
};

}  // namespace quarry
