#include "core/txn/coordinator.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Result = CommitEvent::Result;

const absl::Status kBroken = MakeError(absl::StatusCode::kAborted, reason::kSerializationFailure, "serialization");
const absl::Status kDark = MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown, "connection lost");

std::string Text(const CommitAction& action) {
  static const char* const kNames[] = {"gate",  "prepare", "decide", "reader", "rollback",
                                       "settle", "finish",  "answer", "end"};
  std::string text = kNames[static_cast<size_t>(action.kind)];
  if (action.kind == CommitAction::Kind::kAnswer) {
    static const char* const kOutcomes[] = {"rolled back", "committed", "committed unfinished", "in doubt"};
    return absl::StrCat(text, " ", kOutcomes[static_cast<size_t>(action.outcome)]);
  }
  if (action.kind == CommitAction::Kind::kEnd) return text;
  absl::StrAppend(&text, " ", Index(action.shard));
  if (action.kind == CommitAction::Kind::kFinish) absl::StrAppend(&text, action.verdict == Verdict::kCommit ? " commit" : " abort");
  if (action.after != absl::ZeroDuration()) absl::StrAppend(&text, " after ", absl::FormatDuration(action.after));
  return text;
}

std::vector<std::string> Texts(const std::vector<CommitAction>& actions) {
  std::vector<std::string> texts;
  for (const CommitAction& action : actions) texts.push_back(Text(action));
  return texts;
}

// "w" and "r" by shard from 0.
Coordinator Of(const std::string& roles) {
  std::vector<Participant> participants;
  for (size_t i = 0; i < roles.size(); ++i) participants.push_back({ShardId{static_cast<uint32_t>(i)}, roles[i] == 'w'});
  return Coordinator(participants);
}

std::vector<std::string> Tell(Coordinator& commit, CommitEvent::Kind kind, uint32_t shard, Result result = Result::kOk) {
  CommitEvent event{.kind = kind, .shard = ShardId{shard}, .result = result};
  if (result == Result::kFailed || result == Result::kRefused) event.status = kBroken;
  if (result == Result::kUnknown) event.status = kDark;
  if (kind == CommitEvent::Kind::kFinished) event.end = BranchEnd::kCommitted;
  return Texts(commit.On(event));
}

std::vector<std::string> TellFinished(Coordinator& commit, uint32_t shard, BranchEnd end) {
  CommitEvent event{.kind = CommitEvent::Kind::kFinished, .shard = ShardId{shard}};
  event.end = end;
  return Texts(commit.On(event));
}

std::vector<std::string> TellSettled(Coordinator& commit, uint32_t shard, Verdict verdict) {
  CommitEvent event{.kind = CommitEvent::Kind::kSettled, .shard = ShardId{shard}};
  event.verdict = verdict;
  return Texts(commit.On(event));
}

TEST(CoordinatorTest, TheLowestWriterIsHome) {
  EXPECT_EQ(Of("wwr").home(), ShardId{0});
  EXPECT_EQ(Of("rww").home(), ShardId{1});
  EXPECT_EQ(Coordinator::HomeOf({{ShardId{4}, true}, {ShardId{7}, true}, {ShardId{9}, false}}), ShardId{4});
}

TEST(CoordinatorTest, TwoWritersPrepareAtOnceAndAnswerWhenBothAreVisible) {
  Coordinator commit = Of("ww");
  EXPECT_THAT(Texts(commit.Start()), ElementsAre("prepare 1"));
  EXPECT_EQ(commit.outcome(), CommitOutcome::kInDoubt);
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 1), ElementsAre("decide 0"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kDecided, 0), ElementsAre("finish 1 commit"));
  EXPECT_EQ(commit.outcome(), CommitOutcome::kCommittedUnfinished);
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 1), ElementsAre("answer committed", "end"));
  EXPECT_EQ(commit.outcome(), CommitOutcome::kCommitted);
  EXPECT_FALSE(commit.contradicted());
}

TEST(CoordinatorTest, GatesArePassedOneAfterTheOtherDescendingAndTheLastTwoWithTheirWork) {
  Coordinator commit = Of("wwrww");
  EXPECT_THAT(Texts(commit.Start()), ElementsAre("gate 4"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kGatePassed, 4), ElementsAre("gate 3"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kGatePassed, 3), ElementsAre("prepare 1", "prepare 3", "prepare 4"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 1), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 4), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 3), ElementsAre("reader 2"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kReaderCommitted, 2), ElementsAre("decide 0"));
}

TEST(CoordinatorTest, AGateThatStaysClosedRollsAllBackWithItsCause) {
  for (const Result result : {Result::kFailed, Result::kUnknown}) {
    Coordinator commit = Of("www");
    commit.Start();
    EXPECT_THAT(Tell(commit, CommitEvent::Kind::kGatePassed, 2, result),
                ElementsAre("rollback 0", "rollback 1", "rollback 2", "answer rolled back", "end"));
  }
}

TEST(CoordinatorTest, APrepareThatFailsRollsBackWhatIsPreparedAndWaitsForWhatIsUnderWay) {
  Coordinator commit = Of("wwwrw");
  commit.Start();
  Tell(commit, CommitEvent::Kind::kGatePassed, 4);
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kGatePassed, 2), ElementsAre("prepare 1", "prepare 2", "prepare 4"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 2), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 4, Result::kFailed),
              ElementsAre("rollback 0", "finish 2 abort", "rollback 3", "rollback 4"));
  EXPECT_EQ(commit.outcome(), CommitOutcome::kRolledBack);
  EXPECT_THAT(TellFinished(commit, 2, BranchEnd::kAbsent), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 1), ElementsAre("finish 1 abort"));
  const std::vector<CommitAction> last = [&] {
    CommitEvent event{.kind = CommitEvent::Kind::kFinished, .shard = ShardId{1}};
    event.end = BranchEnd::kAbsent;
    return commit.On(event);
  }();
  EXPECT_THAT(Texts(last), ElementsAre("answer rolled back", "end"));
  EXPECT_THAT(last[0].cause, HasReason(reason::kSerializationFailure));
  EXPECT_FALSE(commit.contradicted());
}

TEST(CoordinatorTest, ABranchThatMustNotBeCommittedIsRolledBackWithItsCause) {
  Coordinator commit = Of("ww");
  commit.Start();
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 1, Result::kRefused), ElementsAre("rollback 0", "finish 1 abort"));
  CommitEvent event{.kind = CommitEvent::Kind::kFinished, .shard = ShardId{1}};
  event.end = BranchEnd::kAbsent;
  const std::vector<CommitAction> last = commit.On(event);
  ASSERT_THAT(Texts(last), ElementsAre("answer rolled back", "end"));
  EXPECT_THAT(last[0].cause, HasReason(reason::kSerializationFailure));
}

TEST(CoordinatorTest, APrepareInTheDarkIsRolledBackByNameAndReportedAsCertain) {
  Coordinator commit = Of("ww");
  commit.Start();
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 1, Result::kUnknown), ElementsAre("rollback 0", "finish 1 abort"));
  CommitEvent event{.kind = CommitEvent::Kind::kFinished, .shard = ShardId{1}};
  event.end = BranchEnd::kAbsent;
  const std::vector<CommitAction> last = commit.On(event);
  ASSERT_THAT(Texts(last), ElementsAre("answer rolled back", "end"));
  EXPECT_THAT(last[0].cause, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(last[0].cause.message()), HasSubstr("rolled back on every shard"));
}

TEST(CoordinatorTest, AReaderThatFailsFailsTheWholeBeforeTheDecision) {
  Coordinator commit = Of("rwrw");
  commit.Start();
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 3), ElementsAre("reader 0", "reader 2"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kReaderCommitted, 0, Result::kFailed),
              ElementsAre("rollback 0", "rollback 1", "finish 3 abort"));
  EXPECT_THAT(TellFinished(commit, 3, BranchEnd::kAbsent), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kReaderCommitted, 2), ElementsAre("answer rolled back", "end"));
}

TEST(CoordinatorTest, ADecisionThatIsRefusedRollsBackWithItsCause) {
  Coordinator commit = Of("ww");
  commit.Start();
  Tell(commit, CommitEvent::Kind::kPrepared, 1);
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kDecided, 0, Result::kFailed), ElementsAre("rollback 0", "finish 1 abort"));
  EXPECT_EQ(commit.outcome(), CommitOutcome::kRolledBack);
  EXPECT_THAT(TellFinished(commit, 1, BranchEnd::kAbsent), ElementsAre("answer rolled back", "end"));
}

TEST(CoordinatorTest, ALostDecisionIsSettledAtHomeAndNeverTriedAgain) {
  Coordinator commit = Of("ww");
  commit.Start();
  Tell(commit, CommitEvent::Kind::kPrepared, 1);
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kDecided, 0, Result::kUnknown), ElementsAre("settle 0"));
  EXPECT_EQ(commit.outcome(), CommitOutcome::kInDoubt);
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kSettled, 0, Result::kUnknown), ElementsAre("settle 0 after 10ms"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kSettled, 0, Result::kFailed), ElementsAre("settle 0 after 20ms"));
  for (int i = 0; i < 100; ++i) Tell(commit, CommitEvent::Kind::kSettled, 0, Result::kFailed);
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kSettled, 0, Result::kFailed), ElementsAre("settle 0 after 1s"));
  EXPECT_THAT(TellSettled(commit, 0, Verdict::kCommit), ElementsAre("finish 1 commit"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 1), ElementsAre("answer committed", "end"));
}

TEST(CoordinatorTest, ALostDecisionThatNeverStoodIsRolledBack) {
  Coordinator commit = Of("ww");
  commit.Start();
  Tell(commit, CommitEvent::Kind::kPrepared, 1);
  Tell(commit, CommitEvent::Kind::kDecided, 0, Result::kUnknown);
  EXPECT_THAT(TellSettled(commit, 0, Verdict::kAbort), ElementsAre("finish 1 abort"));
  EXPECT_THAT(TellFinished(commit, 1, BranchEnd::kAbsent), ElementsAre("answer rolled back", "end"));
}

TEST(CoordinatorTest, AShardThatDoesNotFinishIsTriedAFewTimesThenLeftToRecovery) {
  Coordinator commit = Of("www");
  commit.Start();
  Tell(commit, CommitEvent::Kind::kGatePassed, 2);
  Tell(commit, CommitEvent::Kind::kPrepared, 2);
  Tell(commit, CommitEvent::Kind::kPrepared, 1);
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kDecided, 0), ElementsAre("finish 1 commit", "finish 2 commit"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 2, Result::kFailed), ElementsAre("finish 2 commit after 10ms"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 2, Result::kUnknown), ElementsAre("finish 2 commit after 20ms"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 2, Result::kFailed), ElementsAre("finish 2 commit after 40ms"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 2, Result::kFailed), ElementsAre("finish 2 commit after 80ms"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 2, Result::kFailed), ElementsAre("answer committed unfinished"));
  EXPECT_EQ(commit.outcome(), CommitOutcome::kCommittedUnfinished);
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 1), ElementsAre("end"));
}

TEST(CoordinatorTest, ARollbackThatAShardDoesNotConfirmHoldsUpNobody) {
  Coordinator commit = Of("ww");
  commit.Start();
  Tell(commit, CommitEvent::Kind::kPrepared, 1);
  Tell(commit, CommitEvent::Kind::kDecided, 0, Result::kFailed);
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 1, Result::kFailed), ElementsAre("finish 1 abort after 10ms", "answer rolled back"));
  EXPECT_THAT(TellFinished(commit, 1, BranchEnd::kAbsent), ElementsAre("end"));
}

TEST(CoordinatorTest, AMissingBranchOfACommittedTransactionIsNoSuccess) {
  Coordinator commit = Of("ww");
  commit.Start();
  Tell(commit, CommitEvent::Kind::kPrepared, 1);
  Tell(commit, CommitEvent::Kind::kDecided, 0);
  EXPECT_THAT(TellFinished(commit, 1, BranchEnd::kAbsent), ElementsAre("answer committed unfinished", "end"));
  EXPECT_TRUE(commit.contradicted());
}

TEST(CoordinatorTest, ACommittedBranchOfARolledBackTransactionIsAContradiction) {
  Coordinator commit = Of("ww");
  commit.Start();
  Tell(commit, CommitEvent::Kind::kPrepared, 1);
  Tell(commit, CommitEvent::Kind::kDecided, 0, Result::kFailed);
  TellFinished(commit, 1, BranchEnd::kCommitted);
  EXPECT_TRUE(commit.contradicted());
}

TEST(CoordinatorTest, EventsThatNobodyAwaitsChangeNothing) {
  Coordinator commit = Of("wwrw");
  EXPECT_THAT(Texts(commit.Start()), ElementsAre("gate 3"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 3), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kReaderCommitted, 2), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kDecided, 0), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kGatePassed, 1), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kGatePassed, 9), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kGatePassed, 3), ElementsAre("prepare 1", "prepare 3"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 3), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 3), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kDecided, 0), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kPrepared, 1), ElementsAre("reader 2"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kReaderCommitted, 2), ElementsAre("decide 0"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kDecided, 0), ElementsAre("finish 1 commit", "finish 3 commit"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kDecided, 0, Result::kFailed), IsEmpty());
  EXPECT_THAT(TellSettled(commit, 0, Verdict::kAbort), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 3), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 3), IsEmpty());
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 1), ElementsAre("answer committed", "end"));
  EXPECT_THAT(Tell(commit, CommitEvent::Kind::kFinished, 1), IsEmpty());
}

}  // namespace
}  // namespace quarry
