// The coordinator of one commit over several shards, as a pure state machine: events in, actions out; no clock, no I/O.
// The one that runs in production is the one that the simulator drives. docs/transactions.md has the protocol.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/backend/two_phase.h"
#include "core/model/ids.h"

namespace quarry {

struct Participant {
  ShardId shard{};
  bool wrote = true;
};

// What the caller may be told. After the commit point nothing is reported as failed.
enum class CommitOutcome : uint8_t {
  kRolledBack,
  kCommitted,            // Everywhere.
  kCommittedUnfinished,  // For certain, though some shard still has to make it visible.
  kInDoubt,
};

struct CommitAction {
  enum class Kind : uint8_t {
    kPassGate,      // Session::PassGate.
    kPrepare,       // Session::Prepare, or RunAndPrepare.
    kDecide,        // Session::Commit of the home shard, with the decision.
    kCommitReader,  // Session::Commit of a participant that wrote nothing.
    kRollBack,      // Let go of a session that is not prepared.
    kSettle,        // TwoPhase::DecideAbort at home: whether the lost commit or an abort stands.
    kFinish,        // TwoPhase::Finish with `verdict`.
    kAnswer,        // Tell the caller `outcome`; once.
    kEnd,           // Nothing is left to do; the machine may go.
  };
  Kind kind{};
  ShardId shard{};
  Verdict verdict{};
  CommitOutcome outcome{};
  absl::Status cause = absl::OkStatus();         // kAnswer kRolledBack: why.
  absl::Duration after = absl::ZeroDuration();  // Wait so long first: another try.
};

struct CommitEvent {
  enum class Kind : uint8_t { kGatePassed, kPrepared, kDecided, kReaderCommitted, kSettled, kFinished };
  // kRefused: it is prepared, but must not be committed; the status says why.
  enum class Result : uint8_t { kOk, kFailed, kUnknown, kRefused };
  Kind kind{};
  ShardId shard{};
  // kFailed is certain: nothing of it happened. kSettled and kFinished that fail are tried again.
  Result result{};
  absl::Status status = absl::OkStatus();  // Of what is not kOk.
  Verdict verdict{};                       // kSettled: what stands.
  BranchEnd end{};                         // kFinished.
};

// Every session gets exactly one end: a prepare or commit that succeeds or is in the dark, or kRollBack. What is asked
// for is reported back by one event, kRollBack, kAnswer and kEnd aside; other events are ignored. The machine may be
// dropped at any time, as a crash would: recovery does the rest.
class Coordinator {
 public:
  // Tries of kFinish at one shard before it is left to recovery. kSettle is tried without end.
  static constexpr int kFinishTriesMax = 5;
  // Between tries: 10 ms, doubled each time up to this. The driver spreads it (full jitter).
  static constexpr absl::Duration kBackoffMax = absl::Seconds(1);

  // By ascending shard; at least two writers, and readers as well. The lowest writer is home: a fixed rule, so
  // that a retry claims its request in the same place.
  explicit Coordinator(std::vector<Participant> participants);

  static ShardId HomeOf(const std::vector<Participant>& participants);
  ShardId home() const { return home_; }

  std::vector<CommitAction> Start();
  std::vector<CommitAction> On(const CommitEvent& event);
  // What is certain now, for a caller who does not wait on.
  CommitOutcome outcome() const;
  // Of kRolledBack: why.
  const absl::Status& cause() const { return cause_; }
  // The atomicity that should hold was seen broken: a branch of a committed transaction is gone, or one of a transaction
  // that was rolled back is committed. For the auditor.
  bool contradicted() const { return contradicted_; }

 private:
  enum class Phase : uint8_t { kGates, kPreparing, kReaders, kDeciding, kSettling, kCommitting, kAborting };
  // kPrepared: or may be. kOver: nothing is left of it, or what is left is recovery's.
  enum class State : uint8_t { kOpen, kAsked, kPrepared, kFinishing, kOver };
  struct Member {
    ShardId shard{};
    bool wrote = true;
    State state = State::kOpen;
    bool gate_passed = false;
    int failures = 0;  // Of kFinish.
  };
  using Kind = CommitAction::Kind;
  using Actions = std::vector<CommitAction>;

  bool IsHome(const Member& member) const { return member.wrote && member.shard == home_; }
  Member* Find(ShardId shard);
  // Home aside.
  bool AllAre(bool wrote, State state) const;
  void PassNextGate(Actions& actions);
  void PrepareAll(Actions& actions);
  void CommitReaders(Actions& actions);
  void Decide(Actions& actions);
  void Commit(Actions& actions);
  void Abort(const absl::Status& cause, Actions& actions);
  void Finish(Member& member, absl::Duration after, Actions& actions);
  void OnGatePassed(Member& member, const CommitEvent& event, Actions& actions);
  void OnPrepared(Member& member, const CommitEvent& event, Actions& actions);
  void OnReaderCommitted(Member& member, const CommitEvent& event, Actions& actions);
  void OnDecided(Member& member, const CommitEvent& event, Actions& actions);
  void OnSettled(Member& member, const CommitEvent& event, Actions& actions);
  void OnFinished(Member& member, const CommitEvent& event, Actions& actions);
  void AnswerOrEnd(Actions& actions);

  std::vector<Member> members_;
  ShardId home_{};
  Phase phase_ = Phase::kGates;
  int settle_failures_ = 0;
  absl::Status cause_;             // Why it is rolled back.
  bool left_to_recovery_ = false;  // Some shard could not be finished.
  bool answered_ = false;
  bool ended_ = false;
  bool contradicted_ = false;
};

}  // namespace quarry
