// What the tests of the shard's wrappings share: a loop, a fake database, an observer that remembers.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "core/backend/fake_backend.h"
#include "core/base/random.h"
#include "core/shard/observer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tasks.h"

namespace quarry {

struct SeenCall {
  CallKind kind;
  absl::StatusCode code;
  absl::Duration took;
};

class RememberingObserver final : public ShardObserver {
 public:
  void OnCall(CallKind kind, absl::StatusCode code, absl::Duration took) override {
    calls.push_back({kind, code, took});
  }
  void OnRetry() override { ++retries; }
  void OnShed() override { ++shed; }
  void OnBreaker(bool open) override { breaker.push_back(open); }
  void OnSessions(int change) override { sessions += change; }

  std::vector<SeenCall> calls;
  int retries = 0;
  int shed = 0;
  std::vector<bool> breaker;
  int sessions = 0;
};

// `fake` stays reachable after it has been wrapped.
class ShardFixture : public ::testing::Test {
 protected:
  ShardFixture() {
    auto owned = std::make_unique<FakeBackend>();
    fake = owned.get();
    driver = std::move(owned);
    ctx.deadline = loop.Now() + absl::Hours(1);
  }
  absl::Status Call(Backend& backend, const Task& task) {
    return RunNow(loop, backend.Execute(task, ctx)).status();
  }
  absl::StatusOr<std::unique_ptr<Session>> Lease(Backend& backend) {
    return RunNow(loop, backend.Lease(session_options, ctx));
  }

  ManualLoop loop;
  SeededRandom random{1};
  RememberingObserver observer;
  CallContext ctx{loop};
  const SessionOptions session_options;
  FakeBackend* fake;
  std::unique_ptr<Backend> driver;
};

}  // namespace quarry
