// An engine over scripted shards.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/engine/scripted_backend.h"
#include "tests/unit/core/engine/test_snapshot.h"

namespace quarry {

class ClusterTest : public ::testing::Test {
 protected:
  explicit ClusterTest(size_t shards = 3) {
    for (size_t i = 0; i < shards; ++i) scripts_.emplace_back();
    snapshot_ = ShopSnapshot(shards);
    Restart();
  }
  ~ClusterTest() override {
    engine_.reset();
    loop_.Settle();
    for (const ShardScript& shard : scripts_) {
      EXPECT_EQ(shard.sessions, 0);
      EXPECT_EQ(shard.streams, 0);
      EXPECT_EQ(shard.running, 0);
    }
  }

  // Makes the engine anew, with what `limits_` says now.
  void Restart() {
    engine_.reset();
    Engine::Parts parts;
    for (ShardScript& script : scripts_) parts.shards.push_back(std::make_unique<ScriptedBackend>(script));
    parts.snapshot = [this] { return snapshot_; };
    parts.limits = limits_;
    engine_ = std::make_unique<Engine>(loop_, std::move(parts));
  }
  absl::StatusOr<ReadResult> Read(const ReadOperation& op, const std::string& transaction = "") {
    return RunNow(loop_, engine_->Read(op, transaction, ctx_));
  }
  absl::StatusOr<WriteResult> Write(const WriteOperation& op, const std::string& transaction = "") {
    return RunNow(loop_, engine_->Write(op, transaction, ctx_));
  }
  int Sessions() const {
    int open = 0;
    for (const ShardScript& shard : scripts_) open += shard.sessions;
    return open;
  }
  int Running() const {
    int running = 0;
    for (const ShardScript& shard : scripts_) running += shard.running;
    return running;
  }
  std::vector<int> Commits() const {
    std::vector<int> commits;
    for (const ShardScript& shard : scripts_) {
      commits.push_back(shard.commits + static_cast<int>(shard.two_phase.state().parts.size()));
    }
    return commits;
  }

  ManualLoop loop_;
  std::deque<ShardScript> scripts_;
  std::shared_ptr<const Snapshot> snapshot_;
  EngineLimits limits_;
  std::unique_ptr<Engine> engine_;
  CallContext ctx_{loop_};
  const std::string none_;  // No transaction's id, for calls that outlive their expression.
};

inline KeyInput IdKey(int64_t id) { return KeyOf({Value::Int64(id)}); }

// A users row for every key that a batched or single read asks for.
inline absl::StatusOr<StepResult> AnswerUsers(const Step& step) {
  std::vector<Row> rows;
  const Value& asked = step.statements[0].params[0];
  const std::vector<Value> keys = asked.kind() == ValueKind::kArray ? asked.elements() : std::vector<Value>{asked};
  for (const Value& key : keys) rows.push_back({key, Value::Text("Ada"), Value::Null(), Value::Int64(1)});
  return RowsResult(std::move(rows));
}

}  // namespace quarry
