#include "tests/sim/gate_world.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quarry::sim {
namespace {

constexpr int kReaderNames = 1'000;  // Readers' names at a gate; writers are named from 0.

}  // namespace

void Gate::Enter(int who, bool exclusive, std::function<void()> granted) {
  waiters_.push_back({who, exclusive, std::move(granted)});
  Admit();
}

void Gate::Leave(int who) {
  shared_.erase(who);
  if (exclusive_ == who) exclusive_.reset();
  Admit();
}

void Gate::Admit() {
  while (!waiters_.empty() && !exclusive_.has_value() && (!waiters_.front().exclusive || shared_.empty())) {
    Waiter next = std::move(waiters_.front());
    waiters_.pop_front();
    if (next.exclusive) {
      exclusive_ = next.who;
    } else {
      shared_.insert(next.who);
    }
    next.granted();
  }
}

GateWorld::GateWorld(uint64_t seed, const GateFaults& faults) : dice_(seed), faults_(faults) {
  shards_.resize(static_cast<size_t>(dice_.Between(2, 4)));
  writers_.resize(static_cast<size_t>(dice_.Between(1, 5)));
  readers_.resize(static_cast<size_t>(dice_.Between(1, 3)));
  for (size_t i = 0; i < writers_.size(); ++i) {
    Writer& writer = writers_[i];
    while (writer.participants.size() < 2) {
      writer.participants.clear();
      for (uint32_t shard = 0; shard < shards_.size(); ++shard) {
        if (dice_.Percent(75)) writer.participants.push_back({ShardId{shard}, true});
      }
    }
    writer.coordinator.emplace(writer.participants);
    for (size_t row = 0; row < writer.participants.size(); ++row) writer.rows.push_back(static_cast<size_t>(dice_.Between(0, 1)));
    const int index = static_cast<int>(i);
    Later([this, index] { LockNextRow(index); });
  }
  for (size_t i = 0; i < readers_.size(); ++i) {
    Reader& reader = readers_[i];
    reader.order.resize(shards_.size());
    std::iota(reader.order.begin(), reader.order.end(), size_t{0});
    if (!faults_.readers_ascend) std::reverse(reader.order.begin(), reader.order.end());
    reader.seen.resize(shards_.size());
    const int index = static_cast<int>(i);
    Later([this, index] { CloseNextGate(index); });
  }
}

std::string GateWorld::Run() {
  while (!events_.empty() && broken_.empty()) {
    const Event event = events_.top();
    events_.pop();
    now_ = event.at;
    event.run();
  }
  if (!broken_.empty()) return broken_;
  for (size_t i = 0; i < writers_.size(); ++i) {
    if (!writers_[i].committed) return absl::StrCat("writer ", i, " waits for ever");
  }
  for (size_t i = 0; i < readers_.size(); ++i) {
    if (!readers_[i].done) return absl::StrCat("reader ", i, " waits for ever");
  }
  return "";
}

void GateWorld::Later(std::function<void()> run) { events_.push({now_ + dice_.Between(1, 1'000), ++order_, std::move(run)}); }

// ---- Writers ----

void GateWorld::LockNextRow(int index) {
  Writer& writer = writers_[static_cast<size_t>(index)];
  const size_t rows = writer.participants.size();
  if (writer.rows_locked + (faults_.gates_before_rows ? 1 : 0) == rows) Do(index, writer.coordinator->Start());
  if (writer.rows_locked == rows) {
    if (writer.at_last_row) writer.at_last_row();
    return;
  }
  const size_t shard = Index(writer.participants[writer.rows_locked].shard);
  shards_[shard].rows[writer.rows[writer.rows_locked]].Enter(index, /*exclusive=*/true, [this, index] {
    Later([this, index] {
      ++writers_[static_cast<size_t>(index)].rows_locked;
      LockNextRow(index);
    });
  });
}

void GateWorld::Do(int index, const std::vector<CommitAction>& actions) {
  Writer& writer = writers_[static_cast<size_t>(index)];
  for (const CommitAction& action : actions) {
    const std::optional<Op> op = OpOf(action);
    if (op.has_value()) {
      const size_t shard = Index(action.shard);
      Later([this, index, shard, op = *op] { Arrive(index, shard, op); });
    } else if (action.kind == CommitAction::Kind::kAnswer) {
      writer.committed = action.outcome == CommitOutcome::kCommitted;
    }
  }
}

void GateWorld::Arrive(int writer, size_t shard, Op op) {
  switch (op) {
    case Op::kPassGate: return PassGate(writer, shard, [=, this] { Reply(writer, shard, op); });
    case Op::kPrepare:
    case Op::kDecide: return PassGate(writer, shard, [=, this] { End(writer, shard, op); });
    default: return End(writer, shard, op);
  }
}

void GateWorld::PassGate(int writer, size_t shard, std::function<void()> then) {
  const bool first = writers_[static_cast<size_t>(writer)].passed.insert(shard).second;
  if (!first || faults_.writers_skip_gate) return then();
  shards_[shard].gate.Enter(writer, /*exclusive=*/false, std::move(then));
}

void GateWorld::End(int writer, size_t index, Op op) {
  Shard& shard = shards_[index];
  Writer& ending = writers_[static_cast<size_t>(writer)];
  const bool has_rows = ending.rows_locked == ending.rows.size() || index != Index(ending.participants.back().shard);
  if (!has_rows) {
    ending.at_last_row = [=, this] { End(writer, index, op); };
    return;
  }
  if (op == Op::kPrepare) {
    shard.prepared.insert(writer);
  } else {
    if (op == Op::kFinishCommit && shard.prepared.erase(writer) == 0) broken_ = "a commit of what was never prepared";
    shard.visible.insert(writer);
    shard.gate.Leave(writer);
    for (Gate& row : shard.rows) row.Leave(writer);
  }
  Reply(writer, index, op);
}

void GateWorld::Reply(int writer, size_t shard, Op op) {
  Later([=, this] {
    sim::Reply reply;
    reply.ok = true;
    reply.end = BranchEnd::kCommitted;
    const CommitEvent event = EventOf(op, ShardId{static_cast<uint32_t>(shard)}, Seen::kReply, reply);
    Do(writer, writers_[static_cast<size_t>(writer)].coordinator->On(event));
  });
}

// ---- Readers ----

void GateWorld::CloseNextGate(int index) {
  Reader& reader = readers_[static_cast<size_t>(index)];
  if (reader.gates_held == reader.order.size()) return ReadAll(index);
  const size_t shard = reader.order[reader.gates_held];
  shards_[shard].gate.Enter(kReaderNames + index, /*exclusive=*/true, [this, index] {
    Later([this, index] {
      ++readers_[static_cast<size_t>(index)].gates_held;
      CloseNextGate(index);
    });
  });
}

void GateWorld::ReadAll(int index) {
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    Later([this, index, shard] {
      Reader& reader = readers_[static_cast<size_t>(index)];
      reader.seen[shard] = shards_[shard].visible;
      const bool all = std::all_of(reader.seen.begin(), reader.seen.end(), [](const auto& seen) { return seen.has_value(); });
      if (!all) return;
      Judge(reader);
      reader.done = true;
      for (Shard& held : shards_) held.gate.Leave(kReaderNames + index);
    });
  }
}

void GateWorld::Judge(const Reader& reader) {
  size_t whole = 0;
  size_t none = 0;
  for (size_t i = 0; i < writers_.size(); ++i) {
    size_t seen = 0;
    for (const Participant& participant : writers_[i].participants) {
      seen += reader.seen[Index(participant.shard)]->count(static_cast<int>(i));
    }
    whole += seen == writers_[i].participants.size() ? 1 : 0;
    none += seen == 0 ? 1 : 0;
    if (seen > 0 && seen < writers_[i].participants.size()) {
      broken_ = absl::StrCat("a reader sees transaction ", i, " on ", seen, " of ", writers_[i].participants.size(), " shards");
    }
  }
  if (whole > 0 && none > 0) ++mixed_cuts_;
}

}  // namespace quarry::sim
