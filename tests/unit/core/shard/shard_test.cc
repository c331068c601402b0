#include "core/shard/shard.h"

#include <memory>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "tests/unit/core/shard/shard_fixture.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;

class ShardTest : public ShardFixture {
 protected:
  static ShardOptions Options() {
    ShardOptions options;
    options.name = "s0";
    options.breaker.faults_max = 2;
    options.breaker.probe_interval = absl::Seconds(1);
    options.health.ping_interval = absl::Seconds(10);
    options.health.ping_timeout = absl::Seconds(1);
    return options;
  }
  std::unique_ptr<ShardBackend> Decorate() {
    return DecorateShard(std::move(driver), Options(), loop, random, budget, &observer);
  }

  RetryBudget budget{RetryBudgetOptions()};
};

TEST_F(ShardTest, IsUpOnceTheFirstPingIsAnswered) {
  const std::unique_ptr<ShardBackend> shard = Decorate();
  EXPECT_EQ(shard->health().state, ShardState::kUnknown);
  EXPECT_EQ(fake->pings(), 0);  // A dead shard could not have delayed the start.
  loop.Settle();
  EXPECT_EQ(shard->health().state, ShardState::kUp);
  EXPECT_EQ(shard->health().last_ok, loop.Now());
  EXPECT_STREQ(ShardStateName(shard->health().state), "UP");
}

TEST_F(ShardTest, PingsOnAndOnAndStopsWithTheShard) {
  std::unique_ptr<ShardBackend> shard = Decorate();
  loop.Advance(absl::Minutes(10));
  EXPECT_GE(fake->pings(), 50);
  EXPECT_LE(fake->pings(), 76);
  shard.reset();
  loop.Advance(absl::Minutes(10));  // Nothing of it is left on the loop.
}

TEST_F(ShardTest, IsDownWhileThePingFailsAndSaysWhy) {
  fake->AnswerPingWith(absl::UnavailableError("connection refused"));
  const std::unique_ptr<ShardBackend> shard = Decorate();
  loop.Settle();
  EXPECT_EQ(shard->health().state, ShardState::kDown);
  EXPECT_EQ(shard->health().last_error.message(), "connection refused");
  EXPECT_EQ(shard->health().last_ok, absl::InfinitePast());
}

TEST_F(ShardTest, AHangingPingEndsAtItsTimeoutAndCounts) {
  fake->TakeTime(absl::InfiniteDuration());
  const std::unique_ptr<ShardBackend> shard = Decorate();
  loop.Advance(absl::Seconds(2));
  EXPECT_EQ(shard->health().state, ShardState::kDown);
  loop.Advance(absl::Seconds(30));
  EXPECT_EQ(shard->health().state, ShardState::kOpen);
}

TEST_F(ShardTest, WithoutTrafficThePingsAloneOpenAndCloseTheBreaker) {
  fake->AnswerWith(absl::UnavailableError("down"));
  const std::unique_ptr<ShardBackend> shard = Decorate();
  loop.Advance(absl::Seconds(30));
  EXPECT_EQ(shard->health().state, ShardState::kOpen);
  EXPECT_EQ(shard->health().last_error.message(), "down");
  fake->AnswerWith(absl::OkStatus());
  loop.Advance(absl::Seconds(13));
  EXPECT_EQ(shard->health().state, ShardState::kUp);
  EXPECT_THAT(shard->health().last_error, IsOk());
  EXPECT_THAT(observer.breaker, ElementsAre(true, false));
  EXPECT_THAT(Call(*shard, AnyRead()), IsOk());
}

TEST_F(ShardTest, TrafficOpensItWithoutWaitingForAPing) {
  const std::unique_ptr<ShardBackend> shard = Decorate();
  loop.Settle();
  fake->AnswerWith(absl::UnavailableError("down"));
  const Task task = AnyRead();
  Started<absl::StatusOr<TaskResult>> call(shard->Execute(task, ctx));
  loop.Advance(absl::Seconds(1));
  ASSERT_TRUE(call.answered());
  EXPECT_EQ(shard->health().state, ShardState::kOpen);
}

// The order of the wrappings: each retry passes the breaker, the observer sees one call.
TEST_F(ShardTest, RetriesStopAtTheBreakerAndAreOneCallToTheObserver) {
  const std::unique_ptr<ShardBackend> shard = Decorate();
  loop.Settle();
  observer.calls.clear();
  fake->AnswerWith(absl::UnavailableError("down"));
  const Task task = AnyRead();
  Started<absl::StatusOr<TaskResult>> call(shard->Execute(task, ctx));
  loop.Advance(absl::Milliseconds(500));
  ASSERT_TRUE(call.answered());
  EXPECT_EQ(fake->calls(), 2);  // The third attempt met the open breaker.
  EXPECT_THAT(call.result(), HasReason("CIRCUIT_OPEN"));
  ASSERT_EQ(observer.calls.size(), 1u);
  EXPECT_EQ(observer.calls[0].kind, CallKind::kRead);
  EXPECT_EQ(observer.retries, 2);
}

TEST_F(ShardTest, EveryLayerWrapsTheSession) {
  const std::unique_ptr<ShardBackend> shard = Decorate();
  loop.Settle();
  absl::StatusOr<std::unique_ptr<Session>> session = Lease(*shard);
  ASSERT_THAT(session, IsOk());
  EXPECT_EQ(observer.sessions, 1);
  EXPECT_EQ(shard->stats().sessions_leased, 1);
  const Step step;
  fake->AnswerWith(absl::UnavailableError("cut"));
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(RunNow(loop, (*session)->Execute(step, ctx)).ok());
  EXPECT_EQ(shard->health().state, ShardState::kOpen);
  session->reset();
  EXPECT_EQ(observer.sessions, 0);
  EXPECT_EQ(fake->sessions(), 0);
}

TEST_F(ShardTest, WorksWithoutAnObserver) {
  const std::unique_ptr<ShardBackend> shard = DecorateShard(std::move(driver), Options(), loop, random, budget, nullptr);
  EXPECT_THAT(Call(*shard, AnyRead()), IsOk());
}

}  // namespace
}  // namespace quarry
