#include "core/engine/engine.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/core/engine/cluster.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EngineTest : public ClusterTest {};

std::vector<uint32_t> Items(const ReadResult& result) {
  std::vector<uint32_t> items;
  for (const KeyedRow& row : result.found) items.push_back(row.item);
  return items;
}

// ---- Reads ----

TEST_F(EngineTest, ReadsAllShardsAtOnce) {
  for (ShardScript& shard : scripts_) {
    shard.step = AnswerUsers;
    shard.hold = {CallKind::kExecute};
  }
  const ReadOperation op = ReadOf("users", {IdKey(5), IdKey(0), IdKey(1), IdKey(3)});
  Started<absl::StatusOr<ReadResult>> read(engine_->Read(op, none_, ctx_));
  loop_.Settle();
  EXPECT_EQ(Running(), 3);
  for (const size_t i : {2u, 0u, 1u}) {
    EXPECT_FALSE(read.answered());
    scripts_[i].Release();
    loop_.Settle();
  }
  ASSERT_TRUE(read.answered());
  ASSERT_THAT(read.result(), IsOk());
  EXPECT_THAT(Items(*read.result()), ElementsAre(0u, 1u, 2u, 3u));
  EXPECT_THAT(read.result()->served_by.asked, ElementsAre(ShardId{0}, ShardId{1}, ShardId{2}));
  EXPECT_EQ(read.result()->served_by.answered, read.result()->served_by.asked);
  EXPECT_EQ(read.result()->served_by.epoch, Epoch{7});
  EXPECT_EQ(read.result()->served_by.level, ReadLevel::kReadYourWrites);
}

TEST_F(EngineTest, ReadsNoMoreShardsAtATimeThanItsWidth) {
  limits_.scatter_width = 2;
  Restart();
  for (ShardScript& shard : scripts_) shard.hold = {CallKind::kExecute};
  const ReadOperation op = ReadOf("users", {IdKey(0), IdKey(1), IdKey(2)});
  Started<absl::StatusOr<ReadResult>> read(engine_->Read(op, none_, ctx_));
  loop_.Settle();
  EXPECT_EQ(Running(), 2);
  for (ShardScript& shard : scripts_) shard.Release();
  loop_.Settle();
  EXPECT_TRUE(read.answered());
}

TEST_F(EngineTest, FailsTheWholeReadNamingTheShardAndStopsTheOthers) {
  scripts_[0].hold = {CallKind::kExecute};
  scripts_[1].fail[CallKind::kExecute] = Down();
  const absl::Status status = Read(ReadOf("users", {IdKey(0), IdKey(1), IdKey(2)})).status();
  EXPECT_THAT(status, HasReason(reason::kShardUnavailable));
  EXPECT_EQ(DetailOf(status).facts.at("shard"), "s1");
  EXPECT_THAT(std::string(status.message()), HasSubstr("s1"));
  EXPECT_EQ(Running(), 0);
}

TEST_F(EngineTest, StopsAllShardsWhenTheReadIsDropped) {
  for (ShardScript& shard : scripts_) shard.hold = {CallKind::kExecute};
  const ReadOperation op = ReadOf("users", {IdKey(0), IdKey(1), IdKey(2)});
  Started<absl::StatusOr<ReadResult>> read(engine_->Read(op, none_, ctx_));
  loop_.Settle();
  read.Drop();
  EXPECT_EQ(Running(), 0);
}

TEST_F(EngineTest, ReportsAShardThatDoesNotAnswerWhenPartsWillDo) {
  for (ShardScript& shard : scripts_) shard.step = AnswerUsers;
  scripts_[1].fail[CallKind::kExecute] = Down();
  ReadOperation op = ReadOf("users", {IdKey(4), IdKey(0), IdKey(1), IdKey(2)});
  op.allow_partial = true;
  ASSERT_OK_AND_ASSIGN(const ReadResult result, Read(op));
  EXPECT_THAT(Items(result), ElementsAre(1u, 3u));
  EXPECT_THAT(result.missing, IsEmpty());
  EXPECT_THAT(result.unanswered, ElementsAre(0u, 2u));
  ASSERT_EQ(result.failed.size(), 1u);
  EXPECT_EQ(result.failed[0].first, ShardId{1});
  EXPECT_THAT(result.failed[0].second, HasReason(reason::kShardUnavailable));
  EXPECT_THAT(result.served_by.answered, ElementsAre(ShardId{0}, ShardId{2}));
}

TEST_F(EngineTest, NeverCallsAKeyMissingBecauseATransactionCannotReachIt) {
  const std::string id = *engine_->Begin(BeginOptions());
  ReadOperation op = ReadOf("users", {IdKey(0), IdKey(1)});
  op.allow_partial = true;
  op.keys = {IdKey(0)};
  scripts_[0].fail[CallKind::kStep] = Down();
  EXPECT_THAT(Read(op, id), HasReason(reason::kShardUnavailable));
}

TEST_F(EngineTest, FindsAReferenceRowOnTheNextShardThatAnswers) {
  const ReadOperation op = ReadOf("countries", {KeyOf({Value::Text("de")})});
  for (ShardScript& shard : scripts_) {
    shard.step = [](const Step&) { return RowsResult({{Value::Text("de"), Value::Text("Germany")}}); };
  }
  scripts_[0].fail[CallKind::kExecute] = Down();
  for (int i = 0; i < 6; ++i) {
    ASSERT_OK_AND_ASSIGN(const ReadResult result, Read(op));
    EXPECT_EQ(result.found.size(), 1u);
    EXPECT_EQ(result.served_by.answered.size(), 1u);
    EXPECT_NE(result.served_by.answered[0], ShardId{0});
    EXPECT_EQ(result.served_by.level, ReadLevel::kReadYourWrites);
  }
  for (ShardScript& shard : scripts_) shard.fail[CallKind::kExecute] = Down();
  EXPECT_THAT(Read(op), HasReason(reason::kShardUnavailable));
}

TEST_F(EngineTest, SpreadsReferenceReadsOverTheShards) {
  const ReadOperation op = ReadOf("countries", {KeyOf({Value::Text("de")})});
  for (int i = 0; i < 6; ++i) EXPECT_THAT(Read(op), IsOk());
  for (const ShardScript& shard : scripts_) EXPECT_EQ(std::count(shard.log.begin(), shard.log.end(), "execute"), 2);
}

TEST_F(EngineTest, RefusesAReplyThatIsTooLarge) {
  limits_.reply_bytes_max = 40;
  Restart();
  for (ShardScript& shard : scripts_) shard.step = AnswerUsers;
  EXPECT_THAT(Read(ReadOf("users", {IdKey(0)})), IsOk());
  const absl::Status status = Read(ReadOf("users", {IdKey(0), IdKey(1), IdKey(2)})).status();
  EXPECT_THAT(status, HasReason(reason::kLimitExceeded));
  EXPECT_EQ(DetailOf(status).facts.at("item"), "1");
  for (ShardScript& shard : scripts_) {
    shard.step = [](const Step&) { return RowsResult({{Value::Text("de"), Value::Text(std::string(50, 'x'))}}); };
    shard.fail[CallKind::kExecute] = Down();
  }
  scripts_[2].fail.clear();
  EXPECT_THAT(Read(ReadOf("countries", {KeyOf({Value::Text("de")})})), HasReason(reason::kLimitExceeded));
}

// ---- Writes ----

TEST_F(EngineTest, NamesTheMutationThatFailedAnAtomicWrite) {
  scripts_[1].step = [](const Step& step) -> absl::StatusOr<StepResult> {
    if (step.item == 1) return UniqueViolation();
    StepResult result;
    result.statements.resize(1);
    return result;
  };
  const absl::Status status = Write(WriteOf({InsertUser(1), InsertUser(4)})).status();
  EXPECT_THAT(status, HasReason(reason::kUniqueViolation));
  EXPECT_EQ(DetailOf(status).facts.at("item"), "1");
  EXPECT_THAT(std::string(status.message()), HasSubstr("mutations[1]"));
}

TEST_F(EngineTest, GivesEveryItemOfABatchItsOwnStatusWhenAShardIsDown) {
  scripts_[1].fail[CallKind::kExecute] = Down();
  Mutation bad = InsertUser(3);
  bad.record["nope"] = Value::Bool(true);
  const WriteOperation op =
      WriteOf({InsertUser(0), InsertUser(1), InsertUser(2), bad, InsertUser(4)}, Atomicity::kEach);
  ASSERT_OK_AND_ASSIGN(const WriteResult result, Write(op));
  ASSERT_EQ(result.mutations.size(), 5u);
  EXPECT_THAT(result.mutations[0].status, IsOk());
  EXPECT_THAT(result.mutations[1].status, HasReason(reason::kShardUnavailable));
  EXPECT_THAT(result.mutations[2].status, IsOk());
  EXPECT_THAT(result.mutations[3].status, HasReason(reason::kInvalidField));
  EXPECT_THAT(result.mutations[4].status, HasReason(reason::kShardUnavailable));
  EXPECT_THAT(result.served_by.asked, ElementsAre(ShardId{0}, ShardId{1}, ShardId{2}));
  EXPECT_THAT(result.served_by.answered, ElementsAre(ShardId{0}, ShardId{2}));
  EXPECT_THAT(Commits(), ElementsAre(1, 0, 1));
}

TEST_F(EngineTest, RepeatsTheStoredReplyOfARequest) {
  WriteOperation op = WriteOf({InsertUser(1)});
  op.request_id = "r1";
  op.request_hash = 7;
  ASSERT_OK_AND_ASSIGN(WriteResult result, Write(op));
  EXPECT_FALSE(result.replayed);
  ASSERT_OK_AND_ASSIGN(result, Write(op));
  EXPECT_TRUE(result.replayed);
  EXPECT_EQ(result.mutations[0].affected, 1);
  EXPECT_THAT(Commits(), ElementsAre(0, 1, 0));
  op.request_hash = 8;
  EXPECT_THAT(Write(op), HasReason(reason::kRequestIdReused));
}

TEST_F(EngineTest, MakesKeysThatGrow) {
  std::vector<int64_t> keys;
  for (ShardScript& shard : scripts_) {
    shard.step = [](const Step& step) {
      return RowsResult({{step.statements[0].params[0], Value::Null(), Value::Null(), Value::Null()}});
    };
  }
  for (int i = 0; i < 50; ++i) {
    Mutation mutation = MakeMutation(MutationKind::kInsert, "users", {});
    GeneratedColumn column;
    column.column = "id";
    column.kind = GeneratedKind::kInt64TimeOrdered;
    mutation.generate.push_back(column);
    ASSERT_OK_AND_ASSIGN(const WriteResult result, Write(WriteOf({mutation})));
    keys.push_back(result.mutations[0].key.at("id").int64_value());
  }
  EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
  EXPECT_EQ(std::adjacent_find(keys.begin(), keys.end()), keys.end());
  EXPECT_GT(keys.front(), 0);
}

TEST_F(EngineTest, GivesARetriedWriteTheShardKeyOfTheFirstTry) {
  for (ShardScript& shard : scripts_) {
    shard.step = [](const Step& step) {
      const Value& first = step.statements[0].params[0];
      if (step.statements[0].params.size() == 1) return RowsResult({{first}});
      return RowsResult({{first, Value::Null(), Value::Null(), Value::Null()}});
    };
  }
  Mutation mutation = MakeMutation(MutationKind::kInsert, "users", {{"name", Value::Text("Ada")}});
  GeneratedColumn column;
  column.column = "id";
  column.kind = GeneratedKind::kInt64TimeOrdered;
  mutation.generate.push_back(column);
  // Enough of them that fresh keys could not all meet their stored replies by chance.
  for (int i = 0; i < 20; ++i) {
    WriteOperation op = WriteOf({mutation});
    op.request_id = absl::StrCat("01900000-0000-7000-8000-0000000000", 10 + i);
    ASSERT_OK_AND_ASSIGN(const WriteResult first, Write(op));
    ASSERT_OK_AND_ASSIGN(const WriteResult second, Write(op));
    EXPECT_FALSE(first.replayed);
    EXPECT_TRUE(second.replayed);
    EXPECT_EQ(second.mutations[0].key.at("id"), first.mutations[0].key.at("id"));
  }
}

TEST_F(EngineTest, TellsTheStoredKeyWhenAGeneratedOneIsReplayed) {
  // The key of the job is generated, its shard is not chosen by it: a retry meets its stored reply.
  scripts_[0].step = [](const Step& step) -> absl::StatusOr<StepResult> {
    if (!step.statements[0].returns_rows) return absl::InternalError("the row must come back");
    return RowsResult({{step.statements[0].params[0], Value::Null()}});
  };
  Mutation mutation = MakeMutation(MutationKind::kInsert, "jobs", {});
  GeneratedColumn column;
  column.column = "id";
  column.kind = GeneratedKind::kInt64TimeOrdered;
  mutation.generate.push_back(column);
  WriteOperation op = WriteOf({mutation});
  op.request_id = "r1";
  ASSERT_OK_AND_ASSIGN(const WriteResult first, Write(op));
  ASSERT_OK_AND_ASSIGN(const WriteResult second, Write(op));
  EXPECT_TRUE(second.replayed);
  EXPECT_EQ(second.mutations[0].key.at("id"), first.mutations[0].key.at("id"));
}

// ---- Transactions ----

TEST_F(EngineTest, KeepsATransactionToItsShardWhereThatIsAsked) {
  BeginOptions options;
  options.single_shard = true;
  const std::string id = *engine_->Begin(options);
  EXPECT_THAT(Write(WriteOf({InsertUser(1)}), id), IsOk());
  EXPECT_THAT(Write(WriteOf({InsertUser(2)}), id), HasReason(reason::kCrossShardTransaction));
  EXPECT_THAT(Write(WriteOf({InsertUser(1), InsertUser(2)}, Atomicity::kEach), id),
              HasReason(reason::kCrossShardTransaction));
  Record country;
  country["code"] = Value::Text("de");
  EXPECT_THAT(Write(WriteOf({MakeMutation(MutationKind::kInsert, "countries", country)}), id),
              HasReason(reason::kCrossShardTransaction));
  ASSERT_OK_AND_ASSIGN(const ReadResult read, Read(ReadOf("countries", {KeyOf({Value::Text("de")})}), id));
  EXPECT_THAT(read.served_by.asked, ElementsAre(ShardId{1}));
  EXPECT_THAT(RunNow(loop_, engine_->Savepoint(id, SavepointAction::kCreate, "a", ctx_)), IsOk());
  EXPECT_THAT(RunNow(loop_, engine_->Commit(id, false, ctx_)).status, IsOk());
  EXPECT_EQ(RunNow(loop_, engine_->GetTransaction(id, ctx_))->state, TransactionState::kCommitted);
  EXPECT_THAT(Commits(), ElementsAre(0, 1, 0));
  EXPECT_EQ(engine_->open_transactions(), 0u);
}

TEST_F(EngineTest, RollsBackOnRequest) {
  const std::string id = *engine_->Begin(BeginOptions());
  EXPECT_THAT(Write(WriteOf({InsertUser(1)}), id), IsOk());
  EXPECT_THAT(RunNow(loop_, engine_->Rollback(id, ctx_)), IsOk());
  EXPECT_EQ(RunNow(loop_, engine_->GetTransaction(id, ctx_))->state, TransactionState::kRolledBack);
  EXPECT_EQ(scripts_[1].rollbacks, 1);
  EXPECT_EQ(Sessions(), 0);
}

TEST_F(EngineTest, DoesNotKnowATransactionThatNeverWas) {
  EXPECT_THAT(Read(ReadOf("users", {IdKey(1)}), "garbage"), HasReason(reason::kTransactionNotFound));
  EXPECT_THAT(Write(WriteOf({InsertUser(1)}), "garbage"), HasReason(reason::kTransactionNotFound));
}

}  // namespace
}  // namespace quarry
