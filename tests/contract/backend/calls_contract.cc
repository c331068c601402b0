// What calls, sessions, request ids and deadlines mean, whatever stands behind them.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/gather.h"
#include "tests/contract/backend/backend_contract.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

TEST_P(BackendContract, EveryStatementOfEveryStepIsAnswered) {
  for (const Atomicity atomicity : {Atomicity::kAll, Atomicity::kEach}) {
    const int64_t first = atomicity == Atomicity::kAll ? 1 : 4;
    Task task = TaskOfSteps({fixture().Insert(first), fixture().Insert(first + 1)}, atomicity);
    task.steps[1].statements.push_back(fixture().Insert(first + 2));
    ASSERT_OK_AND_ASSIGN(const TaskResult result, Execute(std::move(task)));
    EXPECT_FALSE(result.replayed);
    ASSERT_EQ(result.steps.size(), 2U);
    EXPECT_THAT(result.steps[0].status, IsOk());
    EXPECT_EQ(result.steps[0].statements.size(), 1U);
    EXPECT_EQ(result.steps[1].statements.size(), 2U);
  }
}

TEST_P(BackendContract, ATaskThatFailsLeavesNothing) {
  const absl::Status refused = Execute(TaskOf({fixture().Insert(1), fixture().Refused()})).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(refused, HasReason(reason::kConstraintViolation));
  EXPECT_EQ(fixture().Inserted(), 0);
  EXPECT_THAT(Execute(TaskOf({fixture().Insert(1)})), IsOk());
  EXPECT_EQ(fixture().Inserted(), 1);
}

TEST_P(BackendContract, ARepeatedRequestGetsTheStoredReply) {
  Task task = TaskOf({fixture().Insert(5)});
  task.guard = GuardOf("001", 0xFFFFFFFFFFFFFFFFULL);
  ASSERT_OK_AND_ASSIGN(const TaskResult first, Execute(task));
  EXPECT_FALSE(first.replayed);
  ASSERT_OK_AND_ASSIGN(const TaskResult again, Execute(task));
  EXPECT_TRUE(again.replayed);
  ASSERT_EQ(again.steps.size(), 1U);
  ASSERT_EQ(again.steps[0].statements.size(), 1U);
  EXPECT_EQ(again.steps[0].statements[0].affected, first.steps.at(0).statements.at(0).affected);
  EXPECT_EQ(fixture().Inserted(), 1);
}

TEST_P(BackendContract, ARequestIdIsRefusedToAnotherRequest) {
  Task task = TaskOf({fixture().Insert(5)});
  task.guard = GuardOf("001", 0xFFFFFFFFFFFFFFFFULL);
  ASSERT_THAT(Execute(task), IsOk());
  Task other = TaskOf({fixture().Insert(6)});
  other.guard = GuardOf("001", 17);
  const absl::Status reused = Execute(other).status();
  EXPECT_THAT(reused, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(reused, HasReason(reason::kRequestIdReused));
  EXPECT_EQ(fixture().Inserted(), 1);
}

TEST_P(BackendContract, AFailedTaskStoresNoReply) {
  Task refused = TaskOf({fixture().Refused()});
  refused.guard = GuardOf("002", 2);
  EXPECT_THAT(Execute(std::move(refused)), HasReason(reason::kConstraintViolation));
  Task task = TaskOf({fixture().Insert(1)});
  task.guard = GuardOf("002", 2);
  ASSERT_OK_AND_ASSIGN(const TaskResult result, Execute(std::move(task)));
  EXPECT_FALSE(result.replayed);
  EXPECT_EQ(fixture().Inserted(), 1);
}

TEST_P(BackendContract, TheSameRequestManyTimesAtOnceIsAppliedOnce) {
  Task task = TaskOf({fixture().Insert(1)});
  task.guard = GuardOf("003", 3);
  const CallContext ctx = AnyCall();
  std::vector<Async<absl::StatusOr<TaskResult>>> calls;
  for (int i = 0; i < 8; ++i) calls.push_back(backend().Execute(task, ctx));
  GatherOptions options;
  options.stop_at_first_error = false;
  const auto results = RunOn(loop(), Gather(loop(), std::move(calls), options));
  int fresh = 0;
  for (const absl::StatusOr<TaskResult>& result : results) {
    ASSERT_THAT(result, IsOk());
    if (!result->replayed) ++fresh;
  }
  EXPECT_EQ(fresh, 1);
  EXPECT_EQ(fixture().Inserted(), 1);
}

TEST_P(BackendContract, OthersSeeATransactionWhenItHasCommitted) {
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease());
    ASSERT_THAT(Execute(*session, fixture().Insert(1)), IsOk());
    EXPECT_EQ(fixture().Inserted(), 0);
    ASSERT_THAT(Commit(*session), IsOk());
    EXPECT_EQ(fixture().Inserted(), 1);
  }
  EXPECT_EQ(fixture().Inserted(), 1);
}

TEST_P(BackendContract, RollbackAndDroppingTheSessionUndoTheTransaction) {
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease());
    ASSERT_THAT(Execute(*session, fixture().Insert(1)), IsOk());
    ASSERT_THAT(Rollback(*session), IsOk());
  }
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease());
    ASSERT_THAT(Execute(*session, fixture().Insert(2)), IsOk());
  }
  EXPECT_EQ(fixture().Inserted(), 0);
  ASSERT_THAT(Execute(TaskOf({fixture().Insert(3)})), IsOk());
  EXPECT_EQ(fixture().Inserted(), 1);
}

TEST_P(BackendContract, ATransactionThatHasEndedRunsNothingMore) {
  for (const bool commit : {true, false}) {
    const int64_t first = commit ? 1 : 11;
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease());
    ASSERT_THAT(Execute(*session, fixture().Insert(first)), IsOk());
    ASSERT_THAT(commit ? Commit(*session) : Rollback(*session), IsOk());
    const absl::Status late = Execute(*session, fixture().Insert(first + 1)).status();
    EXPECT_THAT(late, StatusIs(absl::StatusCode::kAborted));
    EXPECT_THAT(late, HasReason(reason::kTransactionEnded));
    EXPECT_EQ(fixture().Inserted(), 1);
  }
}

TEST_P(BackendContract, AFailedStepIsUndoneAndTheTransactionGoesOn) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease());
  ASSERT_THAT(Execute(*session, fixture().Insert(1)), IsOk());
  Step step;
  step.statements = {fixture().Insert(2), fixture().Refused()};
  const CallContext ctx = AnyCall();
  EXPECT_THAT(RunOn(loop(), session->Execute(step, ctx)), HasReason(reason::kConstraintViolation));
  ASSERT_THAT(Execute(*session, fixture().Insert(3)), IsOk());
  ASSERT_THAT(Commit(*session), IsOk());
  EXPECT_EQ(fixture().Inserted(), 2);
}

TEST_P(BackendContract, ReadOnlySessionsDoNotWrite) {
  for (const bool transaction : {true, false}) {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease(Options(transaction, true)));
    ASSERT_THAT(Execute(*session, fixture().Numbers(1)), IsOk());
    const absl::Status status = Execute(*session, fixture().Insert(1)).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(status, HasReason(reason::kReadOnly));
  }
  EXPECT_EQ(fixture().Inserted(), 0);
}

TEST_P(BackendContract, AutocommitSessionsKeepEachStatement) {
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease(Options(false, false)));
    ASSERT_THAT(Execute(*session, fixture().Insert(1)), IsOk());
    EXPECT_EQ(fixture().Inserted(), 1);
    EXPECT_THAT(Execute(*session, fixture().Refused()), HasReason(reason::kConstraintViolation));
    ASSERT_THAT(Execute(*session, fixture().Insert(2)), IsOk());
  }
  EXPECT_EQ(fixture().Inserted(), 2);
}

TEST_P(BackendContract, ASessionKnowsWhetherItsTransactionHasWritten) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease());
  EXPECT_FALSE(session->wrote());
  ASSERT_THAT(Execute(*session, fixture().Insert(1)), IsOk());
  EXPECT_TRUE(session->wrote());
}

TEST_P(BackendContract, AStreamGivesAllRowsInOrderAndThenTheEnd) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease(Options(false, true)));
  const CallContext ctx = AnyCall();
  const Statement statement = fixture().Numbers(20'000);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<RowStream> stream, RunOn(loop(), session->Open(statement, ctx)));
  ASSERT_NE(stream->header(), nullptr);
  EXPECT_EQ(stream->header()->at(0).name, "x");
  int64_t expected = 1;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const RowBatch batch, RunOn(loop(), stream->Next(ctx)));
    if (batch.rows.empty()) break;
    for (const Row& row : batch.rows) ASSERT_EQ(row.at(0), Value::Int64(expected++)) << "a row is lost or repeated";
  }
  EXPECT_EQ(expected, 20'001);
  EXPECT_EQ(stream->affected(), 0);
}

TEST_P(BackendContract, DroppingAStreamFreesTheSession) {
  for (const bool transaction : {true, false}) {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease(Options(transaction, true)));
    const CallContext ctx = AnyCall();
    const Statement statement = fixture().Numbers(100'000);
    {
      ASSERT_OK_AND_ASSIGN(const std::unique_ptr<RowStream> stream, RunOn(loop(), session->Open(statement, ctx)));
      ASSERT_OK_AND_ASSIGN(const RowBatch batch, RunOn(loop(), stream->Next(ctx)));
      EXPECT_FALSE(batch.rows.empty());
    }
    EXPECT_THAT(Execute(*session, fixture().Numbers(1)), IsOk());
  }
}

TEST_P(BackendContract, ADeadlineEndsALongStatement) {
  ASSERT_THAT(Execute(TaskOf({fixture().Numbers(1)})), IsOk());  // Connecting is another stage.
  const Task task = TaskOf({fixture().Endless()});
  const CallContext ctx = Within(absl::Milliseconds(200));
  const absl::Time start = loop().Now();
  const absl::Status status = RunOn(loop(), backend().Execute(task, ctx)).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(status, HasReason(reason::kDeadline));
  EXPECT_EQ(DetailOf(status).facts["stage"], "query");
  EXPECT_LT(loop().Now() - start, absl::Seconds(5));
  ExpectNothingLeased();
  EXPECT_THAT(Execute(TaskOf({fixture().Insert(1)})), IsOk());
}

TEST_P(BackendContract, ADeadlineInASessionLeavesNothingBehind) {
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease());
    ASSERT_THAT(Execute(*session, fixture().Insert(1)), IsOk());
    Step step;
    step.statements.push_back(fixture().Endless());
    const CallContext ctx = Within(absl::Milliseconds(200));
    EXPECT_THAT(RunOn(loop(), session->Execute(step, ctx)), StatusIs(absl::StatusCode::kDeadlineExceeded));
    // Either it can go on, or it says that it has ended.
    const absl::Status next = Execute(*session, fixture().Insert(2)).status();
    EXPECT_TRUE(next.ok() || next.code() == absl::StatusCode::kAborted || next.code() == absl::StatusCode::kUnavailable)
        << next;
  }
  ExpectNothingLeased();
  EXPECT_EQ(fixture().Inserted(), 0);
  EXPECT_THAT(Execute(TaskOf({fixture().Insert(3)})), IsOk());
}

TEST_P(BackendContract, DroppingACallStopsItsStatement) {
  const Task task = TaskOf({fixture().Endless()});
  const CallContext ctx = AnyCall();
  {
    bool done = false;
    const Running call(backend().Execute(task, ctx), [&done](const absl::StatusOr<TaskResult>&) { done = true; });
    LetPass(absl::Milliseconds(100));
    EXPECT_FALSE(done);
  }
  // Far sooner than its deadline.
  ExpectNothingLeased();
}

TEST_P(BackendContract, DroppingAnEndlessStatementOfATransactionRollsItBack) {
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease());
    ASSERT_THAT(Execute(*session, fixture().Insert(1)), IsOk());
    Step step;
    step.statements.push_back(fixture().Endless());
    const CallContext ctx = AnyCall();
    const Running call(session->Execute(step, ctx), [](const absl::StatusOr<StepResult>&) {});
    LetPass(absl::Milliseconds(50));
  }
  ExpectNothingLeased();
  EXPECT_THAT(Execute(TaskOf({fixture().Insert(1)})), IsOk());
  EXPECT_EQ(fixture().Inserted(), 1);
}

TEST_P(BackendContract, StatisticsTellLeasedSessionsAndStatements) {
  const int64_t statements = backend().stats().statements;
  ASSERT_THAT(Execute(TaskOf({fixture().Insert(1)})), IsOk());
  EXPECT_GT(backend().stats().statements, statements);
  EXPECT_EQ(backend().stats().sessions_leased, 0);
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> first, Lease());
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> second, Lease());
    EXPECT_EQ(backend().stats().sessions_leased, 2);
    EXPECT_GE(backend().stats().sessions_open, 2);
    EXPECT_EQ(backend().stats().waiters, 0);
  }
  ExpectNothingLeased();
}

TEST_P(BackendContract, APingIsAnswered) {
  const CallContext ctx = AnyCall();
  EXPECT_THAT(RunOn(loop(), backend().Ping(ctx)), IsOk());
}

}  // namespace
}  // namespace quarry
