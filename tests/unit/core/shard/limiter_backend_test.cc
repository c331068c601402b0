#include "core/shard/limiter_backend.h"

#include <memory>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/shard/latency_floor.h"
#include "tests/unit/core/shard/shard_fixture.h"

namespace quarry {
namespace {

using Result = absl::StatusOr<TaskResult>;

class LimiterBackendTest : public ShardFixture {
 protected:
  static LimiterOptions Options() {
    LimiterOptions options;
    options.calls_max = 2;
    return options;
  }
  absl::Status CallWithin(absl::Duration left, const Task& task) {
    CallContext hurried(loop);
    hurried.deadline = loop.Now() + left;
    Started<Result> call(limiter.Execute(task, hurried));
    loop.Advance(left > absl::ZeroDuration() ? left : absl::ZeroDuration());
    EXPECT_TRUE(call.answered());
    return call.result().status();
  }

  LimiterBackend limiter{std::move(driver), "s0", Options(), observer};
};

TEST_F(LimiterBackendTest, ShedsAtOnceWhatIsOverTheLimit) {
  fake->TakeTime(absl::Seconds(1));
  const Task task = AnyRead();
  Started<Result> first(limiter.Execute(task, ctx));
  Started<Result> second(limiter.Execute(task, ctx));
  const absl::Status refused = Call(limiter, task);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(refused, HasReason("POOL_EXHAUSTED"));
  EXPECT_TRUE(DetailOf(refused).retry_after.has_value());
  EXPECT_EQ(DetailOf(refused).facts.at("shard"), "s0");
  EXPECT_EQ(fake->calls(), 2);
  EXPECT_EQ(observer.shed, 1);
  loop.Advance(absl::Seconds(1));
  EXPECT_EQ(limiter.calls_under_way(), 0);
  Started<Result> third(limiter.Execute(task, ctx));
  EXPECT_EQ(fake->calls(), 3);
}

TEST_F(LimiterBackendTest, ADroppedCallGivesItsPlaceBack) {
  fake->TakeTime(absl::InfiniteDuration());
  const Task task = AnyRead();
  Started<Result> first(limiter.Execute(task, ctx));
  Started<absl::StatusOr<std::unique_ptr<Session>>> second(limiter.Lease(session_options, ctx));
  EXPECT_EQ(limiter.calls_under_way(), 2);
  first.Drop();
  second.Drop();
  EXPECT_EQ(limiter.calls_under_way(), 0);
}

TEST_F(LimiterBackendTest, AHeldSessionDoesNotCount) {
  std::vector<std::unique_ptr<Session>> held;
  for (int i = 0; i < 5; ++i) {
    absl::StatusOr<std::unique_ptr<Session>> session = Lease(limiter);
    ASSERT_THAT(session, IsOk());
    held.push_back(*std::move(session));
  }
  EXPECT_EQ(limiter.calls_under_way(), 0);
}

TEST_F(LimiterBackendTest, ACallThatIsLateAlreadyCostsTheShardNothing) {
  const absl::Status refused = CallWithin(absl::ZeroDuration(), AnyRead());
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(DetailOf(refused).facts.at("stage"), "queue");
  EXPECT_EQ(fake->calls(), 0);
}

TEST_F(LimiterBackendTest, ACallWithLessTimeThanTheFastestRecentAnswerIsRefused) {
  fake->TakeTime(absl::Milliseconds(100));
  EXPECT_THAT(CallWithin(absl::Seconds(1), AnyRead()), IsOk());
  EXPECT_EQ(DetailOf(CallWithin(absl::Milliseconds(50), AnyRead())).facts.at("stage"), "queue");
  EXPECT_EQ(fake->calls(), 1);
  // Of writes nothing is known yet: the write is tried, and fails at the shard.
  EXPECT_EQ(DetailOf(CallWithin(absl::Milliseconds(50), AnyWrite())).facts.at("stage"), "query");
}

TEST_F(LimiterBackendTest, OneFastAnswerIsEnoughToAdmitAgain) {
  fake->TakeTimeNext(absl::Milliseconds(100));
  EXPECT_THAT(CallWithin(absl::Milliseconds(200), AnyRead()), IsOk());
  EXPECT_THAT(CallWithin(absl::Milliseconds(200), AnyRead()), IsOk());  // Answered at once.
  EXPECT_THAT(CallWithin(absl::Milliseconds(1), AnyRead()), IsOk());
}

TEST_F(LimiterBackendTest, AShardThatWasSlowIsAskedAgainBySoon) {
  fake->TakeTimeNext(absl::Milliseconds(100));
  EXPECT_THAT(CallWithin(absl::Seconds(1), AnyRead()), IsOk());
  int refused = 0;
  while (!CallWithin(absl::Milliseconds(50), AnyRead()).ok()) {
    ASSERT_LT(++refused, 100);
  }
  EXPECT_EQ(fake->calls(), 2);
}

TEST_F(LimiterBackendTest, APingIsAlwaysLetThrough) {
  fake->TakeTime(absl::InfiniteDuration());
  const Task task = AnyRead();
  Started<Result> first(limiter.Execute(task, ctx));
  Started<Result> second(limiter.Execute(task, ctx));
  fake->TakeTime(absl::ZeroDuration());
  EXPECT_THAT(RunNow(loop, limiter.Ping(ctx)), IsOk());
}

TEST(LatencyFloorTest, IsTheMinimumOfTheLastTwoWindows) {
  absl::Time now = absl::FromUnixSeconds(1000);
  LatencyFloor floor(absl::Seconds(1));
  EXPECT_EQ(floor.Get(now), absl::ZeroDuration());
  floor.Add(absl::Milliseconds(30), now);
  floor.Add(absl::Milliseconds(50), now);
  EXPECT_EQ(floor.Get(now), absl::Milliseconds(30));
  now += absl::Milliseconds(1100);
  floor.Add(absl::Milliseconds(40), now);
  EXPECT_EQ(floor.Get(now), absl::Milliseconds(30));
  now += absl::Milliseconds(1100);
  EXPECT_EQ(floor.Get(now), absl::Milliseconds(40));
  now += absl::Seconds(5);
  EXPECT_EQ(floor.Get(now), absl::ZeroDuration());
}

}  // namespace
}  // namespace quarry
