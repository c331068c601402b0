#include "core/shard/breaker_backend.h"

#include <memory>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "tests/unit/core/shard/shard_fixture.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;

class BreakerBackendTest : public ShardFixture {
 protected:
  static BreakerOptions Options() {
    BreakerOptions options;
    options.faults_max = 2;
    options.probe_interval = absl::Seconds(10);
    return options;
  }
  void Open() {
    fake->AnswerWith(absl::UnavailableError("connection refused"));
    for (int call = 0; call < 2; ++call) EXPECT_FALSE(Call(breaker, AnyRead()).ok());
    ASSERT_TRUE(breaker.breaker().open());
  }

  BreakerBackend breaker{std::move(driver), "s0", Options(), observer};
};

TEST_F(BreakerBackendTest, OpensAfterFaultsInARowThenClosesOnAHealthyProbe) {
  fake->AnswerWith(absl::UnavailableError("down"));
  for (int call = 0; call < 3; ++call) {
    EXPECT_THAT(Call(breaker, AnyRead()), StatusIs(absl::StatusCode::kUnavailable)) << call;
  }
  EXPECT_EQ(fake->calls(), 2);  // The third never reached the shard.
  fake->AnswerWith(absl::OkStatus());
  loop.Advance(absl::Seconds(10));
  EXPECT_THAT(Call(breaker, AnyRead()), IsOk());
  EXPECT_THAT(Call(breaker, AnyRead()), IsOk());
  EXPECT_THAT(observer.breaker, ElementsAre(true, false));
}

TEST_F(BreakerBackendTest, TheRefusalSaysWhyAndWhenToComeBack) {
  Open();
  loop.Advance(absl::Seconds(3));
  const absl::Status refused = Call(breaker, AnyRead());
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(refused, HasReason("CIRCUIT_OPEN"));
  EXPECT_THAT(DetailOf(refused).retry_after, Optional(absl::Seconds(7)));
  EXPECT_EQ(DetailOf(refused).facts.at("shard"), "s0");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("s0"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("connection refused"));
}

TEST_F(BreakerBackendTest, AWrongQueryProvesHealth) {
  for (int round = 0; round < 5; ++round) {
    fake->AnswerNext(absl::UnavailableError("down"));
    fake->AnswerNext(absl::InvalidArgumentError("syntax error"));
    EXPECT_FALSE(Call(breaker, AnyRead()).ok());
    EXPECT_FALSE(Call(breaker, AnyRead()).ok());
  }
  EXPECT_THAT(observer.breaker, IsEmpty());
}

TEST_F(BreakerBackendTest, ADroppedProbeDoesNotWedgeIt) {
  Open();
  fake->AnswerWith(absl::OkStatus());
  loop.Advance(absl::Seconds(10));
  fake->TakeTimeNext(absl::InfiniteDuration());
  const Task task = AnyRead();
  Started<absl::StatusOr<TaskResult>> probe(breaker.Execute(task, ctx));
  EXPECT_THAT(Call(breaker, AnyRead()), HasReason("CIRCUIT_OPEN"));
  probe.Drop();
  EXPECT_TRUE(breaker.breaker().open());
  loop.Advance(absl::Seconds(10));
  EXPECT_THAT(Call(breaker, AnyRead()), IsOk());
  EXPECT_FALSE(breaker.breaker().open());
}

TEST_F(BreakerBackendTest, OneCallerAfterAnotherIsNotEachTimeTheProbe) {
  Open();
  fake->TakeTime(absl::InfiniteDuration());
  loop.Advance(absl::Seconds(10));
  ctx.deadline = loop.Now() + absl::Seconds(15);
  ctx.stage = Stage::kQuery;
  const Task task = AnyRead();
  Started<absl::StatusOr<TaskResult>> probe(breaker.Execute(task, ctx));
  loop.Advance(absl::Seconds(15));
  probe.Drop();
  const absl::Status refused = Call(breaker, AnyRead());
  EXPECT_THAT(refused, HasReason("CIRCUIT_OPEN"));
  EXPECT_THAT(DetailOf(refused).retry_after, Optional(absl::Seconds(10)));
}

TEST_F(BreakerBackendTest, CallersThatGoAtTheirDeadlineCountAndThoseThatGoBeforeDoNot) {
  fake->TakeTime(absl::InfiniteDuration());
  const Task task = AnyRead();
  for (const bool at_deadline : {false, true}) {
    for (int call = 0; call < 2; ++call) {
      ctx.deadline = loop.Now() + absl::Milliseconds(500);
      ctx.stage = Stage::kQuery;
      Started<absl::StatusOr<TaskResult>> started(breaker.Execute(task, ctx));
      // The caller's clock runs a little ahead of ours.
      loop.Advance(absl::Milliseconds(at_deadline ? 495 : 300));
      started.Drop();
    }
    EXPECT_EQ(breaker.breaker().open(), at_deadline);
  }
}

TEST_F(BreakerBackendTest, AHangingShardOpensItAndStaleTimeoutsDoNotReopenIt) {
  fake->TakeTime(absl::InfiniteDuration());
  ctx.deadline = loop.Now() + absl::Seconds(1);
  CallContext patient(loop);
  patient.deadline = loop.Now() + absl::Minutes(1);
  const Task task = AnyRead();
  Started<absl::StatusOr<TaskResult>> a(breaker.Execute(task, ctx));
  Started<absl::StatusOr<TaskResult>> b(breaker.Execute(task, ctx));
  Started<absl::StatusOr<TaskResult>> c(breaker.Execute(task, patient));
  Started<absl::StatusOr<TaskResult>> d(breaker.Execute(task, patient));
  loop.Advance(absl::Seconds(1));
  EXPECT_THAT(a.result(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(breaker.breaker().open());
  fake->TakeTime(absl::ZeroDuration());
  loop.Advance(absl::Seconds(20));
  ctx.deadline = absl::InfiniteFuture();
  EXPECT_THAT(Call(breaker, AnyRead()), IsOk());
  loop.Advance(absl::Minutes(1));
  EXPECT_THAT(d.result(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_FALSE(breaker.breaker().open());
}

TEST_F(BreakerBackendTest, FailingLeasesCountAndAnOpenBreakerRefusesThem) {
  fake->AnswerLeaseWith(absl::UnavailableError("down"));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Lease(breaker).ok()) << i;
  EXPECT_EQ(fake->leases(), 2);
  EXPECT_THAT(Lease(breaker), HasReason("CIRCUIT_OPEN"));
}

TEST_F(BreakerBackendTest, ALeaseAloneIsNoProofOfHealth) {
  fake->AnswerNext(absl::UnavailableError("cut"));
  EXPECT_FALSE(Call(breaker, AnyRead()).ok());
  EXPECT_THAT(Lease(breaker), IsOk());  // From the idle ones.
  fake->AnswerNext(absl::UnavailableError("cut"));
  EXPECT_FALSE(Call(breaker, AnyRead()).ok());
  EXPECT_TRUE(breaker.breaker().open());
}

TEST_F(BreakerBackendTest, WhatHappensInASessionCountsButIsNeverRefused) {
  absl::StatusOr<std::unique_ptr<Session>> session = Lease(breaker);
  ASSERT_THAT(session, IsOk());
  fake->AnswerWith(absl::UnavailableError("cut"));
  const Step step;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(RunNow(loop, (*session)->Execute(step, ctx)).ok());
  EXPECT_TRUE(breaker.breaker().open());
  EXPECT_EQ(fake->calls(), 3);
  fake->AnswerWith(absl::OkStatus());
  EXPECT_THAT(RunNow(loop, (*session)->Execute(step, ctx)), IsOk());
  EXPECT_FALSE(breaker.breaker().open());
  EXPECT_THAT(RunNow(loop, (*session)->Commit(kPlainCommit, ctx)), IsOk());
}

TEST_F(BreakerBackendTest, APingPassesAnOpenBreakerAndClosesItWhenAnswered) {
  Open();
  EXPECT_THAT(RunNow(loop, breaker.Ping(ctx)), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(fake->pings(), 1);
  EXPECT_TRUE(breaker.breaker().open());
  fake->AnswerPingWith(absl::OkStatus());
  EXPECT_THAT(RunNow(loop, breaker.Ping(ctx)), IsOk());
  EXPECT_FALSE(breaker.breaker().open());
}

}  // namespace
}  // namespace quarry
