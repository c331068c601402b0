#include "tests/sim/machines.h"

#include <array>

#include "absl/strings/str_cat.h"

namespace quarry::sim {
namespace {

constexpr int kShardsMax = 4;

const absl::Status& Refused() {
  static const absl::Status* const status = new absl::Status(absl::StatusCode::kAborted, "refused");
  return *status;
}

const absl::Status& Lost() {
  static const absl::Status* const status = new absl::Status(absl::StatusCode::kUnknown, "no answer");
  return *status;
}

}  // namespace

std::optional<Op> OpOf(const CommitAction& action) {
  switch (action.kind) {
    case CommitAction::Kind::kPassGate: return Op::kPassGate;
    case CommitAction::Kind::kPrepare: return Op::kPrepare;
    case CommitAction::Kind::kDecide: return Op::kDecide;
    case CommitAction::Kind::kCommitReader: return Op::kCommitReader;
    case CommitAction::Kind::kRollBack: return Op::kRollBack;
    case CommitAction::Kind::kSettle: return Op::kDecideAbort;
    case CommitAction::Kind::kFinish: return action.verdict == Verdict::kCommit ? Op::kFinishCommit : Op::kFinishAbort;
    case CommitAction::Kind::kAnswer:
    case CommitAction::Kind::kEnd: break;
  }
  return std::nullopt;
}

std::optional<Op> OpOf(const RecoveryAction& action) {
  switch (action.kind) {
    case RecoveryAction::Kind::kFindDecision: return Op::kFindDecision;
    case RecoveryAction::Kind::kDecideAbort: return Op::kDecideAbort;
    case RecoveryAction::Kind::kFinish: return action.verdict == Verdict::kCommit ? Op::kFinishCommit : Op::kFinishAbort;
    case RecoveryAction::Kind::kMarkFinished: return Op::kMarkFinished;
    case RecoveryAction::Kind::kEnd: break;
  }
  return std::nullopt;
}

CommitEvent EventOf(Op op, ShardId shard, Seen seen, const Reply& reply) {
  CommitEvent event;
  event.shard = shard;
  switch (op) {
    case Op::kPassGate: event.kind = CommitEvent::Kind::kGatePassed; break;
    case Op::kPrepare: event.kind = CommitEvent::Kind::kPrepared; break;
    case Op::kDecide: event.kind = CommitEvent::Kind::kDecided; break;
    case Op::kCommitReader: event.kind = CommitEvent::Kind::kReaderCommitted; break;
    case Op::kDecideAbort: event.kind = CommitEvent::Kind::kSettled; break;
    default: event.kind = CommitEvent::Kind::kFinished; break;
  }
  event.verdict = reply.verdict;
  event.end = reply.end;
  if (seen == Seen::kNothing) {
    event.result = CommitEvent::Result::kUnknown;
    event.status = Lost();
  } else if (!reply.ok) {
    event.result = CommitEvent::Result::kFailed;
    event.status = Refused();
  } else if (reply.refused) {
    event.result = CommitEvent::Result::kRefused;
    event.status = Refused();
  }
  return event;
}

RecoveryEvent RecoveryEventOf(Op op, ShardId shard, Seen seen, const Reply& reply, const std::string& transaction_id,
                              const std::vector<std::string>& participants) {
  RecoveryEvent event;
  event.shard = shard;
  event.ok = seen == Seen::kReply && reply.ok;
  event.end = reply.end;
  switch (op) {
    case Op::kFindDecision: event.kind = RecoveryEvent::Kind::kDecisionFound; break;
    case Op::kDecideAbort: event.kind = RecoveryEvent::Kind::kAbortDecided; break;
    case Op::kMarkFinished: event.kind = RecoveryEvent::Kind::kMarked; break;
    default: event.kind = RecoveryEvent::Kind::kFinished; break;
  }
  if (event.ok && reply.found) {
    Decision decision;
    decision.transaction_id = transaction_id;
    decision.verdict = reply.verdict;
    if (reply.verdict == Verdict::kCommit) decision.participants = participants;
    event.decision = std::move(decision);
  }
  return event;
}

const std::string& ShardName(int shard) {
  static const std::array<std::string, kShardsMax>* const names =
      new std::array<std::string, kShardsMax>{"s0", "s1", "s2", "s3"};
  return (*names)[static_cast<size_t>(shard)];
}

const std::map<std::string, ShardId>& ShardIds(int count) {
  static const auto* const maps = [] {
    auto* made = new std::array<std::map<std::string, ShardId>, kShardsMax + 1>();
    for (uint32_t size = 0; size <= kShardsMax; ++size) {
      for (uint32_t i = 0; i < size; ++i) (*made)[size].emplace(ShardName(static_cast<int>(i)), ShardId{i});
    }
    return made;
  }();
  return (*maps)[static_cast<size_t>(count)];
}

}  // namespace quarry::sim
