// A primary whose synchronous standby does not exist: commits wait for it, and who ends the wait ends no commit.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/core/backend/postgres/two_phase_fixture.h"

namespace quarry {
namespace {

constexpr char kWaiting[] = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

class StandbyTest : public TwoPhaseTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    Use(PostgresCluster::Shared());
    Init();
  }
  void TearDown() override {
    StandbyNames("");
    TwoPhaseTest::TearDown();
  }
  void StandbyNames(const std::string& names) {
    Schema(absl::StrCat("ALTER SYSTEM SET synchronous_standby_names = '", names, "'"));
    Schema("SELECT pg_reload_conf()");
    ASSERT_TRUE(Eventually([&] { return Query("SHOW synchronous_standby_names") == names; }));
    Schema("CHECKPOINT");  // The checkpointer tells all others whether to wait, before it does anything else.
  }
  bool Waits() { return Query(absl::StrCat("SELECT count(*) ", kWaiting)) != "0"; }

  static absl::Status Told(const absl::Status& status) { return status; }
  static absl::Status Told(const PreparedTask& done) { return done.status; }
  template <typename T>
  static absl::Status Told(const absl::StatusOr<T>& result) {
    return result.status();
  }
  // Starts `work` with nobody to confirm it, ends its wait from outside, and gives what it answered.
  template <typename T>
  absl::Status Interrupted(Async<T> work) {
    std::optional<absl::Status> answer;
    const Running call(std::move(work), [&answer](T result) { answer = Told(result); });
    if (!Eventually([this, &answer] { return answer.has_value() || Waits(); })) return absl::InternalError("it never waited");
    EXPECT_FALSE(answer.has_value()) << "it did not wait for the standby";
    Query(absl::StrCat("SELECT count(", GetParam(), "(pid)) ", kWaiting));
    if (!Eventually([&answer] { return answer.has_value(); })) return absl::InternalError("it never answered");
    return *answer;
  }
  void ExpectUnknown(const absl::Status& status) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnknown));
    EXPECT_THAT(status, HasReason(reason::kCommitOutcomeUnknown));
    EXPECT_NE(std::string(status.message()).find("standby"), std::string::npos) << status;
  }
};

TEST_P(StandbyTest, ACommitIsNotReported) {
  const std::unique_ptr<Session> session = Writer(1);
  StandbyNames("nobody");
  const CallContext ctx = Within(absl::Seconds(20));
  const absl::Status status = Interrupted(session->Commit(kPlainCommit, ctx));
  ExpectUnknown(status);
  EXPECT_NE(DetailOf(status).facts["transaction"], "");
  EXPECT_EQ(Query("SELECT count(*) FROM t"), "1");  // It is committed, here.
}

TEST_P(StandbyTest, ACommitWithItsDecisionIsNotReportedAndTheDecisionIsNotReadBeforeItIsSafe) {
  const std::unique_ptr<Session> session = Writer(1);
  StandbyNames("nobody");
  const CommitOptions options = Deciding(1);
  const std::string id = TransactionOf(1).id;
  {
    const CallContext ctx = Within(absl::Seconds(20));
    ExpectUnknown(Interrupted(session->Commit(options, ctx)));
  }
  {
    const CallContext soon = Within(absl::Milliseconds(300));
    EXPECT_FALSE(RunOn(loop_, backend_->two_phase().FindDecision(id, soon)).ok());
    const CallContext later = Within(absl::Milliseconds(300));
    EXPECT_FALSE(RunOn(loop_, backend_->two_phase().DecideAbort(id, later)).ok());
  }
  StandbyNames("");
  const CallContext ctx = Within(absl::Seconds(20));
  ASSERT_OK_AND_ASSIGN(const std::optional<Decision> decision, RunOn(loop_, backend_->two_phase().FindDecision(id, ctx)));
  ASSERT_TRUE(decision.has_value());
  EXPECT_EQ(decision->verdict, Verdict::kCommit);
}

TEST_P(StandbyTest, APrepareIsNotReported) {
  const std::unique_ptr<Session> session = Writer(1);
  StandbyNames("nobody");
  const GlobalTransaction transaction = TransactionOf(1);
  const CallContext ctx = Within(absl::Seconds(20));
  ExpectUnknown(Interrupted(session->Prepare(transaction, ctx)));
  EXPECT_EQ(Query("SELECT count(*) FROM pg_prepared_xacts"), "1");
}

TEST_P(StandbyTest, ATaskWithItsPrepareIsNotReported) {
  const std::unique_ptr<Session> session = Lease(/*transaction=*/true, /*undo_steps=*/false);
  Task task;
  task.steps = {Insert(1), Insert(2)};
  StandbyNames("nobody");
  const GlobalTransaction transaction = TransactionOf(1);
  const CallContext ctx = Within(absl::Seconds(20));
  const absl::Status status = Interrupted(session->RunAndPrepare(task, transaction, ctx));
  ExpectUnknown(status);
  EXPECT_EQ(DetailOf(status).facts["transaction_id"], transaction.id);
  EXPECT_EQ(Query("SELECT count(*) FROM pg_prepared_xacts"), "1");
}

TEST_P(StandbyTest, TheEndOfABranchIsNotReportedBeforeItIsSafe) {
  const GlobalTransaction transaction = TransactionOf(1);
  {
    const std::unique_ptr<Session> session = Writer(1);
    ASSERT_THAT(Prepare(*session, 1), IsOk());
  }
  StandbyNames("nobody");
  {
    const CallContext ctx = Within(absl::Seconds(20));
    ExpectUnknown(Interrupted(backend_->two_phase().Finish(transaction, Verdict::kCommit, ctx)));
  }
  {
    const CallContext soon = Within(absl::Milliseconds(300));
    EXPECT_FALSE(RunOn(loop_, backend_->two_phase().Finish(transaction, Verdict::kCommit, soon)).ok());
  }
  StandbyNames("");
  const CallContext ctx = Within(absl::Seconds(20));
  ASSERT_OK_AND_ASSIGN(const BranchEnd end, RunOn(loop_, backend_->two_phase().Finish(transaction, Verdict::kCommit, ctx)));
  EXPECT_EQ(end, BranchEnd::kCommitted);
}

TEST_P(StandbyTest, AnAbortIsNotReported) {
  StandbyNames("nobody");
  const std::string id = TransactionOf(1).id;
  const CallContext ctx = Within(absl::Seconds(20));
  ExpectUnknown(Interrupted(backend_->two_phase().DecideAbort(id, ctx)));
}

TEST_P(StandbyTest, WritesThatShareACommitAreNotReported) {
  StandbyNames("nobody");
  Task task;
  task.steps = {Insert(1), Insert(2)};
  task.atomicity = Atomicity::kEach;
  const CallContext ctx = Within(absl::Seconds(20));
  const absl::Time start = loop_.Now();
  std::optional<absl::StatusOr<TaskResult>> result;
  const Running call(backend_->Execute(task, ctx), [&result](absl::StatusOr<TaskResult> ran) { result = std::move(ran); });
  ASSERT_TRUE(Eventually([this] { return Waits(); }));
  Query(absl::StrCat("SELECT count(", GetParam(), "(pid)) ", kWaiting));
  ASSERT_TRUE(Eventually([&result] { return result.has_value(); })) << loop_.Now() - start;
  ASSERT_THAT(*result, IsOk());
  for (const StepResult& step : (*result)->steps) ExpectUnknown(step.status);
}

TEST_P(StandbyTest, AWriteWithARequestIdIsNotReported) {
  Task task;
  task.steps = {Insert(1)};
  task.guard = RequestGuard{"00000000-0000-7000-8000-000000000001", 7};
  StandbyNames("nobody");
  const CallContext ctx = Within(absl::Seconds(20));
  ExpectUnknown(Interrupted(backend_->Execute(task, ctx)));
}

TEST_P(StandbyTest, AStatementThatStandsAloneIsNotReported) {
  const std::unique_ptr<Session> session = Lease(false);
  StandbyNames("nobody");
  Step hidden = Insert(1);
  hidden.statements[0].raw = true;
  hidden.statements[0].writes = false;
  const CallContext ctx = Within(absl::Seconds(20));
  ExpectUnknown(Interrupted(session->Execute(hidden, ctx)));
}

INSTANTIATE_TEST_SUITE_P(Waits, StandbyTest, testing::Values("pg_cancel_backend", "pg_terminate_backend"),
                         [](const testing::TestParamInfo<const char*>& info) {
                           return std::string(info.param).substr(3) == "cancel_backend" ? "Cancelled" : "Terminated";
                         });

class StandbyDeadlineTest : public StandbyTest {};

TEST_P(StandbyDeadlineTest, ADeadlineDoesNotEndTheWait) {
  const std::unique_ptr<Session> session = Writer(1);
  StandbyNames("nobody");
  {
    const CallContext soon = Within(absl::Milliseconds(300));
    EXPECT_THAT(RunOn(loop_, session->Commit(kPlainCommit, soon)), HasReason(reason::kCommitOutcomeUnknown));
  }
  const absl::Time until = loop_.Now() + absl::Milliseconds(500);
  while (loop_.Now() < until) loop_.RunOnce(absl::Milliseconds(10));
  EXPECT_TRUE(Waits()) << "the commit goes on";
  EXPECT_EQ(Query("SELECT count(*) FROM t"), "0");
  StandbyNames("");
  EXPECT_TRUE(Eventually([this] { return Query("SELECT count(*) FROM t") == "1"; }));
  EXPECT_TRUE(Eventually([this] { return backend_->stats().sessions_leased == 0; }));
}

INSTANTIATE_TEST_SUITE_P(Waits, StandbyDeadlineTest, testing::Values("none"));

}  // namespace
}  // namespace quarry
