// Writers that lock rows on several shards, ascending, and commit through the production Coordinator, and readers of one cut
// over all shards, with the gate between them: shared for writers, exclusive for readers, first come first served as in the
// databases. Nothing fails here and nothing times out, so that a circle of waiting stays visible. One thread; the same seed, the
// same run.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "core/txn/coordinator.h"
#include "tests/sim/machines.h"
#include "tests/sim/world.h"

namespace quarry::sim {

// What is broken on purpose, to see that the world notices.
struct GateFaults {
  bool writers_skip_gate = false;
  bool readers_ascend = false;       // Against the order of the gates.
  bool gates_before_rows = false;    // The gate of the last shard is passed before its row is locked.
};

class Gate {
 public:
  // `granted` is called once, at once or when those before it have let go.
  void Enter(int who, bool exclusive, std::function<void()> granted);
  void Leave(int who);

 private:
  struct Waiter {
    int who = 0;
    bool exclusive = false;
    std::function<void()> granted;
  };
  void Admit();

  std::set<int> shared_;
  std::optional<int> exclusive_;
  std::deque<Waiter> waiters_;
};

class GateWorld {
 public:
  GateWorld(uint64_t seed, const GateFaults& faults);
  // What was broken; "" when every reader has seen whole transactions and everybody got through.
  std::string Run();
  // Cuts that held some transactions and lacked others: those that could have been torn.
  int64_t mixed_cuts() const { return mixed_cuts_; }

 private:
  struct Shard {
    Gate gate;
    std::array<Gate, 2> rows;
    std::set<int> visible;   // Transactions.
    std::set<int> prepared;
  };
  struct Writer {
    std::vector<Participant> participants;
    std::optional<Coordinator> coordinator;
    std::set<size_t> passed;  // Shards.
    std::vector<size_t> rows;  // By participant.
    size_t rows_locked = 0;
    std::function<void()> at_last_row;  // What waits for it.
    bool committed = false;
  };
  struct Reader {
    std::vector<size_t> order;  // Of shards.
    size_t gates_held = 0;
    std::vector<std::optional<std::set<int>>> seen;
    bool done = false;
  };
  struct Event {
    int64_t at = 0;
    uint64_t order = 0;
    std::function<void()> run;
    bool operator<(const Event& other) const { return at != other.at ? at > other.at : order > other.order; }
  };

  void Later(std::function<void()> run);
  void LockNextRow(int writer);
  void Do(int writer, const std::vector<CommitAction>& actions);
  void Arrive(int writer, size_t shard, Op op);
  void PassGate(int writer, size_t shard, std::function<void()> then);
  void End(int writer, size_t shard, Op op);
  void Reply(int writer, size_t shard, Op op);
  void CloseNextGate(int reader);
  void ReadAll(int reader);
  void Judge(const Reader& reader);

  Dice dice_;
  const GateFaults faults_;
  int64_t now_ = 0;
  uint64_t order_ = 0;
  std::priority_queue<Event> events_;
  std::vector<Shard> shards_;
  std::vector<Writer> writers_;
  std::vector<Reader> readers_;
  int64_t mixed_cuts_ = 0;
  std::string broken_;
};

}  // namespace quarry::sim
