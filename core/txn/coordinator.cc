#include "core/txn/coordinator.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"

namespace quarry {
namespace {

using Result = CommitEvent::Result;

absl::Duration BackoffAfter(int failures) {
  return std::min(Coordinator::kBackoffMax, absl::Milliseconds(10) * (int64_t{1} << std::min(failures - 1, 20)));
}

// Why all was rolled back, which is certain: also where a shard left its own part in the dark.
absl::Status Certain(const CommitEvent& event) {
  if (event.result != Result::kUnknown) return event.status;
  ErrorDetail detail = DetailOf(event.status);
  detail.reason = reason::kShardUnavailable;
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("the transaction was rolled back on every shard, because one did not confirm its part: ",
                                std::string(event.status.message()), "; run it again"),
                   detail);
}

}  // namespace

Coordinator::Coordinator(std::vector<Participant> participants) {
  std::sort(participants.begin(), participants.end(),
            [](const Participant& a, const Participant& b) { return a.shard < b.shard; });
  home_ = HomeOf(participants);
  members_.reserve(participants.size());
  for (const Participant& participant : participants) {
    Member member;
    member.shard = participant.shard;
    member.wrote = participant.wrote;
    members_.push_back(member);
  }
  const auto wrote = [](const Member& member) { return member.wrote; };
  if (std::count_if(members_.begin(), members_.end(), wrote) < 2) std::abort();  // An ordinary commit is enough.
}

ShardId Coordinator::HomeOf(const std::vector<Participant>& participants) {
  std::optional<ShardId> home;
  for (const Participant& participant : participants) {
    if (participant.wrote) home = std::min(home.value_or(participant.shard), participant.shard);
  }
  return home.value_or(ShardId{});
}

Coordinator::Member* Coordinator::Find(ShardId shard) {
  for (Member& member : members_) {
    if (member.shard == shard) return &member;
  }
  return nullptr;
}

bool Coordinator::AllAre(bool wrote, State state) const {
  return std::all_of(members_.begin(), members_.end(), [&](const Member& member) {
    return member.wrote != wrote || IsHome(member) || member.state == state;
  });
}

std::vector<CommitAction> Coordinator::Start() {
  Actions actions;
  PassNextGate(actions);
  return actions;
}

std::vector<CommitAction> Coordinator::On(const CommitEvent& event) {
  Actions actions;
  Member* member = Find(event.shard);
  if (member == nullptr || ended_) return actions;
  switch (event.kind) {
    case CommitEvent::Kind::kGatePassed: OnGatePassed(*member, event, actions); break;
    case CommitEvent::Kind::kPrepared: OnPrepared(*member, event, actions); break;
    case CommitEvent::Kind::kReaderCommitted: OnReaderCommitted(*member, event, actions); break;
    case CommitEvent::Kind::kDecided: OnDecided(*member, event, actions); break;
    case CommitEvent::Kind::kSettled: OnSettled(*member, event, actions); break;
    case CommitEvent::Kind::kFinished: OnFinished(*member, event, actions); break;
  }
  AnswerOrEnd(actions);
  return actions;
}

// One gate after the other, descending, so that no two commits and no reader of a snapshot wait for each other in a circle. The
// last but one is passed by its prepare, together with which the others are prepared; home's, the last, by the decision.
void Coordinator::PassNextGate(Actions& actions) {
  std::vector<Member*> writers;
  for (Member& member : members_) {
    if (member.wrote) writers.insert(writers.begin(), &member);
  }
  for (size_t i = 0; i + 2 < writers.size(); ++i) {
    if (writers[i]->gate_passed) continue;
    writers[i]->state = State::kAsked;
    actions.push_back({.kind = Kind::kPassGate, .shard = writers[i]->shard});
    return;
  }
  PrepareAll(actions);
}

void Coordinator::PrepareAll(Actions& actions) {
  phase_ = Phase::kPreparing;
  for (Member& member : members_) {
    if (!member.wrote || IsHome(member)) continue;
    member.state = State::kAsked;
    actions.push_back({.kind = Kind::kPrepare, .shard = member.shard});
  }
}

// After every prepare, so that what a reader has read stays locked until all writers are sure to hold theirs.
void Coordinator::CommitReaders(Actions& actions) {
  phase_ = Phase::kReaders;
  for (Member& member : members_) {
    if (member.wrote) continue;
    member.state = State::kAsked;
    actions.push_back({.kind = Kind::kCommitReader, .shard = member.shard});
  }
  if (AllAre(/*wrote=*/false, State::kOver)) Decide(actions);
}

void Coordinator::Decide(Actions& actions) {
  phase_ = Phase::kDeciding;
  Find(home_)->state = State::kAsked;
  actions.push_back({.kind = Kind::kDecide, .shard = home_, .verdict = Verdict::kCommit});
}

void Coordinator::Commit(Actions& actions) {
  phase_ = Phase::kCommitting;
  Find(home_)->state = State::kOver;
  for (Member& member : members_) {
    if (member.state == State::kPrepared) Finish(member, absl::ZeroDuration(), actions);
  }
}

// Nothing is decided and the only one who could decide to commit does not any more: no row is needed to roll back.
void Coordinator::Abort(const absl::Status& cause, Actions& actions) {
  phase_ = Phase::kAborting;
  cause_ = cause;
  for (Member& member : members_) {
    if (member.state == State::kOpen) {
      member.state = State::kOver;
      actions.push_back({.kind = Kind::kRollBack, .shard = member.shard});
    } else if (member.state == State::kPrepared) {
      Finish(member, absl::ZeroDuration(), actions);
    }
  }
}

void Coordinator::Finish(Member& member, absl::Duration after, Actions& actions) {
  member.state = State::kFinishing;
  const Verdict verdict = phase_ == Phase::kCommitting ? Verdict::kCommit : Verdict::kAbort;
  actions.push_back({.kind = Kind::kFinish, .shard = member.shard, .verdict = verdict, .after = after});
}

void Coordinator::OnGatePassed(Member& member, const CommitEvent& event, Actions& actions) {
  if (phase_ != Phase::kGates || member.state != State::kAsked) return;
  member.state = State::kOpen;
  if (event.result != Result::kOk) return Abort(Certain(event), actions);
  member.gate_passed = true;
  PassNextGate(actions);
}

void Coordinator::OnPrepared(Member& member, const CommitEvent& event, Actions& actions) {
  if (!member.wrote || IsHome(member) || member.state != State::kAsked || phase_ == Phase::kGates) return;
  member.state = event.result == Result::kFailed ? State::kOpen : State::kPrepared;
  // Again when it is being rolled back already: this one was not known then.
  if (phase_ == Phase::kAborting) return Abort(cause_, actions);
  if (event.result != Result::kOk) return Abort(Certain(event), actions);
  if (AllAre(/*wrote=*/true, State::kPrepared)) CommitReaders(actions);
}

void Coordinator::OnReaderCommitted(Member& member, const CommitEvent& event, Actions& actions) {
  if (member.wrote || member.state != State::kAsked) return;
  member.state = event.result == Result::kFailed ? State::kOpen : State::kOver;
  if (phase_ == Phase::kAborting) return Abort(cause_, actions);
  if (event.result != Result::kOk) return Abort(Certain(event), actions);
  if (AllAre(/*wrote=*/false, State::kOver)) Decide(actions);
}

void Coordinator::OnDecided(Member& member, const CommitEvent& event, Actions& actions) {
  if (phase_ != Phase::kDeciding || !IsHome(member)) return;
  if (event.result == Result::kOk) return Commit(actions);
  if (event.result == Result::kFailed) {
    member.state = State::kOpen;
    return Abort(event.status, actions);
  }
  phase_ = Phase::kSettling;
  actions.push_back({.kind = Kind::kSettle, .shard = home_, .verdict = Verdict::kAbort});
}

void Coordinator::OnSettled(Member& member, const CommitEvent& event, Actions& actions) {
  if (phase_ != Phase::kSettling || !IsHome(member)) return;
  if (event.result != Result::kOk) {
    actions.push_back({.kind = Kind::kSettle,
                       .shard = home_,
                       .verdict = Verdict::kAbort,
                       .after = BackoffAfter(++settle_failures_)});
    return;
  }
  if (event.verdict == Verdict::kCommit) return Commit(actions);
  member.state = State::kOver;
  Abort(MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                  "the commit was lost on its way to the shard that decides, and the transaction was rolled back on every "
                  "shard; run it again"),
        actions);
}

void Coordinator::OnFinished(Member& member, const CommitEvent& event, Actions& actions) {
  if (member.state != State::kFinishing) return;
  if (event.result == Result::kOk) {
    member.state = State::kOver;
    const bool should_stand = phase_ == Phase::kCommitting;
    if (should_stand != (event.end == BranchEnd::kCommitted)) contradicted_ = true;
    return;
  }
  if (++member.failures < kFinishTriesMax) return Finish(member, BackoffAfter(member.failures), actions);
  member.state = State::kOver;
  left_to_recovery_ = true;
}

void Coordinator::AnswerOrEnd(Actions& actions) {
  if (phase_ != Phase::kCommitting && phase_ != Phase::kAborting) return;
  bool all_over = true;
  bool late = left_to_recovery_;
  for (const Member& member : members_) {
    all_over = all_over && member.state == State::kOver;
    // A rollback that one shard does not confirm holds up nobody; a commit waits for all, to be seen by its caller.
    late = late || (phase_ == Phase::kAborting && member.failures > 0);
  }
  if (!answered_ && (all_over || late)) {
    answered_ = true;
    CommitAction answer{.kind = Kind::kAnswer, .shard = home_, .outcome = outcome()};
    answer.verdict = phase_ == Phase::kCommitting ? Verdict::kCommit : Verdict::kAbort;
    if (phase_ == Phase::kAborting) answer.cause = cause_;
    actions.push_back(std::move(answer));
  }
  if (!all_over) return;
  ended_ = true;
  actions.push_back({.kind = Kind::kEnd, .shard = home_});
}

CommitOutcome Coordinator::outcome() const {
  if (phase_ == Phase::kAborting) return CommitOutcome::kRolledBack;
  if (phase_ != Phase::kCommitting) return CommitOutcome::kInDoubt;
  const bool everywhere = !left_to_recovery_ && !contradicted_ && AllAre(/*wrote=*/true, State::kOver);
  return everywhere ? CommitOutcome::kCommitted : CommitOutcome::kCommittedUnfinished;
}

}  // namespace quarry
