// A world of gateways, a network and shards under one seed. It drives the production machines of core/txn: coordinators and
// the recovery of every gateway. Messages are delayed, lost, doubled and overtake each other; gateways crash and pause,
// shards restart and fail over to a synchronous standby. Then the faults cease, recovery goes on, and all must be whole.
// One thread; the same seed makes the same run.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/txn/coordinator.h"
#include "core/txn/recovery.h"
#include "tests/sim/machines.h"
#include "tests/sim/model_shard.h"

namespace quarry::sim {

// splitmix64: fast, and good enough to choose by.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t mixed = state_ += 0x9e3779b97f4a7c15ULL;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    return mixed ^ (mixed >> 31);
  }
  // From low to high, both included.
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Next() % static_cast<uint64_t>(high - low + 1));
  }
  bool Percent(int percent) { return Between(0, 99) < percent; }

 private:
  uint64_t state_;
};

// What the runs have reached: a simulator that never gets into trouble proves nothing.
enum class Reached : uint8_t {
  kCommitted,
  kCommittedUnfinished,
  kRolledBack,
  kSettledCommit,      // A lost decision had been made.
  kSettledAbort,
  kRecoveredCommit,
  kRecoveredAbort,
  kAbortLost,          // Recovery's abort came after the commit.
  kLateDecision,       // A coordinator's decision came after recovery's abort.
  kLatePrepare,        // A prepare came after its branch was rolled back.
  kRefusedBranch,      // Prepared, though it must not be committed.
  kCoordinatorLost,    // With something prepared.
  kDurableUnanswered,  // A shard crashed between making a change durable and saying so.
  kStaleRead,          // An old primary answered.
  kCount,
};
const char* NameOf(Reached reached);
using Tally = std::array<int64_t, static_cast<size_t>(Reached::kCount)>;

class World {
 public:
  // With `trace`, every event is printed to stderr.
  World(uint64_t seed, bool trace);
  // What was broken, and how; "" when nothing was.
  std::string Run();
  const Tally& tally() const { return tally_; }

 private:
  enum class What : uint8_t {
    kBegin, kDeadline, kSend, kArrive, kApply, kReply, kTimeout, kLoseSession, kSweep, kCrash, kRevive, kPause, kShardDown,
    kShardUp,
  };
  struct Event {
    int64_t at = 0;  // Microseconds.
    uint32_t order = 0;
    What what{};
    uint8_t who = 0;    // Gateway, transaction or shard, as `what` says.
    uint8_t where = 0;  // kLoseSession: shard.
    uint32_t request = 0;
  };
  enum class Asker : uint8_t { kCoordinator, kRecovery, kSweep };
  struct Request {
    Op op{};
    Asker asker{};
    uint8_t transaction = 0;
    uint8_t shard = 0;
    uint8_t gateway = 0;
    bool held = false;         // Stays in the network while its gateway is paused.
    bool closed = false;       // Answered or given up.
    bool had_session = false;  // It runs on a session that it found open.
    uint32_t asker_index = 0;
    uint32_t gateway_life = 0;
    uint32_t shard_life = 0;
    int64_t served_at = 0;
    Reply reply;
  };
  struct Gateway {
    bool alive = true;
    uint32_t life = 0;
    int64_t paused_until = 0;
    int sweep_waits_for = 0;
    std::vector<ShardSighting> sightings;
  };
  struct Shard {
    ModelShard now;
    ModelShard stale;  // What an old primary still tells.
    int64_t stale_until = 0;
    bool up = true;
    uint32_t life = 0;
  };
  struct Transaction {
    uint8_t gateway = 0;
    std::vector<Participant> participants;
    std::vector<std::string> writer_names;
    int home = 0;
    std::optional<Coordinator> coordinator;
    bool told_rolled_back = false;
    bool told_committed = false;
    bool answered = false;
    std::array<bool, 4> rolled_back_at{};  // By shard: FinishAbort was there.
  };
  struct RecoveryRun {
    uint8_t transaction = 0;
    uint8_t gateway = 0;
    std::optional<Recovery> recovery;
  };

  // Setting up.
  void MakeShards();
  void MakeTransactions();
  void MakeFaults(int64_t weather);
  void CeaseFaults();

  // Time.
  void Push(int64_t after, What what, uint8_t who, uint8_t where = 0, uint32_t request = 0);
  Event Pop();
  void Step(const Event& event);
  bool Deferred(const Event& event, const Gateway& gateway);
  bool Whole() const;

  // The network.
  int64_t Delay();
  void Ask(Asker asker, uint32_t asker_index, uint8_t gateway, uint8_t transaction, ShardId shard, Op op, int64_t after);
  void Transmit(uint32_t id);
  void Answer(uint32_t id, const Reply& reply);
  void Arrive(const Event& event);
  void ApplyAt(uint32_t id);
  void Close(uint32_t id, Seen seen);

  // Gateways.
  void Begin(int transaction);
  void Deadline(int transaction);
  void TellCoordinator(const Request& request, Seen seen);
  void DoCommit(int transaction, const std::vector<CommitAction>& actions);
  void TellRecovery(const Request& request, Seen seen);
  void DoRecovery(uint32_t run, const std::vector<RecoveryAction>& actions);
  void StartSweep(uint8_t gateway);
  void TellSweep(const Request& request, Seen seen);
  void EndSweep(uint8_t gateway);
  void Recover(uint8_t gateway, const RecoveryTarget& target);
  void DropCoordinator(int transaction);
  void Pause(uint8_t gateway);
  void CrashGateway(uint8_t gateway);
  void TakeShardDown(uint8_t shard);

  // What must hold.
  void CheckTold(int transaction);
  void Check(int transaction);
  void CheckEnd();
  void AuditAll(bool at_end);
  void Break(const std::string& what);
  void Reach(Reached reached) { ++tally_[static_cast<size_t>(reached)]; }
  void Trace(const std::string& line) const;

  Dice dice_;
  const bool trace_;
  int64_t now_ = 0;
  uint32_t order_ = 0;
  int busy_ = 0;  // Events in the heap that are no sweeps.
  bool calm_ = false;
  int loss_percent_ = 0;
  int double_percent_ = 0;
  int slow_percent_ = 0;
  int refuse_percent_ = 0;
  int64_t timeout_ = 0;
  int64_t sweep_interval_ = 0;
  int64_t age_min_ = 0;
  std::vector<Event> heap_;
  std::vector<Request> requests_;
  std::vector<Gateway> gateways_;
  std::vector<Shard> shards_;
  std::vector<Transaction> transactions_;
  std::vector<RecoveryRun> runs_;
  Tally tally_{};
  std::string broken_;
};

}  // namespace quarry::sim
