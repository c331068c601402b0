#include "core/backend/fake_backend.h"

#include <memory>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tasks.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;

class FakeBackendTest : public ::testing::Test {
 protected:
  std::unique_ptr<Session> Lease(bool transaction = true) {
    SessionOptions options;
    options.transaction = transaction;
    absl::StatusOr<std::unique_ptr<Session>> session = RunNow(loop_, backend_.Lease(options, ctx_));
    EXPECT_THAT(session, IsOk());
    return *std::move(session);
  }
  absl::StatusOr<TaskResult> Run(const Task& task) { return RunNow(loop_, backend_.Execute(task, ctx_)); }

  ManualLoop loop_;
  FakeBackend backend_;
  CallContext ctx_{loop_};
};

TEST_F(FakeBackendTest, AnswersEachStepAndCounts) {
  const Task task = AnyRead();
  const absl::StatusOr<TaskResult> result = Run(task);
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->steps.size(), 1u);
  EXPECT_EQ(backend_.calls(), 1);
  EXPECT_EQ(backend_.applied(), 0);
  EXPECT_EQ(backend_.tasks().size(), 1u);
}

TEST_F(FakeBackendTest, NextAnswersComeBeforeTheStandingOne) {
  backend_.AnswerWith(absl::UnavailableError("down"));
  backend_.AnswerNext(TaskResult());
  backend_.AnswerNext(absl::InternalError("odd"));
  EXPECT_THAT(Run(AnyRead()), IsOk());
  EXPECT_THAT(Run(AnyRead()), StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(Run(AnyRead()), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(RunNow(loop_, backend_.Ping(ctx_)), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(FakeBackendTest, AGuardedWriteIsAppliedOnce) {
  const Task task = GuardedWrite("id-1");
  const absl::StatusOr<TaskResult> first = Run(task);
  const absl::StatusOr<TaskResult> second = Run(task);
  ASSERT_THAT(second, IsOk());
  EXPECT_FALSE(first->replayed);
  EXPECT_TRUE(second->replayed);
  EXPECT_EQ(backend_.applied(), 1);
  Task other = task;
  other.guard->request_hash = 2;
  EXPECT_THAT(Run(other), HasReason("REQUEST_ID_REUSED"));
}

TEST_F(FakeBackendTest, TakesItsTimeAndEndsAtTheDeadline) {
  backend_.TakeTime(absl::Seconds(2));
  const Task task = AnyWrite();
  Started<absl::StatusOr<TaskResult>> slow(backend_.Execute(task, ctx_));
  CallContext hurried(loop_);
  hurried.deadline = loop_.Now() + absl::Seconds(1);
  Started<absl::StatusOr<TaskResult>> late(backend_.Execute(task, hurried));
  loop_.Advance(absl::Seconds(1));
  EXPECT_FALSE(slow.answered());
  EXPECT_THAT(late.result(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  loop_.Advance(absl::Seconds(1));
  EXPECT_THAT(slow.result(), IsOk());
  EXPECT_EQ(backend_.applied(), 1);
}

TEST_F(FakeBackendTest, ADroppedWriteIsNotApplied) {
  backend_.TakeTimeNext(absl::Seconds(1));
  const Task task = AnyWrite();
  Started<absl::StatusOr<TaskResult>> call(backend_.Execute(task, ctx_));
  call.Drop();
  loop_.Advance(absl::Seconds(5));
  EXPECT_EQ(backend_.applied(), 0);
  EXPECT_EQ(backend_.calls(), 1);
}

TEST_F(FakeBackendTest, ADroppedSessionRollsBack) {
  std::unique_ptr<Session> session = Lease();
  EXPECT_EQ(backend_.sessions(), 1);
  EXPECT_THAT(RunNow(loop_, session->Control("SAVEPOINT a", ctx_)), IsOk());
  session.reset();
  EXPECT_EQ(backend_.sessions(), 0);
  EXPECT_EQ(backend_.rollbacks(), 1);
  EXPECT_EQ(backend_.commits(), 0);
  EXPECT_THAT(backend_.controls(), ElementsAre("SAVEPOINT a"));
}

TEST_F(FakeBackendTest, ACommittedSessionDoesNot) {
  std::unique_ptr<Session> session = Lease();
  EXPECT_THAT(RunNow(loop_, session->Commit(kPlainCommit, ctx_)), IsOk());
  session.reset();
  EXPECT_EQ(backend_.commits(), 1);
  EXPECT_EQ(backend_.rollbacks(), 0);
}

TEST_F(FakeBackendTest, StreamsItsRowsThenTheEnd) {
  TaskResult result;
  result.steps.resize(1);
  result.steps[0].statements.resize(1);
  result.steps[0].statements[0].batch.rows = {{Value::Int64(1)}, {Value::Int64(2)}};
  backend_.AnswerWith(result);
  std::unique_ptr<Session> session = Lease(false);
  const Statement statement;
  absl::StatusOr<std::unique_ptr<RowStream>> stream = RunNow(loop_, session->Open(statement, ctx_));
  ASSERT_THAT(stream, IsOk());
  EXPECT_EQ(RunNow(loop_, (*stream)->Next(ctx_))->rows.size(), 2u);
  EXPECT_EQ(RunNow(loop_, (*stream)->Next(ctx_))->rows.size(), 0u);
}

}  // namespace
}  // namespace quarry
