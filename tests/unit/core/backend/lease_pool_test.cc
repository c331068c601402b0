#include "core/backend/lease_pool.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using Leased = absl::StatusOr<std::unique_ptr<int>>;

class LeasePoolTest : public ::testing::Test {
 protected:
  LeasePoolTest() : pool_(loop_, Options()), forever_(loop_), soon_(loop_) {
    soon_.deadline = loop_.Now() + absl::Seconds(1);
  }
  static LeasePoolOptions Options() {
    LeasePoolOptions options;
    options.name = "shard s0";
    options.sessions_max = 2;
    options.waiters_max = 3;
    return options;
  }
  std::unique_ptr<Started<Leased>> Acquire(const CallContext& ctx) {
    return std::make_unique<Started<Leased>>(pool_.Acquire(ctx));
  }
  void TakeAllPlaces() {
    for (int64_t i = pool_.leased(); i < pool_.sessions_max(); ++i) {
      ASSERT_THAT(RunNow(loop_, pool_.Acquire(forever_)), IsOk());
    }
  }

  ManualLoop loop_;
  LeasePool<int> pool_;
  CallContext forever_;
  CallContext soon_;
};

TEST_F(LeasePoolTest, HandsOutPermitsFirstAndThenWhatCameBack) {
  const Leased fresh = RunNow(loop_, pool_.Acquire(forever_));
  ASSERT_THAT(fresh, IsOk());
  EXPECT_EQ(*fresh, nullptr);  // A permit to open one.
  pool_.Release(std::make_unique<int>(7));
  EXPECT_EQ(pool_.leased(), 0);
  const Leased reused = RunNow(loop_, pool_.Acquire(forever_));
  ASSERT_THAT(reused, IsOk());
  EXPECT_EQ(**reused, 7);
}

TEST_F(LeasePoolTest, TheWarmestIsReusedFirst) {
  TakeAllPlaces();
  pool_.Release(std::make_unique<int>(1));
  pool_.Release(std::make_unique<int>(2));
  EXPECT_EQ(**RunNow(loop_, pool_.Acquire(forever_)), 2);
  EXPECT_EQ(pool_.idle(), 1);
}

TEST_F(LeasePoolTest, WaitersAreServedInOrder) {
  TakeAllPlaces();
  auto first = Acquire(forever_);
  auto second = Acquire(forever_);
  EXPECT_EQ(pool_.waiting(), 2);
  pool_.Release(std::make_unique<int>(1));
  auto overtaking = Acquire(forever_);  // Asks after the release, before the waiter has run.
  loop_.Settle();
  EXPECT_TRUE(first->answered());
  EXPECT_FALSE(second->answered());
  EXPECT_FALSE(overtaking->answered());
  EXPECT_EQ(**first->result(), 1);
  pool_.Forfeit();
  loop_.Settle();
  ASSERT_TRUE(second->answered());
  EXPECT_EQ(*second->result(), nullptr);
  EXPECT_EQ(pool_.leased(), 2);
}

TEST_F(LeasePoolTest, AFullQueueRefusesAtOnceAndSaysSo) {
  TakeAllPlaces();
  std::vector<std::unique_ptr<Started<Leased>>> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(Acquire(forever_));
  const absl::Status status = RunNow(loop_, pool_.Acquire(forever_)).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(status, HasReason("POOL_EXHAUSTED"));
  const ErrorDetail detail = DetailOf(status);
  EXPECT_EQ(detail.facts.at("size"), "2");
  EXPECT_EQ(detail.facts.at("waiters"), "3");
  EXPECT_TRUE(detail.retry_after.has_value());
}

TEST_F(LeasePoolTest, ADeadlineEndsTheWaitAndNamesTheStage) {
  TakeAllPlaces();
  auto waiting = Acquire(soon_);
  loop_.Advance(absl::Milliseconds(999));
  EXPECT_FALSE(waiting->answered());
  loop_.Advance(absl::Milliseconds(1));
  ASSERT_TRUE(waiting->answered());
  EXPECT_THAT(waiting->result(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(DetailOf(waiting->result().status()).facts.at("stage"), "pool");
  EXPECT_EQ(pool_.waiting(), 0);
  pool_.Forfeit();
  EXPECT_EQ(pool_.leased(), 1);
}

TEST_F(LeasePoolTest, APlaceGrantedAtTheDeadlineIsNotLost) {
  TakeAllPlaces();
  auto waiting = Acquire(soon_);
  loop_.RunAt(soon_.deadline - absl::Nanoseconds(1), [this] { pool_.Forfeit(); });
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(waiting->answered());
  EXPECT_THAT(waiting->result(), IsOk());
  EXPECT_EQ(pool_.leased(), 2);
}

TEST_F(LeasePoolTest, AReleaseAfterTheDeadlineHasFiredGoesToTheNext) {
  TakeAllPlaces();
  auto late = Acquire(soon_);
  auto next = Acquire(forever_);
  // Right after the deadline's own timer, before the waiter has run.
  loop_.RunAt(soon_.deadline, [this] { pool_.Forfeit(); });
  loop_.Advance(absl::Seconds(1));
  EXPECT_THAT(late->result(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  ASSERT_TRUE(next->answered());
  EXPECT_EQ(pool_.leased(), 2);
}

TEST_F(LeasePoolTest, ADroppedWaiterLeavesTheQueue) {
  TakeAllPlaces();
  auto dropped = Acquire(forever_);
  auto next = Acquire(forever_);
  dropped->Drop();
  EXPECT_EQ(pool_.waiting(), 1);
  pool_.Forfeit();
  loop_.Settle();
  EXPECT_TRUE(next->answered());
}

TEST_F(LeasePoolTest, AWaiterDroppedAfterItsGrantPassesThePlaceOn) {
  TakeAllPlaces();
  auto dropped = Acquire(forever_);
  auto next = Acquire(forever_);
  pool_.Release(std::make_unique<int>(5));  // Granted to `dropped`, which has not run yet.
  dropped->Drop();
  loop_.Settle();
  ASSERT_TRUE(next->answered());
  EXPECT_EQ(**next->result(), 5);
  pool_.Forfeit();
  pool_.Forfeit();
  EXPECT_EQ(pool_.leased(), 0);
}

TEST_F(LeasePoolTest, DropIdleClosesWhatIsIdleOnly) {
  TakeAllPlaces();
  pool_.Release(std::make_unique<int>(1));
  EXPECT_EQ(pool_.DropIdle().size(), 1u);
  EXPECT_EQ(pool_.idle(), 0);
  EXPECT_EQ(pool_.leased(), 1);
}

// Whatever is asked, dropped, given back and timed out, in any order, no place is lost and none is made.
TEST_F(LeasePoolTest, NoPlaceIsLostOrMadeInAnyOrderOfEvents) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  std::vector<std::unique_ptr<CallContext>> contexts;
  std::vector<std::unique_ptr<Started<Leased>>> calls;
  int64_t held = 0;
  const auto collect = [&] {
    for (auto& call : calls) {
      if (call == nullptr || !call->answered()) continue;
      if (call->result().ok()) ++held;
      call.reset();
    }
  };
  for (int round = 0; round < 20'000; ++round) {
    switch (random.Next() % 6) {
      case 0:
      case 1:
        contexts.push_back(std::make_unique<CallContext>(loop_));
        contexts.back()->deadline = loop_.Now() + absl::Milliseconds(random.Next() % 20);
        calls.push_back(Acquire(*contexts.back()));
        break;
      case 2:
        if (!calls.empty()) calls[random.Next() % calls.size()].reset();
        break;
      case 3:
        collect();
        if (held > 0) {
          --held;
          random.Next() % 2 == 0 ? pool_.Forfeit() : pool_.Release(std::make_unique<int>(1));
        }
        break;
      case 4:
        loop_.Advance(absl::Milliseconds(random.Next() % 10));
        break;
      default:
        loop_.Settle();
    }
    collect();
    ASSERT_LE(pool_.leased(), pool_.sessions_max()) << round;
    ASSERT_LE(held, pool_.leased()) << round;
    if (calls.size() > 64) {
      calls.erase(std::remove(calls.begin(), calls.end(), nullptr), calls.end());
    }
  }
  calls.clear();
  loop_.Settle();
  for (; held > 0; --held) pool_.Forfeit();
  EXPECT_EQ(pool_.leased(), 0);
  EXPECT_EQ(pool_.waiting(), 0);
}

}  // namespace
}  // namespace quarry
