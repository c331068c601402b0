// Recovery of one transaction over several shards, as a pure state machine, and what a sweep over the shards picks for it.
// Any number may work on the same transaction at the same time, beside its coordinator: the decision's primary key
// arbitrates. Ages decide when to try, never what is true.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/backend/two_phase.h"
#include "core/model/ids.h"

namespace quarry {

struct RecoveryAction {
  enum class Kind : uint8_t {
    kFindDecision,  // At home.
    kDecideAbort,   // At home.
    kFinish,        // With `verdict`.
    kMarkFinished,  // At home.
    kEnd,           // Done, or given up until the next sweep: see Recovery::resolved.
  };
  Kind kind{};
  ShardId shard{};
  Verdict verdict{};
};

struct RecoveryEvent {
  enum class Kind : uint8_t { kDecisionFound, kAbortDecided, kFinished, kMarked };
  Kind kind{};
  ShardId shard{};
  bool ok = true;  // False: it could not be asked; the sweep tries again.
  std::optional<Decision> decision = std::nullopt;  // kDecisionFound (none: there is none), kAbortDecided (the one that stands).
  BranchEnd end{};                   // kFinished.
};

class Recovery {
 public:
  // `branches`: shards where one was found. `shard_ids`: of the names in decisions. A name that is not there is left alone,
  // and then the decision stays unfinished: its shard may come back with a branch.
  Recovery(ShardId home, std::vector<ShardId> branches, std::map<std::string, ShardId> shard_ids);
  std::vector<RecoveryAction> Start();
  std::vector<RecoveryAction> On(const RecoveryEvent& event);
  // Every part has ended as decided, and home knows.
  bool resolved() const { return resolved_; }
  std::optional<Verdict> verdict() const { return verdict_; }
  // Shards whose part of a committed transaction is missing, or whose part of one that was rolled back is committed: what
  // cannot be. The decision stays unfinished.
  const std::vector<ShardId>& contradictions() const { return contradictions_; }

 private:
  using Kind = RecoveryAction::Kind;
  using Actions = std::vector<RecoveryAction>;

  void Resolve(const Decision& decision, Actions& actions);
  void OnFinished(const RecoveryEvent& event, Actions& actions);
  void EndOrMark(Actions& actions);
  void End(bool resolved, Actions& actions);

  ShardId home_;
  std::vector<ShardId> parts_;  // To be finished: ascending, each once.
  std::map<std::string, ShardId> shard_ids_;
  RecoveryEvent::Kind awaited_ = RecoveryEvent::Kind::kDecisionFound;
  std::vector<ShardId> unfinished_;
  bool all_known_ = true;  // Every part was named, asked, and answered as it should.
  bool ended_ = false;
  bool resolved_ = false;
  std::optional<Verdict> verdict_;
  std::vector<ShardId> contradictions_;
};

// What one sweep has found on one shard.
struct ShardSighting {
  ShardId shard{};
  std::string name;
  std::vector<Branch> branches;
  std::vector<Decision> unfinished;  // Of decisions whose home this is.
};

// A transaction to recover.
struct RecoveryTarget {
  std::string transaction_id;
  std::string home;
  std::vector<ShardId> branches;
};

// Transactions with a branch at least `age_min` old, and unfinished decisions that old; each once, by id. Of a transaction
// that is picked, younger branches too; its home is where its branches say, not where an abort happens to stand. Every shard of ours is in `sightings`, with nothing when it did not answer: a
// transaction whose home is none of them is left alone and told in `strangers`, which may be null.
std::vector<RecoveryTarget> PickTargets(const std::vector<ShardSighting>& sightings, absl::Duration age_min,
                                        std::vector<RecoveryTarget>* strangers);

}  // namespace quarry
