#include "core/engine/reference_write.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/core/engine/cluster.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kRequest[] = "0191d3a0-0000-7000-8000-000000000001";

// Gives back what is inserted; deletes count one row.
absl::StatusOr<StepResult> Echo(const Step& step) {
  const Statement& statement = step.statements.back();
  if (statement.sql->find("SELECT 1") == 0) return RowsResult({});
  std::vector<Row> rows;
  if (statement.returns_rows) rows.push_back({statement.params[0], Value::Text("made here")});
  StepResult result = RowsResult(std::move(rows));
  result.statements[0].affected = 1;
  return result;
}

class ReferenceWriteTest : public ClusterTest {
 protected:
  ReferenceWriteTest() {
    for (ShardScript& shard : scripts_) shard.step = Echo;
  }
  static Mutation Country(const char* code, MutationKind kind = MutationKind::kInsert) {
    Record record;
    record["code"] = Value::Text(code);
    if (kind == MutationKind::kInsert) return MakeMutation(kind, "countries", std::move(record));
    return MakeMutation(kind, "countries", {}, KeyOf({Value::Text(code)}));
  }
  void ExpectNothingApplied() {
    EXPECT_THAT(Commits(), ElementsAre(0, 0, 0));
    EXPECT_EQ(Sessions(), 0);
    EXPECT_EQ(Running(), 0);
  }
};

TEST_F(ReferenceWriteTest, GivesEveryShardTheRowThatTheFirstOneMade) {
  ASSERT_OK_AND_ASSIGN(const WriteResult result, Write(WriteOf({Country("de")})));
  EXPECT_THAT(Commits(), ElementsAre(1, 1, 1));
  EXPECT_EQ(Sessions(), 0);
  EXPECT_EQ(result.mutations[0].affected, 1);
  EXPECT_EQ(result.mutations[0].key.at("code"), Value::Text("de"));
  EXPECT_EQ(result.served_by.asked.size(), 3u);
  EXPECT_EQ(result.served_by.answered.size(), 3u);
  const std::string replica = R"(INSERT INTO "countries" ("code", "name") VALUES ($1, $2))";
  EXPECT_THAT(scripts_[2].log, ::testing::Contains(replica));
  EXPECT_THAT(scripts_[0].log, ::testing::Contains(HasSubstr(replica)));
}

TEST_F(ReferenceWriteTest, AppliesNothingWhenAShardDoesNotAnswer) {
  for (size_t down = 0; down < 3; ++down) {
    scripts_[down].fail[CallKind::kPing] = Down();
    const absl::Status status = Write(WriteOf({Country("de")})).status();
    EXPECT_THAT(status, HasReason(reason::kShardUnavailable));
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("s", down)));
    scripts_[down].fail.clear();
    ExpectNothingApplied();
  }
}

TEST_F(ReferenceWriteTest, AppliesNothingWhenAShardFailsInTheMiddle) {
  const std::vector<std::pair<size_t, CallKind>> points = {{1, CallKind::kLease}, {2, CallKind::kLease},
                                                           {1, CallKind::kStep},  {2, CallKind::kStep},
                                                           {0, CallKind::kExecute}};
  for (const auto& [shard, kind] : points) {
    scripts_[shard].fail[kind] = Down();
    const absl::Status status = Write(WriteOf({Country("de")})).status();
    EXPECT_THAT(status, HasReason(reason::kShardUnavailable));
    EXPECT_EQ(DetailOf(status).facts.at("shard"), absl::StrCat("s", shard));
    scripts_[shard].fail.clear();
    ExpectNothingApplied();
  }
}

TEST_F(ReferenceWriteTest, AppliesNothingWhenDroppedBeforeTheDecision) {
  const WriteOperation op = WriteOf({Country("de")});
  const std::vector<std::pair<size_t, CallKind>> points = {
      {0, CallKind::kPing}, {1, CallKind::kLease}, {1, CallKind::kStep}, {2, CallKind::kLease}, {2, CallKind::kStep}};
  for (const auto& [shard, kind] : points) {
    scripts_[shard].hold = {kind};
    Started<absl::StatusOr<WriteResult>> write(engine_->Write(op, "", ctx_));
    loop_.Settle();
    EXPECT_FALSE(write.answered());
    write.Drop();
    scripts_[shard].Release();
    loop_.Settle();
    ExpectNothingApplied();
  }
}

TEST_F(ReferenceWriteTest, GoesOnEverywhereWhenDroppedAfterTheDecisionIsAsked) {
  const WriteOperation op = WriteOf({Country("de")});
  const std::vector<std::pair<size_t, CallKind>> points = {
      {0, CallKind::kExecute}, {1, CallKind::kCommit}, {2, CallKind::kCommit}};
  int round = 0;
  for (const auto& [shard, kind] : points) {
    scripts_[shard].hold = {kind};
    Started<absl::StatusOr<WriteResult>> write(engine_->Write(op, "", ctx_));
    loop_.Settle();
    EXPECT_FALSE(write.answered());
    write.Drop();
    scripts_[shard].Release();
    loop_.Settle();
    ++round;
    EXPECT_THAT(Commits(), ElementsAre(round, round, round));
    EXPECT_EQ(Sessions(), 0);
  }
}

TEST_F(ReferenceWriteTest, AnswersUnknownAtTheDeadlineAndGoesOn) {
  const WriteOperation op = WriteOf({Country("de")});
  ctx_.deadline = loop_.Now() + absl::Seconds(1);
  scripts_[2].hold = {CallKind::kCommit};
  Started<absl::StatusOr<WriteResult>> write(engine_->Write(op, "", ctx_));
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(write.answered());
  EXPECT_THAT(write.result(), HasReason(reason::kCommitOutcomeUnknown));
  scripts_[2].Release();
  loop_.Settle();
  EXPECT_THAT(Commits(), ElementsAre(1, 1, 1));
}

TEST_F(ReferenceWriteTest, SaysSoWhenShardsMayDiffer) {
  scripts_[2].fail[CallKind::kCommit] = absl::AbortedError("conflict");
  absl::Status status = Write(WriteOf({Country("de")})).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnknown));
  EXPECT_THAT(status, HasReason(reason::kCommitOutcomeUnknown));
  EXPECT_EQ(DetailOf(status).facts.at("shard"), "s2");
  EXPECT_THAT(Commits(), ElementsAre(1, 1, 0));
  scripts_[2].fail.clear();
  for (const absl::Status& lost : {absl::UnknownError("lost"), absl::DeadlineExceededError("late")}) {
    scripts_[0].fail[CallKind::kExecute] = lost;
    status = Write(WriteOf({Country("fr")})).status();
    EXPECT_THAT(status, HasReason(reason::kCommitOutcomeUnknown));
    EXPECT_EQ(DetailOf(status).facts.at("shard"), "s0");
    EXPECT_EQ(Sessions(), 0);
  }
}

TEST_F(ReferenceWriteTest, RepeatsTheStoredReplyThoughTheRowIsThereByThen) {
  Mutation mutation = Country("de");
  mutation.returning = {"name"};
  WriteOperation op = WriteOf({mutation});
  op.request_id = kRequest;
  op.request_hash = 7;
  ASSERT_OK_AND_ASSIGN(const WriteResult first, Write(op));
  EXPECT_FALSE(first.replayed);
  for (ShardScript& shard : scripts_) {
    shard.step = [](const Step&) -> absl::StatusOr<StepResult> { return UniqueViolation(); };
  }
  ASSERT_OK_AND_ASSIGN(const WriteResult second, Write(op));
  EXPECT_TRUE(second.replayed);
  EXPECT_EQ(second.mutations[0].row, first.mutations[0].row);
  EXPECT_EQ(second.mutations[0].etag, first.mutations[0].etag);
  EXPECT_THAT(Commits(), ElementsAre(1, 1, 1));
  op.request_hash = 8;
  EXPECT_THAT(Write(op), HasReason(reason::kRequestIdReused));
}

TEST_F(ReferenceWriteTest, StoresNoReplyOfAWriteThatFailed) {
  WriteOperation op = WriteOf({Country("de")});
  op.request_id = kRequest;
  scripts_[2].fail[CallKind::kStep] = Down();
  EXPECT_THAT(Write(op), HasReason(reason::kShardUnavailable));
  ExpectNothingApplied();
  scripts_[2].fail.clear();
  ASSERT_OK_AND_ASSIGN(const WriteResult result, Write(op));
  EXPECT_FALSE(result.replayed);
  EXPECT_THAT(Commits(), ElementsAre(1, 1, 1));
}

TEST_F(ReferenceWriteTest, RefusesOnlyTheItemsOfABatchThatTheFirstShardRefuses) {
  scripts_[1].step = [](const Step& step) -> absl::StatusOr<StepResult> {
    if (step.statements[0].params[0] == Value::Text("de")) return UniqueViolation();
    return Echo(step);
  };
  WriteOperation op = WriteOf({Country("de"), Country("fr"), InsertUser(0), Country("xx", MutationKind::kDelete)},
                              Atomicity::kEach);
  op.request_id = kRequest;
  for (ShardScript& shard : scripts_) {
    if (&shard == &scripts_[1]) continue;
    shard.step = [](const Step& step) -> absl::StatusOr<StepResult> {
      if (step.statements[0].sql->find("users") == std::string::npos) return Echo(step);
      StepResult result;
      result.statements.resize(1);
      return result;
    };
  }
  ASSERT_OK_AND_ASSIGN(const WriteResult result, Write(op));
  EXPECT_THAT(result.mutations[0].status, HasReason(reason::kUniqueViolation));
  EXPECT_THAT(result.mutations[1].status, IsOk());
  EXPECT_THAT(result.mutations[2].status, IsOk());
  EXPECT_THAT(result.mutations[3].status, IsOk());
  EXPECT_EQ(result.served_by.answered.size(), 3u);
  // On shard 0 the user's part and the countries' part, each with its own stored reply.
  EXPECT_THAT(Commits(), ElementsAre(2, 1, 1));
  ASSERT_OK_AND_ASSIGN(const WriteResult again, Write(op));
  EXPECT_TRUE(again.replayed);
  EXPECT_THAT(again.mutations[0].status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(again.mutations[1].status, IsOk());
  EXPECT_THAT(again.mutations[2].status, IsOk());
  EXPECT_THAT(again.mutations[3].status, IsOk());
  EXPECT_THAT(Commits(), ElementsAre(2, 1, 1));
}

TEST_F(ReferenceWriteTest, RefusesAWriteThatGivesNoRowBack) {
  scripts_[1].step = [](const Step&) { return RowsResult({}); };
  EXPECT_THAT(Write(WriteOf({Country("de")})), HasReason(reason::kDatabaseError));
  ExpectNothingApplied();
}

}  // namespace
}  // namespace quarry
