#include "core/backend/sqlite/gate.h"

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace quarry::sqlite {
namespace {

constexpr auto kShared = Gate::Mode::kShared;
constexpr auto kExclusive = Gate::Mode::kExclusive;

class GateTest : public testing::Test {
 protected:
  struct Visitor {
    std::shared_ptr<JobControl> control = std::make_shared<JobControl>(absl::InfiniteFuture());
    Gate::Pass pass;
  };
  std::unique_ptr<Visitor> Queue(Gate::Mode mode) {
    auto visitor = std::make_unique<Visitor>();
    gate_->Enter(mode, visitor->control, [own = visitor.get()](Gate::Pass pass) { own->pass = std::move(pass); });
    return visitor;
  }

  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};

TEST_F(GateTest, ManyShareItAndOneHasItAlone) {
  std::optional<Gate::Pass> first = gate_->TryEnter(kShared);
  std::optional<Gate::Pass> second = gate_->TryEnter(kShared);
  ASSERT_TRUE(first.has_value());
  ASSERT_TRUE(second.has_value());
  EXPECT_FALSE(gate_->TryEnter(kExclusive).has_value());
  first.reset();
  EXPECT_FALSE(gate_->TryEnter(kExclusive).has_value());
  second.reset();
  const std::optional<Gate::Pass> alone = gate_->TryEnter(kExclusive);
  ASSERT_TRUE(alone.has_value());
  EXPECT_FALSE(gate_->TryEnter(kShared).has_value());
  EXPECT_FALSE(gate_->TryEnter(kExclusive).has_value());
}

TEST_F(GateTest, NobodyOvertakesTheOneThatWaits) {
  std::optional<Gate::Pass> holder = gate_->TryEnter(kShared);
  const auto reader = Queue(kExclusive);
  const auto commit = Queue(kShared);
  const auto other = Queue(kShared);
  EXPECT_FALSE(reader->pass);
  EXPECT_FALSE(commit->pass);
  EXPECT_FALSE(gate_->TryEnter(kShared).has_value());
  holder.reset();
  EXPECT_TRUE(reader->pass);
  EXPECT_FALSE(commit->pass);
  reader->pass = Gate::Pass();
  EXPECT_TRUE(commit->pass);
  EXPECT_TRUE(other->pass);
}

TEST_F(GateTest, WhoeverGivesUpLetsTheNextIn) {
  const std::optional<Gate::Pass> holder = gate_->TryEnter(kShared);
  const auto reader = Queue(kExclusive);
  const auto commit = Queue(kShared);
  EXPECT_FALSE(commit->pass);
  ASSERT_TRUE(reader->control->Withdraw());
  gate_->Sweep();
  EXPECT_TRUE(commit->pass);
  EXPECT_FALSE(reader->pass);
}

TEST_F(GateTest, APassThatNobodyTakesIsGivenBack) {
  std::optional<Gate::Pass> holder = gate_->TryEnter(kExclusive);
  gate_->Enter(kExclusive, std::make_shared<JobControl>(absl::InfiniteFuture()), [](Gate::Pass) {});
  const auto next = Queue(kExclusive);
  holder.reset();
  EXPECT_TRUE(next->pass);
}

TEST_F(GateTest, ABlockedThreadWaitsForItsTurnOrItsDeadline) {
  std::optional<Gate::Pass> holder = gate_->TryEnter(kExclusive);
  EXPECT_FALSE(gate_->EnterBlocking(kShared, absl::Now() + absl::Milliseconds(20)));
  std::atomic<bool> entered{false};
  std::thread thread([this, &entered] {
    const Gate::Pass pass = gate_->EnterBlocking(kShared, absl::InfiniteFuture());
    entered = static_cast<bool>(pass);
  });
  holder.reset();
  thread.join();
  EXPECT_TRUE(entered);
  EXPECT_TRUE(gate_->TryEnter(kExclusive).has_value());
}

// Exclusive means alone, whoever hurries.
TEST_F(GateTest, ManyThreadsKeepItsPromise) {
  std::atomic<int> shared{0};
  std::atomic<int> exclusive{0};
  std::atomic<int> broken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const bool alone = (i + t) % 5 == 0;
        const Gate::Pass pass = gate_->EnterBlocking(alone ? kExclusive : kShared, absl::InfiniteFuture());
        std::atomic<int>& mine = alone ? exclusive : shared;
        ++mine;
        if (exclusive > 1 || (exclusive == 1 && shared > 0)) ++broken;
        --mine;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(broken, 0);
  EXPECT_TRUE(gate_->TryEnter(kExclusive).has_value());
}

}  // namespace
}  // namespace quarry::sqlite
