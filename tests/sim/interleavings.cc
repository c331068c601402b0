#include "tests/sim/interleavings.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/txn/coordinator.h"
#include "core/txn/recovery.h"
#include "tests/sim/machines.h"
#include "tests/sim/model_shard.h"

namespace quarry::sim {
namespace {

constexpr int kTransaction = 0;
constexpr uint8_t kCoordinator = 0;  // Askers: 0, then one for each recovery.

// A request on its way, or its answer. `lost`: nobody waits for it any more.
struct Message {
  uint8_t asker = 0;
  Op op{};
  uint8_t shard = 0;
  bool answered = false;
  bool lost = false;
  Reply reply;

  // Whose it was does not matter once nobody waits for it.
  uint32_t code() const {
    return (lost ? 7u : asker) | static_cast<uint32_t>(op) << 4 | uint32_t{shard} << 8 | uint32_t{answered} << 12 | uint32_t{lost} << 13 |
           uint32_t{reply.ok} << 14 | uint32_t{reply.found} << 15 | static_cast<uint32_t>(reply.verdict) << 16 |
           static_cast<uint32_t>(reply.end) << 17;
  }
};

struct State {
  std::array<ModelShard, 4> shards;
  std::optional<Coordinator> coordinator;
  std::array<std::optional<Recovery>, 2> recoveries;
  std::vector<Message> messages;
  // What each machine has been told, which determines what it is.
  std::array<std::string, 3> histories;
  uint8_t recoveries_started = 0;
  uint8_t answers_lost = 0;
  uint8_t sessions_broken = 0;
  bool died = false;
  bool told_rolled_back = false;
  bool told_committed = false;
  std::array<bool, 4> rolled_back_at{};
};

struct Move {
  enum class Kind : uint8_t { kDeliver, kLoseAnswer, kBreakSession, kDie, kRecover };
  Kind kind{};
  size_t which = 0;  // Message, shard or recovery.
};

class Explorer {
 public:
  explicit Explorer(const Scope& scope) : scope_(scope) {
    // The reader between the first writer and the others.
    for (int i = 0; i < scope.participants + (scope.reader ? 1 : 0); ++i) {
      participants_.push_back({ShardId{static_cast<uint32_t>(i)}, !(scope.reader && i == 1)});
      if (participants_.back().wrote) writer_names_.push_back(ShardName(i));
    }
    home_ = static_cast<size_t>(Index(Coordinator::HomeOf(participants_)));
  }

  Explored Run() {
    State start;
    for (const Participant& participant : participants_) start.shards[Index(participant.shard)].OpenSession(kTransaction);
    start.coordinator.emplace(participants_);
    DoCommit(start, start.coordinator->Start());
    Visit(std::move(start));
    // Depth first, the stack kept by hand: the longest runs have many steps.
    while (!stack_.empty() && explored_.broken.empty()) {
      Frame& frame = stack_.back();
      if (frame.next == frame.moves.size()) {
        stack_.pop_back();
        continue;
      }
      State next = frame.state;
      Do(next, frame.moves[frame.next++]);
      Visit(std::move(next));
    }
    return explored_;
  }

 private:
  struct Frame {
    State state;
    std::vector<Move> moves;
    size_t next = 0;
  };

  void Visit(State state) {
    if (!explored_.broken.empty()) return;
    const std::string key = KeyOf(state);
    const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
    if (!seen_.insert(std::make_pair(hash.low64, hash.high64)).second) return;
    ++explored_.states;
    Check(state);
    State abandoned = state;
    RecoverAfterCrashOfAll(abandoned);
    std::vector<Move> moves = MovesOf(state);
    stack_.push_back({std::move(state), std::move(moves), 0});
  }

  std::string KeyOf(const State& state) const {
    std::string key;
    for (size_t i = 0; i < participants_.size(); ++i) {
      const ModelShard::Slot& slot = state.shards[i].slot(kTransaction);
      key.push_back(static_cast<char>(slot.session | slot.branch << 1 | slot.part << 2 | slot.decided << 3 |
                                      (slot.verdict == Verdict::kAbort) << 4 | slot.finished << 5));
    }
    std::vector<uint32_t> codes;
    for (const Message& message : state.messages) codes.push_back(message.code());
    std::sort(codes.begin(), codes.end());
    absl::StrAppend(&key, "|", absl::StrJoin(codes, ","), "|", absl::StrJoin(state.histories, "/"), "|",
                    state.recoveries_started, state.answers_lost, state.sessions_broken, state.died,
                    state.coordinator.has_value(), state.told_rolled_back, state.told_committed);
    for (const std::optional<Recovery>& recovery : state.recoveries) key.push_back(recovery.has_value() ? 'r' : '-');
    return key;
  }

  std::vector<Move> MovesOf(const State& state) const {
    std::vector<Move> moves;
    for (size_t i = 0; i < state.messages.size(); ++i) {
      moves.push_back({Move::Kind::kDeliver, i});
      if (!state.messages[i].lost && state.answers_lost < scope_.answers_lost) moves.push_back({Move::Kind::kLoseAnswer, i});
    }
    for (size_t i = 0; i < participants_.size(); ++i) {
      const bool may_break = state.died || !state.coordinator.has_value() || state.sessions_broken < scope_.sessions_broken;
      if (may_break && state.shards[i].slot(kTransaction).session) moves.push_back({Move::Kind::kBreakSession, i});
    }
    if (scope_.coordinator_dies && state.coordinator.has_value()) moves.push_back({Move::Kind::kDie, 0});
    if (state.recoveries_started < scope_.recoveries && SomethingToFind(state)) moves.push_back({Move::Kind::kRecover, 0});
    return moves;
  }

  bool SomethingToFind(const State& state) const {
    for (size_t i = 0; i < participants_.size(); ++i) {
      const ModelShard::Slot& slot = state.shards[i].slot(kTransaction);
      if (slot.branch || (slot.decided && !slot.finished)) return true;
    }
    return false;
  }

  std::vector<ShardId> BranchesOf(const State& state) const {
    std::vector<ShardId> branches;
    for (uint32_t i = 0; i < participants_.size(); ++i) {
      if (state.shards[i].slot(kTransaction).branch) branches.push_back(ShardId{i});
    }
    return branches;
  }

  Recovery NewRecovery(const State& state) const {
    return Recovery(ShardId{static_cast<uint32_t>(home_)}, BranchesOf(state), ShardIds(static_cast<int>(participants_.size())));
  }

  void Do(State& state, const Move& move) {
    switch (move.kind) {
      case Move::Kind::kDeliver: return Deliver(state, move.which);
      case Move::Kind::kLoseAnswer: {
        ++state.answers_lost;
        Message& message = state.messages[move.which];
        const Message given_up = message;
        message.lost = true;
        if (message.answered) state.messages.erase(state.messages.begin() + static_cast<std::ptrdiff_t>(move.which));
        return Tell(state, given_up, Seen::kNothing);
      }
      case Move::Kind::kBreakSession:
        if (state.coordinator.has_value()) ++state.sessions_broken;
        return state.shards[move.which].LoseSession(kTransaction);
      case Move::Kind::kDie:
        state.died = true;
        state.coordinator.reset();
        state.histories[kCoordinator].clear();
        return LoseInterest(state, kCoordinator);
      case Move::Kind::kRecover: {
        const uint8_t which = state.recoveries_started++;
        state.recoveries[which].emplace(NewRecovery(state));
        for (const ShardId shard : BranchesOf(state)) absl::StrAppend(&state.histories[which + 1u], "b", Index(shard));
        return DoRecovery(state, which, state.recoveries[which]->Start());
      }
    }
  }

  // Requests still arrive; answers come to nobody.
  void LoseInterest(State& state, uint8_t asker) const {
    std::vector<Message>& messages = state.messages;
    messages.erase(std::remove_if(messages.begin(), messages.end(),
                                  [&](const Message& message) { return message.asker == asker && message.answered; }),
                   messages.end());
    for (Message& message : messages) message.lost = message.lost || message.asker == asker;
  }

  void Deliver(State& state, size_t which) {
    Message message = state.messages[which];
    state.messages.erase(state.messages.begin() + static_cast<std::ptrdiff_t>(which));
    if (message.answered) return Tell(state, message, Seen::kReply);
    ModelShard& shard = state.shards[message.shard];
    const bool decided = shard.slot(kTransaction).decided;
    message.reply = shard.Apply(message.op, kTransaction, 0);
    if (message.op == Op::kDecide && decided) ++explored_.late_decisions;
    if (message.op == Op::kFinishAbort) state.rolled_back_at[message.shard] = true;
    if (message.op == Op::kPrepare && message.reply.ok && state.rolled_back_at[message.shard]) ++explored_.late_prepares;
    message.answered = true;
    if (!message.lost && message.op != Op::kRollBack) state.messages.push_back(message);
  }

  void Tell(State& state, const Message& message, Seen seen) {
    const ShardId shard{message.shard};
    std::string& history = state.histories[message.asker];
    absl::StrAppend(&history, message.code(), seen == Seen::kReply ? "," : "?,");
    if (message.asker == kCoordinator) {
      if (state.coordinator.has_value()) DoCommit(state, state.coordinator->On(EventOf(message.op, shard, seen, message.reply)));
      return;
    }
    const uint8_t which = static_cast<uint8_t>(message.asker - 1);
    if (!state.recoveries[which].has_value()) return;
    DoRecovery(state, which,
               state.recoveries[which]->On(RecoveryEventOf(message.op, shard, seen, message.reply, "t0", writer_names_)));
  }

  void DoCommit(State& state, const std::vector<CommitAction>& actions) {
    bool ended = false;
    for (const CommitAction& action : actions) {
      const std::optional<Op> op = OpOf(action);
      if (op.has_value()) state.messages.push_back(RequestOf(kCoordinator, *op, action.shard));
      ended = ended || action.kind == CommitAction::Kind::kEnd;
    }
    const CommitOutcome outcome = state.coordinator->outcome();
    state.told_rolled_back = state.told_rolled_back || outcome == CommitOutcome::kRolledBack;
    state.told_committed =
        state.told_committed || outcome == CommitOutcome::kCommitted || outcome == CommitOutcome::kCommittedUnfinished;
    if (state.coordinator->contradicted()) Break("the coordinator meets a contradiction");
    if (!ended) return;
    state.coordinator.reset();
    // What it has said stays; what else it was told does not matter any more.
    state.histories[kCoordinator] = state.told_rolled_back ? "rolled back" : "committed";
  }

  void DoRecovery(State& state, uint8_t which, const std::vector<RecoveryAction>& actions) {
    for (const RecoveryAction& action : actions) {
      const std::optional<Op> op = OpOf(action);
      if (op.has_value()) {
        state.messages.push_back(RequestOf(static_cast<uint8_t>(which + 1), *op, action.shard));
        continue;
      }
      if (!state.recoveries[which]->contradictions().empty()) Break("a recovery meets a contradiction");
      state.recoveries[which].reset();
      state.histories[which + 1u].clear();
    }
  }

  static Message RequestOf(uint8_t asker, Op op, ShardId shard) {
    Message message;
    message.asker = asker;
    message.op = op;
    message.shard = static_cast<uint8_t>(Index(shard));
    message.lost = op == Op::kRollBack;  // Nobody waits for it.
    return message;
  }

  bool Committed(const State& state) const {
    const ModelShard::Slot& slot = state.shards[home_].slot(kTransaction);
    return slot.decided && slot.verdict == Verdict::kCommit;
  }

  void Check(const State& state) {
    const bool committed = Committed(state);
    explored_.commits += committed ? 1 : 0;
    explored_.aborts += state.shards[home_].slot(kTransaction).decided && !committed ? 1 : 0;
    if (state.told_rolled_back && committed) Break("it was said to be rolled back, but is committed");
    if (state.told_committed && !committed) Break("it was said to be committed, but is not");
    for (size_t i = 0; i < participants_.size(); ++i) {
      if (!participants_[i].wrote || i == home_) continue;
      const ModelShard::Slot& slot = state.shards[i].slot(kTransaction);
      if (slot.part && !committed) Break(absl::StrCat("committed on ", ShardName(static_cast<int>(i)), " alone"));
      if (committed && !slot.part && !slot.branch) Break(absl::StrCat("lost on ", ShardName(static_cast<int>(i))));
    }
  }

  // Everybody is gone, and nothing is on its way. One recovery without disturbance must end it.
  void RecoverAfterCrashOfAll(State& state) {
    state.coordinator.reset();
    state.recoveries = {};
    state.messages.clear();
    for (ModelShard& shard : state.shards) shard.LoseSessions();
    if (SomethingToFind(state)) {
      state.recoveries[0].emplace(NewRecovery(state));
      DoRecovery(state, 0, state.recoveries[0]->Start());
      while (!state.messages.empty() && explored_.broken.empty()) Deliver(state, 0);
    }
    const bool committed = Committed(state);
    if (state.told_rolled_back && committed) Break("it was said to be rolled back, but recovery commits it");
    if (state.told_committed && !committed) Break("it was said to be committed, but recovery rolls it back");
    for (size_t i = 0; i < participants_.size(); ++i) {
      const ModelShard::Slot& slot = state.shards[i].slot(kTransaction);
      const bool part_due = committed && participants_[i].wrote && i != home_;
      const std::string name = ShardName(static_cast<int>(i));
      if (slot.part != part_due) Break(absl::StrCat("after a crash of all, ", name, " is not as decided"));
      if (slot.branch) Break(absl::StrCat("after a crash of all, ", name, " has a branch left"));
      if (slot.decided && !slot.finished) Break("after a crash of all, the decision stays unfinished");
    }
  }

  void Break(const std::string& what) {
    if (!explored_.broken.empty()) return;
    explored_.broken = absl::StrCat(what, "; the steps that led there:");
    for (const Frame& frame : stack_) {
      if (frame.next == 0) continue;
      absl::StrAppend(&explored_.broken, "\n  ", TextOf(frame.state, frame.moves[frame.next - 1]));
    }
  }

  static std::string TextOf(const State& state, const Move& move) {
    const auto message_text = [&] {
      const Message& message = state.messages[move.which];
      return absl::StrCat(message.answered ? "answer to " : "", NameOf(message.op), " on ", ShardName(message.shard), " of ",
                          message.asker == kCoordinator ? std::string("the coordinator")
                                                        : absl::StrCat("recovery ", int{message.asker}));
    };
    switch (move.kind) {
      case Move::Kind::kDeliver: return absl::StrCat("arrives: ", message_text());
      case Move::Kind::kLoseAnswer: return absl::StrCat("given up: ", message_text());
      case Move::Kind::kBreakSession: return absl::StrCat("session breaks on ", ShardName(static_cast<int>(move.which)));
      case Move::Kind::kDie: return "the coordinator dies";
      case Move::Kind::kRecover: return absl::StrCat("recovery ", state.recoveries_started + 1, " starts");
    }
    return "";
  }

  const Scope scope_;
  std::vector<Participant> participants_;
  std::vector<std::string> writer_names_;
  size_t home_ = 0;
  absl::flat_hash_set<std::pair<uint64_t, uint64_t>> seen_;  // Hashes of KeyOf.
  std::vector<Frame> stack_;
  Explored explored_;
};

}  // namespace

Explored Explore(const Scope& scope) { return Explorer(scope).Run(); }

}  // namespace quarry::sim
