#include "core/txn/recovery.h"

#include <algorithm>
#include <set>
#include <utility>

namespace quarry {
namespace {

void SortUnique(std::vector<ShardId>& shards) {
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
}

}  // namespace

Recovery::Recovery(ShardId home, std::vector<ShardId> branches, std::map<std::string, ShardId> shard_ids)
    : home_(home), parts_(std::move(branches)), shard_ids_(std::move(shard_ids)) {
  SortUnique(parts_);
}

std::vector<RecoveryAction> Recovery::Start() { return {{.kind = Kind::kFindDecision, .shard = home_}}; }

std::vector<RecoveryAction> Recovery::On(const RecoveryEvent& event) {
  Actions actions;
  if (ended_ || event.kind != awaited_) return actions;
  switch (event.kind) {
    case RecoveryEvent::Kind::kDecisionFound:
      if (!event.ok) {
        End(false, actions);
      } else if (event.decision.has_value()) {
        Resolve(*event.decision, actions);
      } else {
        // Not one branch is rolled back before this row stands: its coordinator may only be slow.
        awaited_ = RecoveryEvent::Kind::kAbortDecided;
        actions.push_back({.kind = Kind::kDecideAbort, .shard = home_});
      }
      break;
    case RecoveryEvent::Kind::kAbortDecided:
      if (!event.ok || !event.decision.has_value()) {
        End(false, actions);
      } else {
        Resolve(*event.decision, actions);
      }
      break;
    case RecoveryEvent::Kind::kFinished: OnFinished(event, actions); break;
    case RecoveryEvent::Kind::kMarked: End(event.ok, actions); break;
  }
  return actions;
}

void Recovery::Resolve(const Decision& decision, Actions& actions) {
  verdict_ = decision.verdict;
  for (const std::string& name : decision.participants) {
    const auto known = shard_ids_.find(name);
    if (known == shard_ids_.end()) {
      all_known_ = false;
    } else if (known->second != home_) {  // Home's part is the decision itself.
      parts_.push_back(known->second);
    }
  }
  SortUnique(parts_);
  awaited_ = RecoveryEvent::Kind::kFinished;
  unfinished_ = parts_;
  for (const ShardId shard : parts_) {
    actions.push_back({.kind = Kind::kFinish, .shard = shard, .verdict = decision.verdict});
  }
  EndOrMark(actions);
}

void Recovery::OnFinished(const RecoveryEvent& event, Actions& actions) {
  const auto asked = std::find(unfinished_.begin(), unfinished_.end(), event.shard);
  if (asked == unfinished_.end()) return;
  unfinished_.erase(asked);
  const BranchEnd expected = verdict_ == Verdict::kCommit ? BranchEnd::kCommitted : BranchEnd::kAbsent;
  if (!event.ok) {
    all_known_ = false;
  } else if (event.end != expected) {
    all_known_ = false;
    contradictions_.push_back(event.shard);
  }
  EndOrMark(actions);
}

void Recovery::EndOrMark(Actions& actions) {
  if (!unfinished_.empty()) return;
  if (!all_known_) return End(false, actions);
  awaited_ = RecoveryEvent::Kind::kMarked;
  actions.push_back({.kind = Kind::kMarkFinished, .shard = home_});
}

void Recovery::End(bool resolved, Actions& actions) {
  ended_ = true;
  resolved_ = resolved;
  actions.push_back({.kind = Kind::kEnd, .shard = home_});
}

std::vector<RecoveryTarget> PickTargets(const std::vector<ShardSighting>& sightings, absl::Duration age_min,
                                        std::vector<RecoveryTarget>* strangers) {
  std::set<std::string> names;
  std::map<std::string, RecoveryTarget> targets;
  std::set<std::string> due;
  for (const ShardSighting& sighting : sightings) {
    names.insert(sighting.name);
    for (const Branch& branch : sighting.branches) {
      RecoveryTarget& target = targets[branch.transaction.id];
      target.home = branch.transaction.home;
      target.branches.push_back(sighting.shard);
      if (branch.age >= age_min) due.insert(branch.transaction.id);
    }
  }
  for (const ShardSighting& sighting : sightings) {
    for (const Decision& decision : sighting.unfinished) {
      if (decision.finished || decision.age < age_min) continue;
      // An abort may stand on shards that are not its home: a branch knows better, and so does a commit.
      std::string& home = targets[decision.transaction_id].home;
      if (home.empty() || decision.verdict == Verdict::kCommit) home = sighting.name;
      due.insert(decision.transaction_id);
    }
  }
  std::vector<RecoveryTarget> picked;
  for (const std::string& id : due) {
    RecoveryTarget& target = targets[id];
    target.transaction_id = id;
    if (names.count(target.home) > 0) {
      picked.push_back(std::move(target));
    } else if (strangers != nullptr) {
      strangers->push_back(std::move(target));
    }
  }
  return picked;
}

}  // namespace quarry
