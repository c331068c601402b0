// What prepared branches do to rows, and the gate.
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/contract/backend/two_phase_contract.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Task TaskOf(std::vector<Statement> statements) {
  Task task;
  for (Statement& statement : statements) {
    Step& step = task.steps.emplace_back();
    step.item = task.steps.size() - 1;
    step.statements.push_back(std::move(statement));
  }
  return task;
}

SessionOptions WithoutUndo() {
  SessionOptions options;
  options.undo_steps = false;
  return options;
}

TEST_P(TwoPhaseRowsContract, ABranchIsNotVisibleBeforeItIsCommitted) {
  PrepareNote(TransactionOf(1), 1);
  EXPECT_EQ(Notes(), 0);
  ASSERT_THAT(Finish(TransactionOf(1), Verdict::kCommit), IsOk());
  EXPECT_EQ(Notes(), 1);
}

TEST_P(TwoPhaseRowsContract, ARolledBackBranchLeavesNoRow) {
  PrepareNote(TransactionOf(1), 1);
  ASSERT_THAT(Finish(TransactionOf(1), Verdict::kAbort), IsOk());
  EXPECT_EQ(Notes(), 0);
  EXPECT_THAT(ExecuteAlone(InsertNote(1)), IsOk());
}

TEST_P(TwoPhaseRowsContract, ASessionIsOverOnceItIsPrepared) {
  const std::unique_ptr<Session> session = Writer(1);
  ASSERT_THAT(Prepare(*session, TransactionOf(1)), IsOk());
  EXPECT_THAT(Execute(*session, InsertNote(2)), HasReason(reason::kTransactionEnded));
  ASSERT_THAT(Finish(TransactionOf(1), Verdict::kCommit), IsOk());
  EXPECT_EQ(Notes(), 1);
}

TEST_P(TwoPhaseRowsContract, ABranchKeepsWhatItHasWrittenFromOthers) {
  ASSERT_THAT(ExecuteAlone(InsertNote(1)), IsOk());
  {
    const std::unique_ptr<Session> session = Lease();
    ASSERT_THAT(Execute(*session, Sql("UPDATE note SET body = 'y' WHERE id = 1", true)), IsOk());
    ASSERT_THAT(Prepare(*session, TransactionOf(1)), IsOk());
  }
  const Statement other = Sql("UPDATE note SET body = 'z' WHERE id = 1", true);
  EXPECT_FALSE(ExecuteAlone(other, absl::Milliseconds(300)).ok());
  ASSERT_THAT(Finish(TransactionOf(1), Verdict::kCommit), IsOk());
  EXPECT_THAT(ExecuteAlone(other), IsOk());
}

TEST_P(TwoPhaseRowsContract, AConstraintThatFailsAtThePrepareLeavesNothing) {
  const Statement orphan = Sql("INSERT INTO child(id, parent_id) VALUES (1, 99)", true);
  for (const bool in_one_call : {false, true}) {
    SCOPED_TRACE(in_one_call);
    absl::Status refused;
    {
      const std::unique_ptr<Session> session = Lease(WithoutUndo());
      ASSERT_THAT(Execute(*session, InsertNote(1)), IsOk());
      if (in_one_call) {
        refused = RunAndPrepare(*session, TaskOf({orphan}), TransactionOf(1)).status;
      } else {
        ASSERT_THAT(Execute(*session, orphan), IsOk());
        refused = Prepare(*session, TransactionOf(1));
      }
    }
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(refused, HasReason(reason::kConstraintViolation));
    EXPECT_THAT(Branches(), IsEmpty());
    EXPECT_EQ(Notes(), 0);
    ASSERT_OK_AND_ASSIGN(const BranchEnd end, Finish(TransactionOf(1), Verdict::kCommit));
    EXPECT_EQ(end, BranchEnd::kAbsent);
  }
  EXPECT_THAT(ExecuteAlone(InsertNote(1)), IsOk());
}

TEST_P(TwoPhaseRowsContract, ATaskIsRunAndPreparedInOneCall) {
  Statement reads = Sql("SELECT id FROM note ORDER BY id", false);
  for (const bool undo_steps : {true, false}) {
    const int round = undo_steps ? 1 : 2;
    SessionOptions options;
    options.undo_steps = undo_steps;
    const std::unique_ptr<Session> session = Lease(options);
    const PreparedTask done = RunAndPrepare(*session, TaskOf({InsertNote(10 * round), InsertNote(10 * round + 1), reads}),
                                            TransactionOf(round));
    ASSERT_THAT(done.status, IsOk());
    ASSERT_THAT(done.result, IsOk());
    EXPECT_EQ(done.result->steps.at(0).statements.at(0).affected, 1);
    EXPECT_EQ(done.result->steps.at(2).statements.at(0).batch.rows.size(), 2u * static_cast<size_t>(round));
    EXPECT_THAT(Execute(*session, InsertNote(99)), HasReason(reason::kTransactionEnded));
    EXPECT_EQ(Branches().size(), 1u);
    ASSERT_OK_AND_ASSIGN(const BranchEnd end, Finish(TransactionOf(round), Verdict::kCommit));
    EXPECT_EQ(end, BranchEnd::kCommitted);
    EXPECT_EQ(Notes(), 2 * round);
  }
}

TEST_P(TwoPhaseRowsContract, WhatWasRunBeforeIsInTheBranchOfTheTask) {
  const std::unique_ptr<Session> session = Lease(WithoutUndo());
  ASSERT_THAT(Execute(*session, InsertNote(1)), IsOk());
  const PreparedTask done = RunAndPrepare(*session, TaskOf({InsertNote(2)}), TransactionOf(1));
  ASSERT_THAT(done.status, IsOk());
  ASSERT_THAT(Finish(TransactionOf(1), Verdict::kCommit), IsOk());
  EXPECT_EQ(Notes(), 2);
}

TEST_P(TwoPhaseRowsContract, AStepOfATaskThatFailsLeavesNothing) {
  ASSERT_THAT(ExecuteAlone(InsertNote(1)), IsOk());
  {
    const std::unique_ptr<Session> session = Lease(WithoutUndo());
    const PreparedTask done =
        RunAndPrepare(*session, TaskOf({InsertNote(2), InsertNote(1), InsertNote(3)}), TransactionOf(1));
    EXPECT_THAT(done.status, StatusIs(absl::StatusCode::kAlreadyExists));
    EXPECT_EQ(DetailOf(done.status).facts["item"], "1");
  }
  EXPECT_THAT(Branches(), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const BranchEnd end, Finish(TransactionOf(1), Verdict::kCommit));
  EXPECT_EQ(end, BranchEnd::kAbsent);
  EXPECT_EQ(Notes(), 1);
  EXPECT_THAT(ExecuteAlone(InsertNote(2)), IsOk());
}

// A backend that runs all in one round trip learns of it when the branch is there.
TEST_P(TwoPhaseRowsContract, AStepOfATaskThatFindsNoRowIsNoSuccess) {
  Statement update = Sql("UPDATE note SET body = 'y' WHERE id = 7", true);
  update.check.kind = Check::Kind::kRowRequired;
  bool prepared = false;
  {
    const std::unique_ptr<Session> session = Lease(WithoutUndo());
    const PreparedTask done = RunAndPrepare(*session, TaskOf({InsertNote(1), update}), TransactionOf(1));
    prepared = done.status.ok();
    const absl::Status failed = prepared ? done.result.status() : done.status;
    EXPECT_THAT(failed, StatusIs(absl::StatusCode::kNotFound));
    EXPECT_EQ(DetailOf(failed).facts["item"], "1");
  }
  EXPECT_EQ(Branches().size(), prepared ? 1u : 0u);
  ASSERT_OK_AND_ASSIGN(const BranchEnd end, Finish(TransactionOf(1), Verdict::kAbort));
  EXPECT_EQ(end, BranchEnd::kAbsent);
  EXPECT_EQ(Notes(), 0);
  EXPECT_THAT(ExecuteAlone(InsertNote(1)), IsOk());
}

TEST_P(TwoPhaseRowsContract, ATaskThatWaitsForARowEndsWithItsDeadlineAndLeavesNothing) {
  ASSERT_THAT(ExecuteAlone(InsertNote(1)), IsOk());
  const Statement update = Sql("UPDATE note SET body = 'y' WHERE id = 1", true);
  const std::unique_ptr<Session> holder = Lease();
  ASSERT_THAT(Execute(*holder, update), IsOk());
  {
    const std::unique_ptr<Session> session = Lease(WithoutUndo());
    const PreparedTask done = RunAndPrepare(*session, TaskOf({update}), TransactionOf(1), absl::Seconds(2));
    EXPECT_FALSE(done.status.ok());
    EXPECT_FALSE(absl::IsUnknown(done.status)) << done.status;
  }
  ASSERT_THAT(Commit(*holder, kPlainCommit), IsOk());
  LetPass(absl::Milliseconds(200));
  EXPECT_THAT(Branches(), IsEmpty());
  EXPECT_THAT(ExecuteAlone(update), IsOk());
}

TEST_P(TwoPhaseRowsContract, OnlyWhatWritesHasWritten) {
  SessionOptions read_only;
  read_only.read_only = true;
  {
    const std::unique_ptr<Session> reader = Lease(read_only);
    EXPECT_FALSE(reader->wrote());
    ASSERT_THAT(Execute(*reader, Sql("SELECT count(*) FROM note", false)), IsOk());
    EXPECT_FALSE(reader->wrote());
  }
  const std::unique_ptr<Session> session = Lease();
  ASSERT_THAT(Execute(*session, Sql("SELECT count(*) FROM note", false)), IsOk());
  EXPECT_FALSE(session->wrote());
  ASSERT_THAT(Execute(*session, InsertNote(1)), IsOk());
  EXPECT_TRUE(session->wrote());
}

TEST_P(TwoPhaseRowsContract, ARawStatementThatWritesHasWritten) {
  const std::unique_ptr<Session> session = Lease();
  Statement hidden = InsertNote(1);
  hidden.raw = true;
  hidden.writes = false;
  ASSERT_THAT(Execute(*session, hidden), IsOk());
  EXPECT_TRUE(session->wrote());
}

TEST_P(TwoPhaseRowsContract, ADroppedPrepareGoesOn) {
  const CallContext ctx = AnyCall();
  const GlobalTransaction transaction = TransactionOf(1);
  {
    const std::unique_ptr<Session> session = Writer(1);
    const Running call(session->Prepare(transaction, ctx), [](const absl::Status&) {});
  }
  EXPECT_TRUE(Eventually([this] { return Branches().size() == 1; }));
  ASSERT_OK_AND_ASSIGN(const BranchEnd end, Finish(TransactionOf(1), Verdict::kCommit));
  EXPECT_EQ(end, BranchEnd::kCommitted);
  EXPECT_EQ(Notes(), 1);
}

TEST_P(TwoPhaseRowsContract, BranchesAndDecisionsOutliveTheDatabasesCrash) {
  {
    const std::unique_ptr<Session> session = Writer(7);
    ASSERT_THAT(Commit(*session, Deciding(7)), IsOk());
  }
  PrepareNote(TransactionOf(1), 1);
  ASSERT_THAT(fixture().Restart(), IsOk());
  const std::vector<Branch> branches = Branches();
  ASSERT_EQ(branches.size(), 1U);
  EXPECT_EQ(branches[0].transaction.id, TransactionOf(1).id);
  EXPECT_EQ(branches[0].transaction.home, TransactionOf(1).home);
  EXPECT_EQ(Notes(), 1);
  ASSERT_TRUE(FindDecision(TransactionOf(7).id).has_value());
  EXPECT_EQ(FindDecision(TransactionOf(7).id)->verdict, Verdict::kCommit);
  ASSERT_OK_AND_ASSIGN(const BranchEnd end, Finish(TransactionOf(1), Verdict::kCommit));
  EXPECT_EQ(end, BranchEnd::kCommitted);
  EXPECT_EQ(Notes(), 2);
  EXPECT_THAT(Parts({TransactionOf(1).id}), ElementsAre(TransactionOf(1).id));
  EXPECT_THAT(ExecuteAlone(InsertNote(3)), IsOk());
}

TEST_P(TwoPhaseRowsContract, ABranchThatIsRolledBackAfterACrashLeavesNoRow) {
  PrepareNote(TransactionOf(1), 1);
  ASSERT_THAT(fixture().Restart(), IsOk());
  ASSERT_OK_AND_ASSIGN(const BranchEnd end, Finish(TransactionOf(1), Verdict::kAbort));
  EXPECT_EQ(end, BranchEnd::kAbsent);
  EXPECT_EQ(Notes(), 0);
  EXPECT_THAT(Branches(), IsEmpty());
  EXPECT_THAT(ExecuteAlone(InsertNote(1)), IsOk());
}

TEST_P(TwoPhaseRowsContract, OtherDeploymentsBranchesAreLeftAlone) {
  if (fixture().stranger() == nullptr) return;
  PrepareNote(TransactionOf(1), 1);
  TwoPhase& stranger = fixture().stranger()->two_phase();
  const CallContext ctx = AnyCall();
  ASSERT_OK_AND_ASSIGN(const std::vector<Branch> seen, RunOn(loop(), stranger.ListBranches(ctx)));
  EXPECT_THAT(seen, IsEmpty());
  const GlobalTransaction transaction = TransactionOf(1);
  ASSERT_OK_AND_ASSIGN(const BranchEnd end, RunOn(loop(), stranger.Finish(transaction, Verdict::kAbort, ctx)));
  EXPECT_EQ(end, BranchEnd::kAbsent);
  EXPECT_EQ(Branches().size(), 1U);
  ASSERT_THAT(Finish(transaction, Verdict::kCommit), IsOk());
  EXPECT_EQ(Notes(), 1);
}

TEST_P(TwoPhaseRowsContract, TheDecisionAndTheRowsAreOneCommit) {
  {
    const std::unique_ptr<Session> session = Writer(1);
    EXPECT_FALSE(FindDecision(TransactionOf(1).id).has_value());
    ASSERT_THAT(Commit(*session, Deciding(1)), IsOk());
  }
  EXPECT_EQ(Notes(), 1);
  EXPECT_TRUE(FindDecision(TransactionOf(1).id).has_value());
  ASSERT_THAT(DecideAbort(TransactionOf(2).id), IsOk());
  const RequestGuard guard = {"00000000-0000-7000-8000-000000000001", 5};
  const TaskResult reply;
  {
    const std::unique_ptr<Session> session = Lease();
    ASSERT_THAT(Claim(*session, guard), IsOk());
    ASSERT_THAT(Execute(*session, InsertNote(2)), IsOk());
    CommitOptions options = Deciding(2);
    options.guard = guard;
    options.reply = &reply;
    EXPECT_THAT(Commit(*session, options), HasReason(reason::kTransactionEnded));
  }
  EXPECT_EQ(Notes(), 1);
  const std::unique_ptr<Session> session = Lease();
  ASSERT_OK_AND_ASSIGN(const std::optional<TaskResult> claimed, Claim(*session, guard));
  EXPECT_FALSE(claimed.has_value()) << "the request of a commit that lost is free";
}

TEST_P(TwoPhaseRowsContract, ACommitAndAnAbortAtTheSameTimeAgree) {
  int64_t committed = 0;
  for (int number = 1; number <= 30; ++number) {
    const std::unique_ptr<Session> session = Writer(number);
    const CommitOptions options = Deciding(number);
    const std::string id = TransactionOf(number).id;
    const CallContext ctx = AnyCall();
    std::optional<absl::Status> commit;
    std::optional<absl::StatusOr<Decision>> abort;
    const auto on_commit = [&commit](absl::Status status) { commit = std::move(status); };
    const auto on_abort = [&abort](absl::StatusOr<Decision> decision) { abort = std::move(decision); };
    std::vector<Running> both;
    // The one that starts last wins now and then as well.
    if (number % 2 == 0) both.emplace_back(two_phase().DecideAbort(id, ctx), on_abort);
    if (number % 3 == 0) LetPass(absl::Microseconds(300 * (number % 5)));
    both.emplace_back(session->Commit(options, ctx), on_commit);
    if (number % 2 == 1) both.emplace_back(two_phase().DecideAbort(id, ctx), on_abort);
    ASSERT_TRUE(Eventually([&] { return commit.has_value() && abort.has_value(); })) << number;
    ASSERT_THAT(*abort, IsOk());
    if (commit->ok()) {
      ++committed;
      EXPECT_EQ((*abort)->verdict, Verdict::kCommit) << number;
    } else {
      EXPECT_THAT(*commit, HasReason(reason::kTransactionEnded));
      EXPECT_EQ((*abort)->verdict, Verdict::kAbort) << number;
    }
  }
  EXPECT_EQ(Notes(), committed);
}

TEST_P(TwoPhaseRowsContract, AClaimWaitsForTheOneThatHasIt) {
  const RequestGuard guard = {"00000000-0000-7000-8000-000000000002", 9};
  const TaskResult reply;
  for (const bool commits : {false, true}) {
    std::unique_ptr<Session> holder = Lease();
    ASSERT_OK_AND_ASSIGN(const std::optional<TaskResult> first, Claim(*holder, guard));
    ASSERT_FALSE(first.has_value());
    const CallContext ctx = AnyCall();
    using Claimed = absl::StatusOr<std::optional<TaskResult>>;
    std::optional<Claimed> second;
    const auto claim = [](Backend* backend, const RequestGuard* wanted, const CallContext* call) -> Async<Claimed> {
      const SessionOptions options;
      absl::StatusOr<std::unique_ptr<Session>> session = co_await backend->Lease(options, *call);
      if (!session.ok()) co_return session.status();
      Claimed claimed = co_await (*session)->Claim(*wanted, *call);
      co_return claimed;
    };
    const Running waiting(claim(&backend(), &guard, &ctx), [&second](Claimed claimed) { second = std::move(claimed); });
    LetPass(absl::Milliseconds(100));
    EXPECT_FALSE(second.has_value());
    if (commits) {
      CommitOptions options;
      options.guard = guard;
      options.reply = &reply;
      ASSERT_THAT(Commit(*holder, options), IsOk());
    } else {
      holder.reset();
    }
    ASSERT_TRUE(Eventually([&second] { return second.has_value(); }));
    ASSERT_THAT(*second, IsOk());
    EXPECT_EQ((*second)->has_value(), commits);
  }
}

TEST_P(TwoPhaseRowsContract, ABranchKeepsTheGateOpen) {
  PrepareNote(TransactionOf(1), 1);
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<GateHold> hold, CloseGate(GateWait::kTry));
    EXPECT_EQ(hold, nullptr);
  }
  const absl::Status in_doubt = CloseGate(GateWait::kWait, absl::Seconds(2)).status();
  EXPECT_THAT(in_doubt, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(in_doubt, HasReason(reason::kTransactionInDoubt));
  EXPECT_THAT(std::string(in_doubt.message()), HasSubstr(TransactionOf(1).id));
  ASSERT_THAT(Finish(TransactionOf(1), Verdict::kCommit), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<GateHold> hold, CloseGate(GateWait::kWait));
  ASSERT_NE(hold, nullptr);
  ASSERT_OK_AND_ASSIGN(const bool held, Release(*hold));
  EXPECT_TRUE(held);
}

TEST_P(TwoPhaseRowsContract, ABranchWaitsAtAClosedGate) {
  for (const bool dropped : {false, true}) {
    const int number = dropped ? 2 : 1;
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<GateHold> hold, CloseGate(GateWait::kTry));
    ASSERT_NE(hold, nullptr);
    const std::unique_ptr<Session> session = Writer(number);
    const GlobalTransaction transaction = TransactionOf(number);
    const CallContext ctx = AnyCall();
    std::optional<absl::Status> prepared;
    const Running call(session->Prepare(transaction, ctx), [&prepared](absl::Status status) { prepared = std::move(status); });
    LetPass(absl::Milliseconds(100));
    EXPECT_FALSE(prepared.has_value());
    EXPECT_THAT(Branches(), IsEmpty());
    if (dropped) {
      hold.reset();
    } else {
      ASSERT_OK_AND_ASSIGN(const bool held, Release(*hold));
      EXPECT_TRUE(held);
    }
    ASSERT_TRUE(Eventually([&prepared] { return prepared.has_value(); }));
    ASSERT_THAT(*prepared, IsOk());
    ASSERT_THAT(Finish(transaction, Verdict::kCommit), IsOk());
  }
  EXPECT_EQ(Notes(), 2);
}

TEST_P(TwoPhaseRowsContract, ATaskWaitsAtAClosedGate) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<GateHold> hold, CloseGate(GateWait::kTry));
  ASSERT_NE(hold, nullptr);
  const std::unique_ptr<Session> session = Lease(WithoutUndo());
  const GlobalTransaction transaction = TransactionOf(1);
  const Task task = TaskOf({InsertNote(1)});
  const CallContext ctx = AnyCall();
  std::optional<PreparedTask> done;
  const Running call(session->RunAndPrepare(task, transaction, ctx), [&done](PreparedTask told) { done = std::move(told); });
  LetPass(absl::Milliseconds(200));
  EXPECT_FALSE(done.has_value());
  EXPECT_THAT(Branches(), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const bool held, Release(*hold));
  EXPECT_TRUE(held);
  ASSERT_TRUE(Eventually([&done] { return done.has_value(); }));
  ASSERT_THAT(done->status, IsOk());
  ASSERT_THAT(Finish(transaction, Verdict::kCommit), IsOk());
  EXPECT_EQ(Notes(), 1);
}

TEST_P(TwoPhaseRowsContract, AClosedGateLastsNoLongerThanThePreparesDeadline) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<GateHold> hold, CloseGate(GateWait::kTry));
  ASSERT_NE(hold, nullptr);
  {
    const std::unique_ptr<Session> session = Writer(1);
    EXPECT_FALSE(Prepare(*session, TransactionOf(1), absl::Milliseconds(300)).ok());
  }
  // Whatever it was told: once it has been ended as an abort, nothing may come after.
  ASSERT_THAT(Release(*hold), IsOk());
  ASSERT_TRUE(Eventually([this] {
    Finish(TransactionOf(1), Verdict::kAbort).IgnoreError();
    return ExecuteAlone(InsertNote(1), absl::Seconds(2)).ok();
  }));
  EXPECT_THAT(Branches(), IsEmpty());
  EXPECT_EQ(Notes(), 1);
}

TEST_P(TwoPhaseRowsContract, OnlyCommitsThatPassTheGateWaitAtIt) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<GateHold> hold, CloseGate(GateWait::kTry));
  ASSERT_NE(hold, nullptr);
  ASSERT_THAT(ExecuteAlone(InsertNote(1)), IsOk());
  {
    const std::unique_ptr<Session> plain = Writer(2);
    ASSERT_THAT(Commit(*plain), IsOk());
  }
  const std::unique_ptr<Session> session = Writer(3);
  CommitOptions options;
  options.pass_gate = true;
  const CallContext ctx = AnyCall();
  std::optional<absl::Status> committed;
  const Running call(session->Commit(options, ctx), [&committed](absl::Status status) { committed = std::move(status); });
  LetPass(absl::Milliseconds(100));
  EXPECT_FALSE(committed.has_value());
  EXPECT_EQ(Notes(), 2);
  ASSERT_THAT(Release(*hold), IsOk());
  ASSERT_TRUE(Eventually([&committed] { return committed.has_value(); }));
  EXPECT_THAT(*committed, IsOk());
  EXPECT_EQ(Notes(), 3);
}

TEST_P(TwoPhaseRowsContract, APassedGateStaysPassedUntilTheTransactionEnds) {
  for (const bool commits : {true, false}) {
    std::unique_ptr<Session> session = Writer(commits ? 1 : 2);
    const CallContext ctx = AnyCall();
    ASSERT_THAT(RunOn(loop(), session->PassGate(ctx)), IsOk());
    {
      ASSERT_OK_AND_ASSIGN(const std::unique_ptr<GateHold> hold, CloseGate(GateWait::kTry));
      EXPECT_EQ(hold, nullptr);
    }
    if (commits) {
      ASSERT_THAT(Commit(*session, Deciding(1)), IsOk());
    }
    session.reset();
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<GateHold> hold, CloseGate(GateWait::kWait));
    EXPECT_NE(hold, nullptr);
  }
  EXPECT_EQ(Notes(), 1);
}

TEST_P(TwoPhaseRowsContract, OneClosesTheGateAtATime) {
  std::unique_ptr<GateHold> first;
  {
    ASSERT_OK_AND_ASSIGN(first, CloseGate(GateWait::kTry));
    ASSERT_NE(first, nullptr);
  }
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<GateHold> second, CloseGate(GateWait::kTry));
  EXPECT_EQ(second, nullptr);
  ASSERT_THAT(Release(*first), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<GateHold> third, CloseGate(GateWait::kWait));
  EXPECT_NE(third, nullptr);
}

TEST_P(TwoPhaseRowsContract, IdsThatAreNoneDoNoHarm) {
  ASSERT_THAT(ExecuteAlone(InsertNote(1)), IsOk());
  const std::vector<std::string> odd = {"", "x'; DROP TABLE note; --", "a:b:c", "%", "\\", "{a,b}", "\"", "é\x01",
                                        std::string(5'000, 'x')};
  for (const std::string& id : odd) {
    EXPECT_FALSE(FindDecision(id).has_value()) << id;
    EXPECT_THAT(Parts({id, "'"}), IsEmpty()) << id;
    const absl::StatusOr<BranchEnd> end = Finish({id, "s'9"}, Verdict::kAbort);
    EXPECT_TRUE(end.ok() ? *end == BranchEnd::kAbsent : absl::IsInvalidArgument(end.status())) << id;
  }
  const CallContext ctx = AnyCall();
  EXPECT_THAT(RunOn(loop(), two_phase().MarkFinished(odd, ctx)), IsOk());
  EXPECT_THAT(RunOn(loop(), two_phase().ForgetParts(odd, ctx)), IsOk());
  EXPECT_THAT(RunOn(loop(), two_phase().ForgetDecisions(odd, ctx)), IsOk());
  EXPECT_EQ(Notes(), 1);
}

}  // namespace
}  // namespace quarry
