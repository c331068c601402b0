// One shard's database as the simulators model it: sessions, prepared branches, parts and decisions, with the meaning that
// Session and TwoPhase have. Small and copied freely. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/backend/two_phase.h"

namespace quarry::sim {

inline constexpr int kTransactionsMax = 8;

enum class Op : uint8_t {
  kPassGate,
  kPrepare,
  kDecide,  // The commit at home, with its decision.
  kCommitReader,
  kRollBack,
  kDecideAbort,
  kFinishCommit,
  kFinishAbort,
  kFindDecision,
  kMarkFinished,
  kListBranches,
  kListDecisions,  // Unfinished ones.
};
const char* NameOf(Op op);
// Those of a session end with its connection; the others are on connections of their own.
constexpr bool OfSession(Op op) { return op <= Op::kRollBack; }
constexpr bool Reads(Op op) {
  return op == Op::kPassGate || op == Op::kFindDecision || op == Op::kListBranches || op == Op::kListDecisions;
}

struct Reply {
  bool ok = false;
  bool refused = false;  // Of a prepare: the branch is there, and must not be committed.
  bool found = false;  // A decision.
  Verdict verdict{};
  BranchEnd end{};
  uint8_t listed = 0;  // Bits of transactions.
};

class ModelShard {
 public:
  struct Slot {  // What it has of one transaction.
    bool session = false;
    bool branch = false;
    bool part = false;
    bool decided = false;
    Verdict verdict{};
    bool finished = false;
    int64_t prepared_at = 0;
    int64_t decided_at = 0;
  };

  Reply Apply(Op op, int transaction, int64_t now);
  void OpenSession(int transaction) { slots_[transaction].session = true; }
  void LoseSession(int transaction) { slots_[transaction].session = false; }
  void LoseSessions();
  const Slot& slot(int transaction) const { return slots_[transaction]; }

 private:
  std::array<Slot, kTransactionsMax> slots_;
};

}  // namespace quarry::sim
