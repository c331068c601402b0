#include "core/txn/audit.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kOld = absl::Minutes(5);
constexpr absl::Duration kYoung = absl::Seconds(5);

Decision DecisionOf(const std::string& id, Verdict verdict, absl::Duration age, bool finished) {
  Decision decision{.transaction_id = id, .verdict = verdict, .participants = {"a", "b"}, .age = age};
  decision.finished = finished;
  if (verdict == Verdict::kAbort) decision.participants.clear();
  return decision;
}

Branch BranchOf(const std::string& id, absl::Duration age) {
  return Branch{.transaction = {.id = id, .home = "b"}, .age = age};
}

std::vector<std::string> Texts(const std::vector<AuditFinding>& findings) {
  std::vector<std::string> texts;
  for (const AuditFinding& finding : findings) {
    texts.push_back(absl::StrCat(std::string(NameOf(finding.kind)), " ", finding.transaction_id, " ", finding.shard));
    EXPECT_THAT(finding.words, HasSubstr(finding.transaction_id));
    EXPECT_THAT(finding.words, HasSubstr(finding.shard));
  }
  return texts;
}

std::vector<std::string> Of(const std::vector<ShardRecords>& shards, const AuditOptions& options = {}) {
  return Texts(Audit(shards, options));
}

TEST(AuditTest, FindsNothingInWholeTransactions) {
  EXPECT_THAT(Of({{"a", {}, {BranchOf("t2", kYoung)}, {{"t1", kOld}}},
                  {"b", {DecisionOf("t1", Verdict::kCommit, kOld, true), DecisionOf("t3", Verdict::kAbort, kOld, true),
                         DecisionOf("t2", Verdict::kCommit, kYoung, false)}, {}, {}}}),
              IsEmpty());
}

TEST(AuditTest, ReportsACommitWhosePartIsMissingAtAParticipant) {
  EXPECT_THAT(Of({{"a", {}, {}, {}}, {"b", {DecisionOf("t", Verdict::kCommit, kYoung, true)}, {}, {}}}),
              ElementsAre("part_missing t a"));
  EXPECT_THAT(Of({{"a", {}, {}, {}}, {"b", {DecisionOf("t", Verdict::kCommit, kOld, false)}, {}, {}}}),
              ElementsAre("part_missing t a"));
}

TEST(AuditTest, LeavesACommitAloneThatIsUnderWayOrBeingForgottenOrOfAShardThatIsNotThere) {
  EXPECT_THAT(Of({{"a", {}, {}, {}}, {"b", {DecisionOf("t", Verdict::kCommit, kYoung, false)}, {}, {}}}), IsEmpty());
  EXPECT_THAT(Of({{"a", {}, {}, {}}, {"b", {DecisionOf("t", Verdict::kCommit, absl::Hours(25), true)}, {}, {}}}), IsEmpty());
  EXPECT_THAT(Of({{"b", {DecisionOf("t", Verdict::kCommit, kOld, true)}, {}, {}}}), IsEmpty());
}

TEST(AuditTest, ABranchOfACommitIsUnfinishedNotMissing) {
  EXPECT_THAT(Of({{"a", {}, {BranchOf("t", kYoung)}, {}}, {"b", {DecisionOf("t", Verdict::kCommit, kOld, false)}, {}, {}}}),
              IsEmpty());
  EXPECT_THAT(Of({{"a", {}, {BranchOf("t", kOld)}, {}}, {"b", {DecisionOf("t", Verdict::kCommit, kOld, false)}, {}, {}}}),
              ElementsAre("branch_unfinished t a"));
}

TEST(AuditTest, ReportsAPartWithoutADecisionOnlyWhenEveryShardWasRead) {
  const std::vector<ShardRecords> shards = {{"a", {}, {}, {{"t", kOld}, {"u", kYoung}}}, {"b", {}, {}, {}}};
  EXPECT_THAT(Of(shards), ElementsAre("part_undecided t a"));
  AuditOptions partial;
  partial.complete = false;
  EXPECT_THAT(Of(shards, partial), IsEmpty());
}

TEST(AuditTest, ReportsAPartOfWhatWasRolledBack) {
  EXPECT_THAT(Of({{"a", {}, {}, {{"t", kYoung}}}, {"b", {DecisionOf("t", Verdict::kAbort, kYoung, false)}, {}, {}}}),
              ElementsAre("part_of_aborted t a"));
}

TEST(AuditTest, ReportsADecisionBesideACommit) {
  EXPECT_THAT(Of({{"a", {DecisionOf("t", Verdict::kCommit, kOld, true)}, {}, {{"t", kOld}}},
                  {"b", {DecisionOf("t", Verdict::kCommit, kOld, true)}, {}, {{"t", kOld}}}}),
              ElementsAre("decided_twice t b"));
}

TEST(AuditTest, AbortsOnSeveralShardsDoNoHarm) {
  EXPECT_THAT(Of({{"a", {DecisionOf("t", Verdict::kAbort, kOld, true)}, {}, {}},
                  {"b", {DecisionOf("t", Verdict::kAbort, kOld, true)}, {}, {}}}),
              IsEmpty());
}

TEST(AuditTest, APartBelongsToTheCommitAndNotToAnAbortThatStandsElsewhere) {
  EXPECT_THAT(Of({{"a", {DecisionOf("t", Verdict::kAbort, kOld, true)}, {}, {{"t", kOld}}},
                  {"b", {DecisionOf("t", Verdict::kCommit, kOld, true)}, {}, {}}}),
              ElementsAre("decided_twice t a"));
}

TEST(AuditTest, ReportsByTransactionThenShard) {
  EXPECT_THAT(Of({{"b", {}, {BranchOf("u", kOld), BranchOf("t", kOld)}, {{"u", kOld}}},
                  {"a", {}, {BranchOf("u", kOld)}, {{"t", kOld}}}}),
              ElementsAre("part_undecided t a", "branch_unfinished t b", "branch_unfinished u a",
                          "part_undecided u b", "branch_unfinished u b"));
}

}  // namespace
}  // namespace quarry
