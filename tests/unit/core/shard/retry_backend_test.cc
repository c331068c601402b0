#include "core/shard/retry_backend.h"

#include <memory>
#include <utility>

#include "core/base/error.h"
#include "core/shard/retry_budget.h"
#include "tests/unit/core/shard/shard_fixture.h"

namespace quarry {
namespace {

const absl::Status kFault = absl::UnavailableError("down");
const absl::Status kCut = absl::UnknownError("the connection was lost");

class RetryBackendTest : public ShardFixture {
 protected:
  // Lets the pauses pass.
  absl::Status CallThrough(const Task& task) {
    Started<absl::StatusOr<TaskResult>> call(retry.Execute(task, ctx));
    loop.Advance(absl::Seconds(10));
    EXPECT_TRUE(call.answered());
    return call.result().status();
  }

  RetryBudget budget{RetryBudgetOptions()};
  RetryBackend retry{std::move(driver), RetryOptions(), random, budget, observer};
};

TEST_F(RetryBackendTest, AReadIsTriedAgainWhileTheShardIsUnavailable) {
  fake->AnswerNext(kFault);
  fake->AnswerNext(kFault);
  EXPECT_THAT(CallThrough(AnyRead()), IsOk());
  EXPECT_EQ(fake->calls(), 3);
  EXPECT_EQ(observer.retries, 2);
}

TEST_F(RetryBackendTest, AttemptsAreBounded) {
  fake->AnswerWith(kFault);
  EXPECT_THAT(CallThrough(AnyRead()), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(fake->calls(), 3);
}

TEST_F(RetryBackendTest, OtherErrorsAreFinal) {
  for (const absl::Status& status : {absl::InvalidArgumentError("x"), absl::AbortedError("x"), kCut,
                                     absl::DeadlineExceededError("x"), absl::ResourceExhaustedError("x")}) {
    fake->AnswerNext(status);
    EXPECT_EQ(CallThrough(AnyRead()), status);
  }
  EXPECT_EQ(observer.retries, 0);
}

TEST_F(RetryBackendTest, AWriteWithoutAGuardIsNeverTriedAgain) {
  fake->AnswerWith(kFault);
  EXPECT_FALSE(CallThrough(AnyWrite()).ok());
  fake->AnswerWith(kCut);
  EXPECT_FALSE(CallThrough(AnyWrite()).ok());
  EXPECT_EQ(fake->calls(), 2);
}

TEST_F(RetryBackendTest, AGuardedWriteIsTriedAgainAlsoWhenItsOutcomeIsUnknown) {
  fake->AnswerNext(kFault);
  fake->AnswerNext(kCut);
  EXPECT_THAT(CallThrough(GuardedWrite("a")), IsOk());
  EXPECT_EQ(fake->calls(), 3);
  EXPECT_EQ(fake->applied(), 1);
}

TEST_F(RetryBackendTest, AnOpenBreakerEndsIt) {
  fake->AnswerWith(MakeError(absl::StatusCode::kUnavailable, reason::kCircuitOpen, "open"));
  EXPECT_FALSE(CallThrough(AnyRead()).ok());
  EXPECT_EQ(fake->calls(), 1);
}

TEST_F(RetryBackendTest, NoAttemptBeginsAfterTheDeadline) {
  fake->AnswerWith(kFault);
  ctx.deadline = loop.Now();
  EXPECT_THAT(Call(retry, AnyRead()), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(fake->calls(), 1);
  EXPECT_EQ(budget.tokens(), RetryBudgetOptions().burst);  // Not spent for nothing.
}

TEST_F(RetryBackendTest, ADropDuringThePauseEndsIt) {
  fake->AnswerWith(kFault);
  const Task task = AnyRead();
  Started<absl::StatusOr<TaskResult>> call(retry.Execute(task, ctx));
  EXPECT_FALSE(call.answered());
  call.Drop();
  loop.Advance(absl::Seconds(10));
  EXPECT_EQ(fake->calls(), 1);
}

TEST_F(RetryBackendTest, PausesAreRandomAndGrowWithinTheirBounds) {
  fake->AnswerWith(kFault);
  const Task task = AnyRead();
  for (int i = 0; i < 5; ++i) {
    const absl::Time started = loop.Now();
    const int64_t before = fake->calls();
    Started<absl::StatusOr<TaskResult>> call(retry.Execute(task, ctx));
    while (fake->calls() < before + 2) loop.Advance(absl::Microseconds(100));
    EXPECT_LE(loop.Now() - started, absl::Milliseconds(21));
    while (!call.answered()) loop.Advance(absl::Microseconds(100));
    EXPECT_LE(loop.Now() - started, absl::Milliseconds(62));
  }
}

TEST_F(RetryBackendTest, AnOutageIsMultipliedByTheBudgetOnly) {
  fake->AnswerWith(kFault);
  ctx.deadline = absl::InfiniteFuture();
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(CallThrough(AnyRead()).ok());
  EXPECT_LE(fake->calls(), 1000 + 100 + 10);  // 10 % and the burst.
  EXPECT_GE(fake->calls(), 1000 + 90);
}

TEST_F(RetryBackendTest, ALeaseIsTriedAgain) {
  fake->AnswerLeaseWith(kFault);
  Started<absl::StatusOr<std::unique_ptr<Session>>> call(retry.Lease(session_options, ctx));
  fake->AnswerLeaseWith(absl::OkStatus());
  loop.Advance(absl::Seconds(1));
  ASSERT_TRUE(call.answered());
  EXPECT_THAT(call.result(), IsOk());
  EXPECT_EQ(fake->leases(), 2);
}

TEST_F(RetryBackendTest, APingIsNot) {
  fake->AnswerPingWith(kFault);
  EXPECT_FALSE(RunNow(loop, retry.Ping(ctx)).ok());
  EXPECT_EQ(fake->pings(), 1);
}

TEST(RetryBudgetTest, EarnsAShareOfTheCallsUpToTheBurst) {
  RetryBudgetOptions options;
  options.ratio = 0.25;  // Exact in binary.
  options.burst = 2;
  RetryBudget budget(options);
  EXPECT_TRUE(budget.Spend());
  EXPECT_TRUE(budget.Spend());
  EXPECT_FALSE(budget.Spend());
  for (int i = 0; i < 3; ++i) budget.CountCall();
  EXPECT_FALSE(budget.Spend());
  budget.CountCall();
  EXPECT_TRUE(budget.Spend());
  for (int i = 0; i < 1000; ++i) budget.CountCall();
  EXPECT_EQ(budget.tokens(), 2);
}

}  // namespace
}  // namespace quarry
