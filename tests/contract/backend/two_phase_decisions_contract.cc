// Branches, decisions and claimed requests, whatever keeps them.
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/backend/two_phase_contract.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

RequestGuard GuardOf(char last_digit, uint64_t hash) {
  RequestGuard guard;
  guard.request_id = std::string("00000000-0000-7000-8000-00000000000") + last_digit;
  guard.request_hash = hash;
  return guard;
}

TaskResult AnyReply() {
  TaskResult reply;
  StatementResult& statement = reply.steps.emplace_back().statements.emplace_back();
  statement.affected = 17;
  statement.batch.rows = {{Value::Int64(4), Value::Text("said")}};
  return reply;
}

void ExpectCommitted(const absl::StatusOr<BranchEnd>& end) {
  ASSERT_THAT(end, IsOk());
  EXPECT_EQ(*end, BranchEnd::kCommitted);
}

void ExpectAbsent(const absl::StatusOr<BranchEnd>& end) {
  ASSERT_THAT(end, IsOk());
  EXPECT_EQ(*end, BranchEnd::kAbsent);
}

TEST_P(TwoPhaseContract, AShardThatCanSaysSo) {
  const CallContext ctx = AnyCall();
  EXPECT_THAT(RunOn(loop(), two_phase().Check(ctx)), IsOk());
  EXPECT_THAT(RunOn(loop(), two_phase().Init(ctx)), IsOk()) << "a second time";
  EXPECT_THAT(RunOn(loop(), two_phase().Check(ctx)), IsOk());
}

TEST_P(TwoPhaseContract, ABranchIsListedUntilItEnds) {
  const GlobalTransaction transaction = TransactionOf(1);
  EXPECT_THAT(Branches(), IsEmpty());
  PrepareNote(transaction, 1);
  const std::vector<Branch> branches = Branches();
  ASSERT_EQ(branches.size(), 1U);
  EXPECT_EQ(branches[0].transaction.id, transaction.id);
  EXPECT_EQ(branches[0].transaction.home, transaction.home);
  EXPECT_GE(branches[0].age, absl::ZeroDuration());
  ExpectCommitted(Finish(transaction, Verdict::kCommit));
  EXPECT_THAT(Branches(), IsEmpty());
}

TEST_P(TwoPhaseContract, ACommittedBranchHasItsPartHoweverOftenItIsFinished) {
  const GlobalTransaction transaction = TransactionOf(1);
  PrepareNote(transaction, 1);
  EXPECT_THAT(Parts({transaction.id}), IsEmpty());
  ExpectCommitted(Finish(transaction, Verdict::kCommit));
  ExpectCommitted(Finish(transaction, Verdict::kCommit));
  ExpectCommitted(Finish(transaction, Verdict::kAbort));
  EXPECT_THAT(Parts({TransactionOf(2).id, transaction.id}), ElementsAre(transaction.id));
}

TEST_P(TwoPhaseContract, ARolledBackBranchHasNone) {
  const GlobalTransaction transaction = TransactionOf(1);
  PrepareNote(transaction, 1);
  ExpectAbsent(Finish(transaction, Verdict::kAbort));
  ExpectAbsent(Finish(transaction, Verdict::kAbort));
  ExpectAbsent(Finish(transaction, Verdict::kCommit));
  EXPECT_THAT(Parts({transaction.id}), IsEmpty());
  EXPECT_THAT(Branches(), IsEmpty());
}

TEST_P(TwoPhaseContract, WhatNeverWasIsAbsent) {
  ExpectAbsent(Finish(TransactionOf(1), Verdict::kCommit));
  ExpectAbsent(Finish(TransactionOf(1), Verdict::kAbort));
  EXPECT_FALSE(FindDecision(TransactionOf(1).id).has_value());
  EXPECT_THAT(Parts({}), IsEmpty());
}

TEST_P(TwoPhaseContract, AnAbortStandsAgainstALaterCommit) {
  ASSERT_OK_AND_ASSIGN(const Decision abort, DecideAbort(TransactionOf(1).id));
  EXPECT_EQ(abort.transaction_id, TransactionOf(1).id);
  EXPECT_EQ(abort.verdict, Verdict::kAbort);
  EXPECT_THAT(abort.participants, IsEmpty());
  const std::unique_ptr<Session> session = Writer(1);
  const absl::Status late = Commit(*session, Deciding(1));
  EXPECT_THAT(late, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(late, HasReason(reason::kTransactionEnded));
  const std::optional<Decision> stands = FindDecision(TransactionOf(1).id);
  ASSERT_TRUE(stands.has_value());
  EXPECT_EQ(stands->verdict, Verdict::kAbort);
}

TEST_P(TwoPhaseContract, ACommitStandsAgainstALaterAbort) {
  {
    const std::unique_ptr<Session> session = Writer(1);
    ASSERT_THAT(Commit(*session, Deciding(1)), IsOk());
  }
  for (int again = 0; again < 2; ++again) {
    ASSERT_OK_AND_ASSIGN(const Decision stands, DecideAbort(TransactionOf(1).id));
    EXPECT_EQ(stands.transaction_id, TransactionOf(1).id);
    EXPECT_EQ(stands.verdict, Verdict::kCommit);
    EXPECT_THAT(stands.participants, ElementsAre("s0", kTwoPhaseShard));
    EXPECT_FALSE(stands.finished);
    EXPECT_GE(stands.age, absl::ZeroDuration());
  }
}

TEST_P(TwoPhaseContract, AnAbortIsDecidedOnce) {
  ASSERT_OK_AND_ASSIGN(const Decision first, DecideAbort(TransactionOf(1).id));
  ASSERT_OK_AND_ASSIGN(const Decision second, DecideAbort(TransactionOf(1).id));
  EXPECT_EQ(first.verdict, Verdict::kAbort);
  EXPECT_EQ(second.verdict, Verdict::kAbort);
  EXPECT_THAT(DecisionIds({}), ElementsAre(TransactionOf(1).id));
}

TEST_P(TwoPhaseContract, DecisionsAreListedOldestFirstAndForgottenWhenToldTo) {
  const std::string first = TransactionOf(1).id;
  const std::string second = TransactionOf(2).id;
  const std::string third = TransactionOf(3).id;
  for (const std::string& id : {first, second, third}) ASSERT_THAT(DecideAbort(id), IsOk());
  DecisionFilter two;
  two.count_max = 2;
  EXPECT_THAT(DecisionIds(two), ElementsAre(first, second));
  two.newest_first = true;
  EXPECT_THAT(DecisionIds(two), ElementsAre(third, second));
  DecisionFilter old;
  old.age_min = absl::Hours(1);
  EXPECT_THAT(DecisionIds(old), IsEmpty());
  const CallContext ctx = AnyCall();
  const std::vector<std::string> done = {first, third, TransactionOf(4).id};
  ASSERT_THAT(RunOn(loop(), two_phase().MarkFinished(done, ctx)), IsOk());
  ASSERT_THAT(RunOn(loop(), two_phase().MarkFinished(done, ctx)), IsOk()) << "a second time";
  DecisionFilter unfinished;
  unfinished.unfinished_only = true;
  EXPECT_THAT(DecisionIds(unfinished), ElementsAre(second));
  EXPECT_THAT(DecisionIds({}), ElementsAre(first, second, third));
  EXPECT_TRUE(FindDecision(first)->finished);
  EXPECT_FALSE(FindDecision(second)->finished);
  const std::vector<std::string> gone = {first, second};
  ASSERT_THAT(RunOn(loop(), two_phase().ForgetDecisions(gone, ctx)), IsOk());
  EXPECT_THAT(DecisionIds({}), ElementsAre(third));
}

TEST_P(TwoPhaseContract, PartsAreForgottenWhenToldTo) {
  const std::vector<std::string> ids = {TransactionOf(1).id, TransactionOf(2).id};
  for (int number = 1; number <= 2; ++number) {
    PrepareNote(TransactionOf(number), number);
    ExpectCommitted(Finish(TransactionOf(number), Verdict::kCommit));
  }
  const CallContext ctx = AnyCall();
  const std::vector<std::string> first = {ids[0]};
  ASSERT_THAT(RunOn(loop(), two_phase().ForgetParts(first, ctx)), IsOk());
  ASSERT_THAT(RunOn(loop(), two_phase().ForgetParts(first, ctx)), IsOk()) << "a second time";
  EXPECT_THAT(Parts(ids), ElementsAre(ids[1]));
}

TEST_P(TwoPhaseContract, AClaimedRequestIsAnsweredFromWhatItsCommitStored) {
  const RequestGuard guard = GuardOf('1', 0xFFFFFFFFFFFFFFFFULL);
  const TaskResult reply = AnyReply();
  {
    const std::unique_ptr<Session> session = Lease();
    ASSERT_OK_AND_ASSIGN(const std::optional<TaskResult> first, Claim(*session, guard));
    EXPECT_FALSE(first.has_value());
    ASSERT_THAT(Execute(*session, InsertNote(1)), IsOk());
    CommitOptions options = Deciding(1);
    options.guard = guard;
    options.reply = &reply;
    ASSERT_THAT(Commit(*session, options), IsOk());
  }
  const std::unique_ptr<Session> session = Lease();
  ASSERT_OK_AND_ASSIGN(const std::optional<TaskResult> again, Claim(*session, guard));
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(again->replayed);
  ASSERT_EQ(again->steps.size(), 1U);
  EXPECT_EQ(again->steps[0].statements.at(0).affected, 17);
  EXPECT_EQ(again->steps[0].statements[0].batch.rows, reply.steps[0].statements[0].batch.rows);
}

TEST_P(TwoPhaseContract, AnIdOfAnotherRequestIsRefused) {
  const TaskResult reply = AnyReply();
  {
    const std::unique_ptr<Session> session = Lease();
    ASSERT_THAT(Claim(*session, GuardOf('1', 1)), IsOk());
    CommitOptions options;
    options.guard = GuardOf('1', 1);
    options.reply = &reply;
    ASSERT_THAT(Commit(*session, options), IsOk());
  }
  const std::unique_ptr<Session> session = Lease();
  const absl::Status reused = Claim(*session, GuardOf('1', 2)).status();
  EXPECT_THAT(reused, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(reused, HasReason(reason::kRequestIdReused));
}

}  // namespace
}  // namespace quarry
