#include "core/engine/across_write.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/core/engine/cluster.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kAcrossRequest[] = "0191d3a0-0000-7000-8000-000000000001";

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

class AcrossWriteTest : public ClusterTest {
 protected:
  AcrossWriteTest() {
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

TEST_F(AcrossWriteTest, GivesEveryShardTheRowThatTheFirstOneMade) {
  ASSERT_OK_AND_ASSIGN(const WriteResult result, Write(WriteOf({Country("de")})));
  EXPECT_THAT(Commits(), ElementsAre(1, 1, 1));
  EXPECT_EQ(Sessions(), 0);
  EXPECT_EQ(result.mutations[0].affected, 1);
  EXPECT_EQ(result.mutations[0].key.at("code"), Value::Text("de"));
  EXPECT_EQ(result.served_by.asked.size(), 3u);
  EXPECT_EQ(result.served_by.answered.size(), 3u);
  const std::string replica = R"(INSERT INTO "countries" ("code", "name") VALUES ($1, $2))";
  EXPECT_THAT(scripts_[2].log, ::testing::Contains(replica));
  EXPECT_THAT(scripts_[1].log, ::testing::Contains(replica));
  // A step that fails ends the whole, so none is undone by itself.
  for (const ShardScript& shard : scripts_) EXPECT_FALSE(shard.leased.back().undo_steps);
}

TEST_F(AcrossWriteTest, AppliesNothingWhenAShardFailsInTheMiddle) {
  std::vector<std::pair<size_t, CallKind>> points;
  for (size_t shard = 0; shard < 3; ++shard) {
    for (const CallKind kind : {CallKind::kLease, CallKind::kStep}) points.emplace_back(shard, kind);
  }
  for (const size_t shard : {1, 2}) points.emplace_back(shard, CallKind::kPrepare);
  points.emplace_back(0, CallKind::kCommit);
  for (const auto& [shard, kind] : points) {
    scripts_[shard].fail[kind] = Down();
    const absl::Status status = Write(WriteOf({Country("de")})).status();
    EXPECT_THAT(status, HasReason(reason::kShardUnavailable));
    EXPECT_EQ(DetailOf(status).facts.at("shard"), absl::StrCat("s", shard));
    scripts_[shard].fail.clear();
    ExpectNothingApplied();
  }
}

TEST_F(AcrossWriteTest, AppliesNothingWhenDroppedBeforeTheCommit) {
  const WriteOperation op = WriteOf({Country("de")});
  for (size_t shard = 0; shard < 3; ++shard) {
    for (const CallKind kind : {CallKind::kLease, CallKind::kStep}) {
      scripts_[shard].hold = {kind};
      Started<absl::StatusOr<WriteResult>> write(engine_->Write(op, none_, ctx_));
      loop_.Settle();
      EXPECT_FALSE(write.answered());
      write.Drop();
      scripts_[shard].Release();
      loop_.Settle();
      ExpectNothingApplied();
    }
  }
}

TEST_F(AcrossWriteTest, GoesOnEverywhereWhenDroppedInTheCommit) {
  const WriteOperation op = WriteOf({Country("de")});
  const std::vector<std::pair<size_t, CallKind>> points = {
      {1, CallKind::kPrepare}, {2, CallKind::kPrepare}, {0, CallKind::kCommit}};
  int round = 0;
  for (const auto& [shard, kind] : points) {
    scripts_[shard].hold = {kind};
    Started<absl::StatusOr<WriteResult>> write(engine_->Write(op, none_, ctx_));
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

TEST_F(AcrossWriteTest, AnswersUnknownAtTheDeadlineAndGoesOn) {
  const WriteOperation op = WriteOf({Country("de")});
  ctx_.deadline = loop_.Now() + absl::Seconds(1);
  scripts_[0].hold = {CallKind::kCommit};
  Started<absl::StatusOr<WriteResult>> write(engine_->Write(op, none_, ctx_));
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(write.answered());
  EXPECT_THAT(write.result(), HasReason(reason::kCommitOutcomeUnknown));
  EXPECT_FALSE(DetailOf(write.result().status()).facts.at("transaction").empty());
  scripts_[0].Release();
  loop_.Settle();
  EXPECT_THAT(Commits(), ElementsAre(1, 1, 1));
}

TEST_F(AcrossWriteTest, RefusesBeforeAnyStatementWhereTwoPhasesCannotWork) {
  scripts_[1].two_phase.state().fail["Check"] =
      MakeError(absl::StatusCode::kFailedPrecondition, reason::kTwoPhaseUnavailable, "max_prepared_transactions is 0");
  EXPECT_THAT(Write(WriteOf({Country("de")})), HasReason(reason::kTwoPhaseUnavailable));
  for (const ShardScript& shard : scripts_) EXPECT_THAT(shard.leased, ::testing::IsEmpty());
}

TEST_F(AcrossWriteTest, CommitsRowsOfSeveralShardsAndOfAllTogether) {
  ASSERT_OK_AND_ASSIGN(const WriteResult result, Write(WriteOf({InsertUser(2), Country("de"), InsertUser(1)})));
  EXPECT_THAT(Commits(), ElementsAre(1, 1, 1));
  EXPECT_FALSE(result.transaction_id.empty());
  EXPECT_FALSE(result.unfinished);
  for (const MutationResult& mutation : result.mutations) EXPECT_EQ(mutation.affected, 1);
  // In the order of the mutations on each shard, so that a row may refer to one that was made before it.
  const auto& log = scripts_[2].log;
  const auto user = std::find_if(log.begin(), log.end(), [](const std::string& sql) { return sql.find("users") != std::string::npos; });
  const auto country =
      std::find_if(log.begin(), log.end(), [](const std::string& sql) { return sql.find("countries") != std::string::npos; });
  EXPECT_LT(user - log.begin(), country - log.begin());
}

TEST_F(AcrossWriteTest, RepeatsTheStoredReplyOfACommitOverShards) {
  WriteOperation op = WriteOf({InsertUser(2), InsertUser(1)});
  op.request_id = kAcrossRequest;
  op.request_hash = 7;
  ASSERT_OK_AND_ASSIGN(const WriteResult first, Write(op));
  EXPECT_FALSE(first.replayed);
  scripts_[2].step = [](const Step&) -> absl::StatusOr<StepResult> { return UniqueViolation(); };
  ASSERT_OK_AND_ASSIGN(const WriteResult second, Write(op));
  EXPECT_TRUE(second.replayed);
  EXPECT_THAT(Commits(), ElementsAre(0, 1, 1));
  // The id is met at home before anything else is done, and whatever has become of the other shard.
  scripts_[2].fail[CallKind::kLease] = Down();
  ASSERT_OK_AND_ASSIGN(const WriteResult third, Write(op));
  EXPECT_TRUE(third.replayed);
  EXPECT_THAT(Commits(), ElementsAre(0, 1, 1));
  EXPECT_EQ(Sessions(), 0);
}

TEST_F(AcrossWriteTest, RunsTheLastOfTwoShardsWithItsPrepareWhenTheFirstIsDone) {
  scripts_[1].hold = {CallKind::kStep};
  const WriteOperation op = WriteOf({InsertUser(1), InsertUser(2)});
  Started<absl::StatusOr<WriteResult>> write(engine_->Write(op, none_, ctx_));
  loop_.Settle();
  EXPECT_THAT(scripts_[2].log, ::testing::IsEmpty());
  scripts_[1].Release();
  loop_.Settle();
  ASSERT_TRUE(write.answered());
  ASSERT_THAT(write.result(), IsOk());
  EXPECT_THAT(scripts_[2].log, ElementsAre("lease", "step", HasSubstr("users"), "prepare"));
  for (const MutationResult& mutation : write.result()->mutations) EXPECT_EQ(mutation.affected, 1);
  EXPECT_EQ(write.result()->mutations[0].key.at("id"), Value::Int64(1));
  EXPECT_EQ(write.result()->mutations[1].key.at("id"), Value::Int64(2));
  EXPECT_THAT(Commits(), ElementsAre(0, 1, 1));
}

TEST_F(AcrossWriteTest, NamesTheMutationThatFailsTogetherWithThePrepare) {
  WriteOperation op = WriteOf({InsertUser(1), InsertUser(2)});
  op.indexed_paths = true;
  op.request_id = kAcrossRequest;
  scripts_[2].step = [](const Step&) -> absl::StatusOr<StepResult> { return UniqueViolation(); };
  const absl::Status status = Write(op).status();
  EXPECT_THAT(status, HasReason(reason::kUniqueViolation));
  EXPECT_THAT(std::string(status.message()), HasSubstr("mutations[1]"));
  EXPECT_EQ(DetailOf(status).facts.at("shard"), "s2");
  ExpectNothingApplied();
  scripts_[2].step = Echo;
  ASSERT_OK_AND_ASSIGN(const WriteResult result, Write(op));
  EXPECT_FALSE(result.replayed);
  EXPECT_THAT(Commits(), ElementsAre(0, 1, 1));
}

TEST_F(AcrossWriteTest, WaitsForTheStatementsOfTheLastPartNoLongerThanItsCaller) {
  ctx_.deadline = loop_.Now() + absl::Seconds(1);
  scripts_[2].hold = {CallKind::kStep};
  const WriteOperation op = WriteOf({InsertUser(1), InsertUser(2)});
  Started<absl::StatusOr<WriteResult>> write(engine_->Write(op, none_, ctx_));
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(write.answered());
  EXPECT_FALSE(write.result().ok());
  loop_.Settle();
  ExpectNothingApplied();
}

TEST_F(AcrossWriteTest, RunsBothShardsBeforeTheCommitWhereTheFirstHasWrittenNothing) {
  scripts_[1].writes_nothing = true;
  ASSERT_THAT(Write(WriteOf({InsertUser(1), InsertUser(2)})), IsOk());
  EXPECT_THAT(scripts_[2].log, ::testing::Not(::testing::Contains("prepare")));
  EXPECT_THAT(Commits(), ElementsAre(0, 1, 1));
}

TEST_F(AcrossWriteTest, TellsACallerWhoIsLateThatNothingWasWritten) {
  ctx_.deadline = loop_.Now() + absl::Seconds(1);
  scripts_[2].two_phase.state().hold_finish = true;
  scripts_[1].fail[CallKind::kCommit] = Down();
  const WriteOperation op = WriteOf({InsertUser(1), InsertUser(2)});
  Started<absl::StatusOr<WriteResult>> write(engine_->Write(op, none_, ctx_));
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(write.answered());
  EXPECT_THAT(write.result(), HasReason(reason::kShardUnavailable));
  scripts_[2].two_phase.state().ReleaseFinish();
  loop_.Settle();
  ExpectNothingApplied();
}

TEST_F(AcrossWriteTest, GivesACallerWhoIsLateTheWholeReplyOfWhatIsCommitted) {
  ctx_.deadline = loop_.Now() + absl::Seconds(1);
  scripts_[2].two_phase.state().hold_finish = true;
  const WriteOperation op = WriteOf({InsertUser(1), InsertUser(2)});
  Started<absl::StatusOr<WriteResult>> write(engine_->Write(op, none_, ctx_));
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(write.answered());
  ASSERT_THAT(write.result(), IsOk());
  EXPECT_TRUE(write.result()->unfinished);
  EXPECT_EQ(write.result()->mutations[1].key.at("id"), Value::Int64(2));
  scripts_[2].two_phase.state().ReleaseFinish();
  loop_.Settle();
}

TEST_F(AcrossWriteTest, UndoesAWholeWriteInsideATransactionThatGoesOn) {
  const std::string id = *engine_->Begin(BeginOptions());
  scripts_[2].step = [](const Step& step) -> absl::StatusOr<StepResult> {
    if (step.statements[0].params[0] == Value::Int64(5)) return UniqueViolation();
    return Echo(step);
  };
  EXPECT_THAT(Write(WriteOf({InsertUser(1), InsertUser(5)}), id), HasReason(reason::kUniqueViolation));
  EXPECT_THAT(scripts_[1].log, ::testing::Contains("ROLLBACK TO SAVEPOINT quarry_task"));
  EXPECT_THAT(Write(WriteOf({InsertUser(1), InsertUser(2)}), id), IsOk());
  EXPECT_THAT(RunNow(loop_, engine_->Commit(id, false, ctx_)).status, IsOk());
  EXPECT_THAT(Commits(), ElementsAre(0, 1, 1));
}

TEST_F(AcrossWriteTest, RepeatsTheStoredReplyThoughTheRowIsThereByThen) {
  Mutation mutation = Country("de");
  mutation.returning = {"name"};
  WriteOperation op = WriteOf({mutation});
  op.request_id = kAcrossRequest;
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

TEST_F(AcrossWriteTest, StoresNoReplyOfAWriteThatFailed) {
  WriteOperation op = WriteOf({Country("de")});
  op.request_id = kAcrossRequest;
  scripts_[2].fail[CallKind::kStep] = Down();
  EXPECT_THAT(Write(op), HasReason(reason::kShardUnavailable));
  ExpectNothingApplied();
  scripts_[2].fail.clear();
  ASSERT_OK_AND_ASSIGN(const WriteResult result, Write(op));
  EXPECT_FALSE(result.replayed);
  EXPECT_THAT(Commits(), ElementsAre(1, 1, 1));
}

TEST_F(AcrossWriteTest, RefusesOnlyTheItemsOfABatchThatTheFirstShardRefuses) {
  scripts_[0].step = [](const Step& step) -> absl::StatusOr<StepResult> {
    if (step.statements[0].params[0] == Value::Text("de")) return UniqueViolation();
    return Echo(step);
  };
  WriteOperation op = WriteOf({Country("de"), Country("fr"), InsertUser(0), Country("xx", MutationKind::kDelete)},
                              Atomicity::kEach);
  op.request_id = kAcrossRequest;
  for (ShardScript& shard : scripts_) {
    if (&shard == &scripts_[0]) continue;
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
  for (const ShardScript& shard : scripts_) EXPECT_TRUE(shard.leased.back().undo_steps);
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

TEST_F(AcrossWriteTest, RefusesAWriteThatGivesNoRowBack) {
  scripts_[0].step = [](const Step&) { return RowsResult({}); };
  EXPECT_THAT(Write(WriteOf({Country("de")})), HasReason(reason::kDatabaseError));
  ExpectNothingApplied();
}

}  // namespace
}  // namespace quarry
