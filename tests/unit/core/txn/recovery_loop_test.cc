#include "core/txn/recovery_loop.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend/fake_backend.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr char kId[] = "t2-0000000000000001-00-00000000000000000000000000000001";
constexpr char kOther[] = "t2-0000000000000001-00-00000000000000000000000000000002";

std::string NumberedId(int number) { return absl::StrCat("t2-0000000000000001-00-", absl::Dec(number, absl::kZeroPad20)); }

absl::Status Down() { return MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable, "down"); }

// Shards a, b and c.
class RecoveryLoopTest : public ::testing::Test {
 protected:
  RecoveryLoopTest() { Restart(); }

  void Restart() {
    RecoveryListener listener;
    listener.on_finding = [this](const AuditFinding& finding) { findings_.push_back(finding.words); };
    listener.on_unfit = [this](const std::string& shard, const absl::Status& why) {
      unfit_.push_back(absl::StrCat(shard, ": ", std::string(why.message())));
    };
    recovery_.emplace(loop_, options_, [this] { return Parties(); }, std::move(listener));
  }
  std::vector<ShardParty> Parties() { return {{&shards_[0], "a"}, {&shards_[1], "b"}, {&shards_[2], "c"}}; }
  FakeTwoPhase::State& at(char shard) { return shards_[static_cast<size_t>(shard - 'a')].two_phase().state(); }
  // Prepared at home's word.
  void Prepare(char shard, const std::string& id = kId, const std::string& home = "c") {
    at(shard).branches[id] = GlobalTransaction{id, home};
  }
  Decision& Decide(char shard, Verdict verdict, std::vector<std::string> participants, absl::Duration age,
                   const std::string& id = kId) {
    Decision decision;
    decision.transaction_id = id;
    decision.verdict = verdict;
    decision.participants = std::move(participants);
    decision.age = age;
    return at(shard).decisions[id] = decision;
  }
  void Sweep() {
    bool done = false;
    const Running running(recovery_->Sweep(), [&done] { done = true; });
    loop_.Settle();
    ASSERT_TRUE(done);
  }
  int64_t Calls(char shard, const std::string& name) {
    const std::vector<std::string>& log = at(shard).log;
    return std::count(log.begin(), log.end(), name);
  }
  const RecoveryStats& stats() const { return recovery_->stats(); }

  ManualLoop loop_;
  FakeBackend shards_[3];
  RecoveryOptions options_;
  std::vector<std::string> findings_;
  std::vector<std::string> unfit_;
  std::optional<RecoveryLoop> recovery_;
};

TEST_F(RecoveryLoopTest, RollsBackWhatACrashAfterPrepareHasLeftAndSaysSoAtHomeFirst) {
  Prepare('a');
  Prepare('b');
  bool decided_first = true;
  for (const char shard : {'a', 'b'}) {
    at(shard).meanwhile["Finish"] = [this, &decided_first] {
      decided_first = decided_first && at('c').decisions.count(kId) > 0;
    };
  }
  Sweep();
  EXPECT_TRUE(decided_first);
  EXPECT_THAT(at('a').branches, IsEmpty());
  EXPECT_THAT(at('b').branches, IsEmpty());
  EXPECT_THAT(at('a').parts, IsEmpty());
  ASSERT_EQ(at('c').decisions.count(kId), 1u);
  EXPECT_EQ(at('c').decisions[kId].verdict, Verdict::kAbort);
  EXPECT_TRUE(at('c').decisions[kId].finished);
  EXPECT_EQ(stats().rolled_back, 1);
  EXPECT_EQ(stats().committed, 0);
  EXPECT_EQ(stats().in_doubt, 0);
}

TEST_F(RecoveryLoopTest, CommitsWhatIsDecided) {
  Prepare('a');
  Prepare('b');
  Decide('c', Verdict::kCommit, {"a", "b", "c"}, absl::Seconds(9));
  Sweep();
  EXPECT_THAT(at('a').parts, ElementsAre(kId));
  EXPECT_THAT(at('b').parts, ElementsAre(kId));
  EXPECT_THAT(at('b').branches, IsEmpty());
  EXPECT_TRUE(at('c').decisions[kId].finished);
  EXPECT_EQ(stats().committed, 1);
  EXPECT_EQ(stats().rolled_back, 0);
}

TEST_F(RecoveryLoopTest, MarksDecisionsTogetherWhosePartsAreAllThere) {
  for (const char* id : {kId, kOther}) {
    Decide('c', Verdict::kCommit, {"a", "c"}, absl::Seconds(9), id);
    at('a').parts.insert(id);
  }
  Sweep();
  EXPECT_EQ(Calls('c', "MarkFinished"), 1);
  EXPECT_TRUE(at('c').decisions[kId].finished);
  EXPECT_TRUE(at('c').decisions[kOther].finished);
  EXPECT_EQ(Calls('a', "Finish"), 0);
  EXPECT_EQ(stats().committed, 0);
}

TEST_F(RecoveryLoopTest, DoesNotMarkADecisionOneOfWhosePartsIsMissing) {
  Decide('c', Verdict::kCommit, {"a", "b", "c"}, absl::Seconds(9));
  at('a').parts.insert(kId);
  Prepare('b');
  at('b').fail["Finish"] = Down();
  Sweep();
  EXPECT_FALSE(at('c').decisions[kId].finished);
  at('b').fail.clear();
  Sweep();
  EXPECT_TRUE(at('c').decisions[kId].finished);
  EXPECT_THAT(at('b').parts, ElementsAre(kId));
}

TEST_F(RecoveryLoopTest, LeavesYoungTransactionsToTheirGateway) {
  options_.age_min = absl::Hours(2);
  Restart();
  Prepare('a');
  Decide('c', Verdict::kCommit, {"a", "c"}, absl::Seconds(9), kOther);
  Sweep();
  EXPECT_THAT(at('a').branches, SizeIs(1));
  EXPECT_THAT(at('c').decisions, SizeIs(1));
  EXPECT_FALSE(at('c').decisions[kOther].finished);
}

TEST_F(RecoveryLoopTest, LeavesAStrangersBranchAloneAndReportsIt) {
  Prepare('a', kId, "elsewhere");
  Sweep();
  EXPECT_THAT(at('a').branches, SizeIs(1));
  EXPECT_EQ(stats().strangers, 1);
  EXPECT_EQ(stats().in_doubt, 1);
  EXPECT_EQ(stats().oldest, absl::Hours(1));
}

TEST_F(RecoveryLoopTest, WaitsForAHomeThatIsDownAndThenEnds) {
  Prepare('a');
  for (const char* call : {"FindDecision", "ListDecisions", "ListBranches", "DecideAbort"}) at('c').fail[call] = Down();
  Sweep();
  EXPECT_THAT(at('a').branches, SizeIs(1));
  EXPECT_EQ(stats().unasked, 1);
  EXPECT_EQ(stats().postponed, 1);
  EXPECT_EQ(stats().in_doubt, 1);
  EXPECT_EQ(stats().oldest, absl::Hours(1));
  at('c').fail.clear();
  Sweep();
  EXPECT_THAT(at('a').branches, IsEmpty());
  EXPECT_EQ(stats().unasked, 0);
  EXPECT_EQ(stats().in_doubt, 0);
  EXPECT_EQ(stats().oldest, absl::ZeroDuration());
}

TEST_F(RecoveryLoopTest, RollsNothingBackWhileItDoesNotKnowThatItsAbortStands) {
  Prepare('a');
  at('c').lose["DecideAbort"] = Down();
  Sweep();
  EXPECT_THAT(at('a').branches, SizeIs(1));
  EXPECT_EQ(Calls('a', "Finish"), 0);
  at('c').lose.clear();
  Sweep();
  EXPECT_THAT(at('a').branches, IsEmpty());
  EXPECT_EQ(stats().rolled_back, 1);
}

TEST_F(RecoveryLoopTest, OneShardThatIsDownHoldsUpNoOthersTransactions) {
  Prepare('a', kId, "b");
  Prepare('a', kOther, "c");
  for (const char* call : {"FindDecision", "ListDecisions", "ListBranches", "DecideAbort"}) at('c').fail[call] = Down();
  Sweep();
  EXPECT_THAT(at('a').branches, SizeIs(1));
  EXPECT_EQ(at('a').branches.begin()->first, kOther);
  EXPECT_EQ(stats().rolled_back, 1);
}

TEST_F(RecoveryLoopTest, ForgetsPartsBeforeTheirDecision) {
  Decide('c', Verdict::kCommit, {"a", "c"}, absl::Hours(25)).finished = true;
  Decide('c', Verdict::kCommit, {"a", "c"}, absl::Hours(23), kOther).finished = true;
  at('a').parts = {kId, kOther};
  at('a').fail["ForgetParts"] = Down();
  Sweep();
  EXPECT_THAT(at('c').decisions, SizeIs(2));
  EXPECT_EQ(stats().forgotten, 0);
  at('a').fail.clear();
  loop_.Advance(options_.audit_interval);
  Sweep();
  EXPECT_THAT(at('a').parts, ElementsAre(kOther));
  EXPECT_THAT(at('c').decisions, SizeIs(1));
  EXPECT_EQ(stats().forgotten, 1);
}

TEST_F(RecoveryLoopTest, ForgetsAPageASweepWhileThereIsMore) {
  for (int i = 0; i < 2'500; ++i) {
    Decide('c', Verdict::kCommit, {"c"}, absl::Hours(25), NumberedId(i)).finished = true;
  }
  Sweep();
  EXPECT_EQ(stats().forgotten, 1'000);
  Sweep();
  EXPECT_EQ(stats().forgotten, 2'000);
  Sweep();
  EXPECT_EQ(stats().forgotten, 2'500);
  const int64_t looks = Calls('c', "ListDecisions");
  Sweep();
  EXPECT_EQ(Calls('c', "ListDecisions"), looks + 1) << "for what is unfinished; nothing is left to forget before the next audit";
}

TEST_F(RecoveryLoopTest, AuditsTheNewestOfManyDecisions) {
  for (int i = 0; i < 10'100; ++i) {
    Decide('c', Verdict::kCommit, {"a", "c"}, absl::Minutes(2), NumberedId(i)).finished = true;
    at('a').parts.insert(NumberedId(i));
  }
  at('a').parts.erase(at('a').parts.begin());           // Too long ago.
  at('a').parts.erase(std::prev(at('a').parts.end()));  // Just now.
  Sweep();
  ASSERT_THAT(findings_, SizeIs(1));
  EXPECT_THAT(findings_[0], HasSubstr("10099 on shard a"));
}

TEST_F(RecoveryLoopTest, KeepsOldDecisionsThatAreNotFinished) {
  Decide('c', Verdict::kCommit, {"gone", "c"}, absl::Hours(25));
  Sweep();
  EXPECT_THAT(at('c').decisions, SizeIs(1));
  EXPECT_FALSE(at('c').decisions[kId].finished);
}

TEST_F(RecoveryLoopTest, TellsAFindingOnceUntilItIsMended) {
  Decide('c', Verdict::kCommit, {"a", "c"}, absl::Minutes(2)).finished = true;
  const auto audit = [this] {
    loop_.Advance(options_.audit_interval);
    Sweep();
  };
  audit();
  audit();
  ASSERT_THAT(findings_, SizeIs(1));
  EXPECT_THAT(findings_[0], HasSubstr("its part is gone"));
  EXPECT_EQ(stats().findings, 1);
  at('a').parts.insert(kId);
  audit();
  EXPECT_EQ(stats().findings, 0);
  at('a').parts.clear();
  audit();
  EXPECT_THAT(findings_, SizeIs(2));
}

TEST_F(RecoveryLoopTest, ReportsAPartOfAnAbortOnce) {
  Decide('c', Verdict::kAbort, {}, absl::Minutes(2)).finished = true;
  at('a').parts.insert(kId);
  Sweep();
  EXPECT_EQ(stats().findings, 1);
  EXPECT_THAT(findings_, SizeIs(1));
}

TEST_F(RecoveryLoopTest, ChecksEachShardUntilItHasAnsweredAndTellsWhatItLacks) {
  at('a').fail["Check"] = Down();
  at('b').fail["Check"] = MakeError(absl::StatusCode::kFailedPrecondition, reason::kTwoPhaseUnavailable, "no right");
  Sweep();
  Sweep();
  EXPECT_EQ(Calls('a', "Check"), 2);
  EXPECT_EQ(Calls('b', "Check"), 1);
  EXPECT_EQ(Calls('c', "Check"), 1);
  at('a').fail.clear();
  Sweep();
  Sweep();
  EXPECT_EQ(Calls('a', "Check"), 3);
  EXPECT_THAT(unfit_, ElementsAre("b: no right"));
}

TEST_F(RecoveryLoopTest, SweepsAtOnceAndThenAllTheTime) {
  recovery_->Start();
  loop_.Settle();
  EXPECT_EQ(stats().sweeps, 1);
  Prepare('a');
  loop_.Advance(options_.interval * 3);
  EXPECT_EQ(stats().sweeps, 4);
  EXPECT_THAT(at('a').branches, IsEmpty());
  recovery_.reset();
  loop_.Advance(absl::Minutes(1));
  EXPECT_EQ(Calls('b', "ListBranches"), 5);  // Four sweeps, one audit.
}

TEST_F(RecoveryLoopTest, TracesATransactionFromAllShards) {
  Prepare('a');
  Decide('b', Verdict::kAbort, {}, absl::Seconds(1));
  Decide('c', Verdict::kCommit, {"a", "c"}, absl::Seconds(9));
  CallContext ctx(loop_);
  Unasked unasked;
  TransactionTrace trace = RunNow(loop_, TraceTransaction(kId, Parties(), &unasked, ctx));
  EXPECT_EQ(trace.home, "c");
  EXPECT_THAT(trace.branches, ElementsAre("a"));
  ASSERT_TRUE(trace.decision.has_value());
  EXPECT_EQ(trace.decision->verdict, Verdict::kCommit);
  EXPECT_EQ(trace.age, absl::Hours(1));
  EXPECT_THAT(unasked, IsEmpty());
  at('c').decisions.clear();
  at('c').fail["FindDecision"] = Down();
  trace = RunNow(loop_, TraceTransaction(kId, Parties(), &unasked, ctx));
  EXPECT_EQ(trace.home, "c");
  EXPECT_FALSE(trace.decision.has_value());  // An abort that is not at home says nothing.
  ASSERT_THAT(unasked, SizeIs(1));
  EXPECT_EQ(unasked[0].shard, "c");
  EXPECT_THAT(unasked[0].why, HasReason(reason::kShardUnavailable));
}

TEST_F(RecoveryLoopTest, ACommitThatEndsWhileItIsTracedIsSeen) {
  Prepare('a');
  // After home was asked for branches and before it is asked for decisions, all of it happens.
  at('c').meanwhile["ListBranches"] = [this] {
    at('a').branches.clear();
    at('a').parts.insert(kId);
    Decide('c', Verdict::kCommit, {"a", "c"}, absl::ZeroDuration());
  };
  CallContext ctx(loop_);
  Unasked unasked;
  const TransactionTrace trace = RunNow(loop_, TraceTransaction(kId, Parties(), &unasked, ctx));
  ASSERT_TRUE(trace.decision.has_value());
  EXPECT_EQ(trace.decision->verdict, Verdict::kCommit);
}

TEST_F(RecoveryLoopTest, ListsWhatAllShardsHold) {
  Prepare('a');
  Prepare('b');
  Decide('c', Verdict::kCommit, {"a", "b", "c"}, absl::Hours(2));
  Prepare('b', kOther, "elsewhere");
  CallContext ctx(loop_);
  Unasked unasked;
  const std::vector<ShardSighting> sightings =
      RunNow(loop_, SightShards(Parties(), absl::Seconds(1), &unasked, ctx));
  const std::vector<TransactionTrace> traces = TracesOf(sightings);
  ASSERT_THAT(traces, SizeIs(2));
  EXPECT_EQ(traces[0].transaction_id, kId);
  EXPECT_EQ(traces[0].home, "c");
  EXPECT_THAT(traces[0].branches, UnorderedElementsAre("a", "b"));
  EXPECT_EQ(traces[0].age, absl::Hours(2));
  EXPECT_EQ(traces[1].home, "elsewhere");
  EXPECT_FALSE(traces[1].decision.has_value());
}

TEST_F(RecoveryLoopTest, RecoveringSaysWhichPartIsNotAsDecided) {
  Decide('c', Verdict::kCommit, {"a", "c"}, absl::Seconds(9));
  RecoveryTarget target;
  target.transaction_id = kId;
  target.home = "c";
  std::vector<ShardId> broken;
  const std::optional<Verdict> verdict =
      RunNow(loop_, RecoverTransaction(target, Parties(), absl::Seconds(1), &broken, loop_));
  EXPECT_FALSE(verdict.has_value());
  EXPECT_THAT(broken, ElementsAre(ShardId{0}));
  EXPECT_FALSE(at('c').decisions[kId].finished);
}

}  // namespace
}  // namespace quarry
