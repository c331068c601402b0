#include "core/txn/recovery.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::map<std::string, ShardId> kShards = {{"a", ShardId{0}}, {"b", ShardId{1}}, {"c", ShardId{2}}};
constexpr ShardId kHome{2};

std::vector<std::string> Texts(const std::vector<RecoveryAction>& actions) {
  static const char* const kNames[] = {"find", "abort", "finish", "mark", "end"};
  std::vector<std::string> texts;
  for (const RecoveryAction& action : actions) {
    std::string text = kNames[static_cast<size_t>(action.kind)];
    if (action.kind != RecoveryAction::Kind::kEnd) absl::StrAppend(&text, " ", Index(action.shard));
    if (action.kind == RecoveryAction::Kind::kFinish) {
      absl::StrAppend(&text, action.verdict == Verdict::kCommit ? " commit" : " abort");
    }
    texts.push_back(text);
  }
  return texts;
}

Decision Of(Verdict verdict, std::vector<std::string> participants) {
  Decision decision;
  decision.transaction_id = "t";
  decision.verdict = verdict;
  decision.participants = std::move(participants);
  return decision;
}

std::vector<std::string> Tell(Recovery& recovery, RecoveryEvent::Kind kind, std::optional<Decision> decision = std::nullopt) {
  RecoveryEvent event{.kind = kind, .shard = kHome};
  event.decision = std::move(decision);
  return Texts(recovery.On(event));
}

std::vector<std::string> TellFailed(Recovery& recovery, RecoveryEvent::Kind kind, ShardId shard = kHome) {
  return Texts(recovery.On(RecoveryEvent{.kind = kind, .shard = shard, .ok = false}));
}

std::vector<std::string> TellFinished(Recovery& recovery, ShardId shard, BranchEnd end) {
  RecoveryEvent event{.kind = RecoveryEvent::Kind::kFinished, .shard = shard};
  event.end = end;
  return Texts(recovery.On(event));
}

TEST(RecoveryTest, FinishesAllParticipantsOfACommitSeenOrNot) {
  Recovery recovery(kHome, {ShardId{1}}, kShards);
  EXPECT_THAT(Texts(recovery.Start()), ElementsAre("find 2"));
  EXPECT_THAT(Tell(recovery, RecoveryEvent::Kind::kDecisionFound, Of(Verdict::kCommit, {"c", "b", "a"})),
              ElementsAre("finish 0 commit", "finish 1 commit"));
  EXPECT_THAT(TellFinished(recovery, ShardId{1}, BranchEnd::kCommitted), IsEmpty());
  EXPECT_THAT(TellFinished(recovery, ShardId{0}, BranchEnd::kCommitted), ElementsAre("mark 2"));
  EXPECT_FALSE(recovery.resolved());
  EXPECT_THAT(Tell(recovery, RecoveryEvent::Kind::kMarked), ElementsAre("end"));
  EXPECT_TRUE(recovery.resolved());
  EXPECT_EQ(recovery.verdict(), Verdict::kCommit);
  EXPECT_THAT(recovery.contradictions(), IsEmpty());
}

TEST(RecoveryTest, WithoutADecisionTheAbortStandsAtHomeBeforeABranchIsRolledBack) {
  Recovery recovery(kHome, {ShardId{1}, ShardId{0}, ShardId{1}}, kShards);
  recovery.Start();
  EXPECT_THAT(Tell(recovery, RecoveryEvent::Kind::kDecisionFound), ElementsAre("abort 2"));
  EXPECT_EQ(recovery.verdict(), std::nullopt);
  EXPECT_THAT(Tell(recovery, RecoveryEvent::Kind::kAbortDecided, Of(Verdict::kAbort, {})),
              ElementsAre("finish 0 abort", "finish 1 abort"));
  TellFinished(recovery, ShardId{0}, BranchEnd::kAbsent);
  EXPECT_THAT(TellFinished(recovery, ShardId{1}, BranchEnd::kAbsent), ElementsAre("mark 2"));
  EXPECT_THAT(Tell(recovery, RecoveryEvent::Kind::kMarked), ElementsAre("end"));
  EXPECT_EQ(recovery.verdict(), Verdict::kAbort);
}

TEST(RecoveryTest, ACommitThatWinsAgainstItsAbortIsFinished) {
  Recovery recovery(kHome, {ShardId{0}}, kShards);
  recovery.Start();
  Tell(recovery, RecoveryEvent::Kind::kDecisionFound);
  EXPECT_THAT(Tell(recovery, RecoveryEvent::Kind::kAbortDecided, Of(Verdict::kCommit, {"a", "b", "c"})),
              ElementsAre("finish 0 commit", "finish 1 commit"));
}

TEST(RecoveryTest, GivesUpUntilTheNextSweepWhereHomeDoesNotAnswer) {
  Recovery finding(kHome, {ShardId{0}}, kShards);
  finding.Start();
  EXPECT_THAT(TellFailed(finding, RecoveryEvent::Kind::kDecisionFound), ElementsAre("end"));
  EXPECT_FALSE(finding.resolved());

  Recovery deciding(kHome, {ShardId{0}}, kShards);
  deciding.Start();
  Tell(deciding, RecoveryEvent::Kind::kDecisionFound);
  EXPECT_THAT(TellFailed(deciding, RecoveryEvent::Kind::kAbortDecided), ElementsAre("end"));
  EXPECT_FALSE(deciding.resolved());

  Recovery marking(kHome, {ShardId{0}}, kShards);
  marking.Start();
  Tell(marking, RecoveryEvent::Kind::kDecisionFound, Of(Verdict::kAbort, {}));
  TellFinished(marking, ShardId{0}, BranchEnd::kAbsent);
  EXPECT_THAT(TellFailed(marking, RecoveryEvent::Kind::kMarked), ElementsAre("end"));
  EXPECT_FALSE(marking.resolved());
}

TEST(RecoveryTest, ADecisionIsNotMarkedFinishedWhileAPartDoesNotAnswer) {
  Recovery recovery(kHome, {}, kShards);
  recovery.Start();
  EXPECT_THAT(Tell(recovery, RecoveryEvent::Kind::kDecisionFound, Of(Verdict::kCommit, {"a", "b", "c"})),
              ElementsAre("finish 0 commit", "finish 1 commit"));
  EXPECT_THAT(TellFailed(recovery, RecoveryEvent::Kind::kFinished, ShardId{0}), IsEmpty());
  EXPECT_THAT(TellFinished(recovery, ShardId{1}, BranchEnd::kCommitted), ElementsAre("end"));
  EXPECT_FALSE(recovery.resolved());
}

TEST(RecoveryTest, ADecisionIsNotMarkedFinishedWhileAParticipantIsNoShardOfOurs) {
  Recovery recovery(kHome, {}, kShards);
  recovery.Start();
  EXPECT_THAT(Tell(recovery, RecoveryEvent::Kind::kDecisionFound, Of(Verdict::kCommit, {"a", "gone", "c"})),
              ElementsAre("finish 0 commit"));
  EXPECT_THAT(TellFinished(recovery, ShardId{0}, BranchEnd::kCommitted), ElementsAre("end"));
  EXPECT_FALSE(recovery.resolved());
}

TEST(RecoveryTest, AMissingPartOfACommitIsAContradictionAndNotMarkedFinished) {
  Recovery recovery(kHome, {}, kShards);
  recovery.Start();
  Tell(recovery, RecoveryEvent::Kind::kDecisionFound, Of(Verdict::kCommit, {"a", "c"}));
  EXPECT_THAT(TellFinished(recovery, ShardId{0}, BranchEnd::kAbsent), ElementsAre("end"));
  EXPECT_THAT(recovery.contradictions(), ElementsAre(ShardId{0}));
  EXPECT_FALSE(recovery.resolved());
}

TEST(RecoveryTest, ACommittedPartOfAnAbortIsAContradiction) {
  Recovery recovery(kHome, {ShardId{0}}, kShards);
  recovery.Start();
  Tell(recovery, RecoveryEvent::Kind::kDecisionFound, Of(Verdict::kAbort, {}));
  EXPECT_THAT(TellFinished(recovery, ShardId{0}, BranchEnd::kCommitted), ElementsAre("end"));
  EXPECT_THAT(recovery.contradictions(), ElementsAre(ShardId{0}));
}

TEST(RecoveryTest, EventsThatNobodyAwaitsChangeNothing) {
  Recovery recovery(kHome, {ShardId{0}}, kShards);
  recovery.Start();
  EXPECT_THAT(Tell(recovery, RecoveryEvent::Kind::kAbortDecided, Of(Verdict::kAbort, {})), IsEmpty());
  EXPECT_THAT(TellFinished(recovery, ShardId{0}, BranchEnd::kAbsent), IsEmpty());
  EXPECT_THAT(Tell(recovery, RecoveryEvent::Kind::kDecisionFound, Of(Verdict::kAbort, {})), ElementsAre("finish 0 abort"));
  EXPECT_THAT(Tell(recovery, RecoveryEvent::Kind::kDecisionFound, Of(Verdict::kCommit, {"a"})), IsEmpty());
  EXPECT_THAT(TellFinished(recovery, ShardId{1}, BranchEnd::kAbsent), IsEmpty());
  EXPECT_THAT(TellFinished(recovery, ShardId{0}, BranchEnd::kAbsent), ElementsAre("mark 2"));
}

// ---- PickTargets ----

Branch BranchOf(const std::string& id, const std::string& home, absl::Duration age) {
  return Branch{.transaction = {.id = id, .home = home}, .age = age};
}

std::string Text(const RecoveryTarget& target) {
  std::string text = absl::StrCat(target.transaction_id, "@", target.home);
  for (const ShardId shard : target.branches) absl::StrAppend(&text, " ", Index(shard));
  return text;
}

std::vector<std::string> Texts(const std::vector<RecoveryTarget>& targets) {
  std::vector<std::string> texts;
  for (const RecoveryTarget& target : targets) texts.push_back(Text(target));
  return texts;
}

TEST(PickTargetsTest, PicksOldBranchesOnceWithAllTheirShards) {
  const std::vector<ShardSighting> sightings = {
      {ShardId{0}, "a", {BranchOf("t1", "c", absl::Seconds(9)), BranchOf("t2", "c", absl::Seconds(1))}, {}},
      {ShardId{1}, "b", {BranchOf("t1", "c", absl::Seconds(1))}, {}},
      {ShardId{2}, "c", {}, {}}};
  EXPECT_THAT(Texts(PickTargets(sightings, absl::Seconds(5), nullptr)), ElementsAre("t1@c 0 1"));
}

TEST(PickTargetsTest, PicksUnfinishedDecisionsThatAreOld) {
  Decision old = Of(Verdict::kCommit, {"a", "c"});
  old.age = absl::Seconds(9);
  Decision young = old;
  young.transaction_id = "u";
  young.age = absl::Seconds(1);
  Decision finished = old;
  finished.transaction_id = "v";
  finished.finished = true;
  const std::vector<ShardSighting> sightings = {{ShardId{0}, "a", {BranchOf("t", "c", absl::Seconds(1))}, {}},
                                                {ShardId{2}, "c", {}, {old, young, finished}}};
  EXPECT_THAT(Texts(PickTargets(sightings, absl::Seconds(5), nullptr)), ElementsAre("t@c 0"));
}

TEST(PickTargetsTest, TakesTheHomeFromABranchAndNotFromAnAbortElsewhere) {
  Decision abort = Of(Verdict::kAbort, {});
  abort.age = absl::Seconds(9);
  Decision commit = Of(Verdict::kCommit, {"a", "c"});
  commit.age = absl::Seconds(9);
  std::vector<ShardSighting> sightings = {{ShardId{0}, "a", {BranchOf("t", "c", absl::Seconds(9))}, {abort}},
                                          {ShardId{1}, "b", {}, {abort}},
                                          {ShardId{2}, "c", {}, {}}};
  EXPECT_THAT(Texts(PickTargets(sightings, absl::Seconds(5), nullptr)), ElementsAre("t@c 0"));
  sightings[0].branches.clear();
  sightings[0].unfinished = {commit};
  EXPECT_THAT(Texts(PickTargets(sightings, absl::Seconds(5), nullptr)), ElementsAre("t@a"));
}

TEST(PickTargetsTest, LeavesATransactionAloneWhoseHomeIsNoShardOfOurs) {
  const std::vector<ShardSighting> sightings = {{ShardId{0}, "a", {BranchOf("t1", "elsewhere", absl::Hours(1))}, {}}};
  std::vector<RecoveryTarget> strangers;
  EXPECT_THAT(PickTargets(sightings, absl::ZeroDuration(), &strangers), IsEmpty());
  EXPECT_THAT(Texts(strangers), ElementsAre("t1@elsewhere 0"));
}

}  // namespace
}  // namespace quarry
