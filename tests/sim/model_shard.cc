#include "tests/sim/model_shard.h"

namespace quarry::sim {
namespace {

Reply EndOfSession(ModelShard::Slot& slot) {
  Reply reply;
  reply.ok = slot.session;
  slot.session = false;
  return reply;
}

Reply FinishBranch(ModelShard::Slot& slot, Verdict verdict) {
  if (slot.branch && verdict == Verdict::kCommit) slot.part = true;
  slot.branch = false;
  Reply reply;
  reply.ok = true;
  reply.end = slot.part ? BranchEnd::kCommitted : BranchEnd::kAbsent;
  return reply;
}

// Unless one stands; true when it is this one.
bool StoreDecision(ModelShard::Slot& slot, Verdict verdict, int64_t now) {
  if (slot.decided) return false;
  slot.decided = true;
  slot.verdict = verdict;
  slot.decided_at = now;
  return true;
}

Reply Standing(const ModelShard::Slot& slot) {
  Reply reply;
  reply.ok = true;
  reply.found = slot.decided;
  reply.verdict = slot.verdict;
  return reply;
}

}  // namespace

const char* NameOf(Op op) {
  static const char* const kNames[] = {"PassGate",     "Prepare",     "Decide",       "CommitReader",
                                       "RollBack",     "DecideAbort", "FinishCommit", "FinishAbort",
                                       "FindDecision", "MarkFinished", "ListBranches", "ListDecisions"};
  return kNames[static_cast<size_t>(op)];
}

Reply ModelShard::Apply(Op op, int transaction, int64_t now) {
  Slot& slot = slots_[transaction];
  Reply reply;
  switch (op) {
    case Op::kPassGate: reply.ok = slot.session; return reply;
    case Op::kPrepare:
      reply = EndOfSession(slot);
      if (reply.ok) slot.branch = true, slot.prepared_at = now;
      return reply;
    case Op::kDecide:
      reply = EndOfSession(slot);
      reply.ok = reply.ok && StoreDecision(slot, Verdict::kCommit, now);
      return reply;
    case Op::kCommitReader:
    case Op::kRollBack: return EndOfSession(slot);
    case Op::kDecideAbort: StoreDecision(slot, Verdict::kAbort, now); return Standing(slot);
    case Op::kFinishCommit: return FinishBranch(slot, Verdict::kCommit);
    case Op::kFinishAbort: return FinishBranch(slot, Verdict::kAbort);
    case Op::kFindDecision: return Standing(slot);
    case Op::kMarkFinished:
      slot.finished = slot.finished || slot.decided;
      reply.ok = true;
      return reply;
    case Op::kListBranches:
    case Op::kListDecisions:
      reply.ok = true;
      for (int i = 0; i < kTransactionsMax; ++i) {
        const Slot& other = slots_[i];
        const bool listed = op == Op::kListBranches ? other.branch : other.decided && !other.finished;
        if (listed) reply.listed |= static_cast<uint8_t>(1u << i);
      }
      return reply;
  }
  return reply;
}

void ModelShard::LoseSessions() {
  for (Slot& slot : slots_) slot.session = false;
}

}  // namespace quarry::sim
