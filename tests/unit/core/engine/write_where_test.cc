#include <set>
#include <string>

#include "core/engine/bulk_write.h"
#include "tests/unit/core/engine/query_cluster.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kWriteRequest[] = "0190163d-8694-739b-aea5-966c26f8ad91";

class WriteWhereTest : public QueryClusterTest {
 protected:
  static BulkWriteOperation Mark(int64_t from_shop) {
    BulkWriteOperation op;
    op.table = "items";
    op.filter = Compare("shop", CompareOp::kGreaterOrEqual, Value::Int64(from_shop));
    op.set["name"] = Value::Text("marked");
    op.many_shards = true;
    op.batch_rows = 7;
    return op;
  }
  static int64_t RowsOf(const BulkWriteResult& result) {
    int64_t rows = 0;
    for (const BulkWriteResult::Part& part : result.parts) {
      EXPECT_THAT(part.status, IsOk());
      rows += part.rows;
    }
    return rows;
  }
  int64_t Marked() {
    QueryOperation op = ItemsBy({});
    op.filter = Compare("name", CompareOp::kEqual, Value::Text("marked"));
    return static_cast<int64_t>(QueryRows(op)->size());
  }
  static std::vector<Item> Shops(int64_t count) {
    std::vector<Item> items = Mixed(count);
    for (Item& item : items) item.shop = item.id % 2;
    return items;
  }
};

TEST_F(WriteWhereTest, UpdatesEveryMatchingRowInBatches) {
  Fill(Shops(101));
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult result, WriteWhere(Mark(1)));
  EXPECT_EQ(RowsOf(result), 50);
  EXPECT_EQ(Marked(), 50);
  ASSERT_THAT(result.parts, SizeIs(3));
  EXPECT_EQ(result.parts[0].batches, 3);  // 17 rows, 7 at a time.
  EXPECT_FALSE(result.replayed);
}

TEST_F(WriteWhereTest, DeletesWhatMatches) {
  Fill(Shops(60));
  BulkWriteOperation op = Mark(1);
  op.set.clear();
  op.deletes = true;
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult result, WriteWhere(op));
  EXPECT_EQ(RowsOf(result), 30);
  EXPECT_THAT(*QueryRows(ItemsBy({})), SizeIs(30));
}

TEST_F(WriteWhereTest, WritesOneShardWhenTheFilterSaysWhich) {
  Fill(Shops(30));
  BulkWriteOperation op = Mark(0);
  op.filter = Compare("id", CompareOp::kEqual, Value::Int64(4));
  op.many_shards = false;
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult result, WriteWhere(op));
  EXPECT_EQ(RowsOf(result), 1);
  EXPECT_THAT(result.parts, SizeIs(1));
}

TEST_F(WriteWhereTest, RefusesWhatIsNotMeant) {
  Fill(Shops(6));
  BulkWriteOperation op = Mark(0);
  op.many_shards = false;
  const absl::Status scatter = WriteWhere(op).status();
  EXPECT_THAT(scatter, HasReason(reason::kScatterNotAllowed));
  EXPECT_EQ(DetailOf(scatter).facts.at("shard_key"), "id");
  op = Mark(0);
  op.filter.reset();
  EXPECT_THAT(WriteWhere(op), HasReason(reason::kInvalidField));
  op.everything = true;
  EXPECT_THAT(WriteWhere(op), IsOk());
  op.set["id"] = Value::Int64(1);
  EXPECT_THAT(WriteWhere(op), HasReason(reason::kShardKeyImmutable));
  op = Mark(0);
  op.set = {{"shop", Value::Null()}, {"nmae", Value::Text("x")}};
  EXPECT_THAT(DetailOf(WriteWhere(op).status()).violations, SizeIs(2));
  op = Mark(0);
  op.table = "countries";
  op.filter = Compare("code", CompareOp::kEqual, Value::Text("de"));
  const absl::Status reference = WriteWhere(op).status();
  EXPECT_THAT(std::string(reference.message()), HasSubstr("BatchWrite"));
}

TEST_F(WriteWhereTest, GoesOnWhereAnEarlierTryEnded) {
  Fill(Shops(200));
  BulkWriteOperation op = Mark(1);
  op.request_id = kWriteRequest;
  op.request_hash = 5;
  // Three batches go through on s1; the answer of the fourth is lost although it was applied.
  for (int i = 0; i < 3; ++i) faults_[1]->Inject(Fault::kNone);
  faults_[1]->Inject(Fault::kErrorAfter);
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult first, WriteWhere(op));
  EXPECT_THAT(first.parts[0].status, IsOk());
  EXPECT_THAT(first.parts[1].status, StatusIs(absl::StatusCode::kUnknown));
  EXPECT_EQ(DetailOf(first.parts[1].status).facts.at("shard"), "s1");
  EXPECT_EQ(first.parts[1].rows, 21);
  EXPECT_LT(Marked(), 100);
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult second, WriteWhere(op));
  EXPECT_EQ(RowsOf(second), 100);
  EXPECT_FALSE(second.replayed);
  EXPECT_EQ(Marked(), 100);
  // What comes later is no part of the request.
  Item late;
  late.id = 999;
  late.shop = 1;
  Insert(late);
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult third, WriteWhere(op));
  EXPECT_EQ(RowsOf(third), 100);
  EXPECT_TRUE(third.replayed);
  EXPECT_EQ(Marked(), 100);
  op.request_hash = 6;
  EXPECT_THAT(WriteWhere(op), HasReason(reason::kRequestIdReused));
}

TEST_F(WriteWhereTest, IsNoReplayWhereABatchRanAnewAndFailed) {
  Fill(Shops(200));
  BulkWriteOperation op = Mark(1);
  op.target.shards = {"s1"};
  op.request_id = kWriteRequest;
  op.request_hash = 5;
  // 34 rows are four full batches and a last one, which is followed by the question whether rows are left.
  for (const auto& [answered, rows] : {std::pair(2, 14), std::pair(5, 34)}) {
    for (const bool again : {false, true}) {
      for (int i = 0; i < answered; ++i) faults_[1]->Inject(Fault::kNone);
      faults_[1]->Inject(Fault::kErrorBefore);
      ASSERT_OK_AND_ASSIGN(const BulkWriteResult result, WriteWhere(op));
      EXPECT_THAT(result.parts[0].status, HasReason(reason::kShardUnavailable));
      EXPECT_EQ(result.parts[0].rows, rows);
      EXPECT_FALSE(result.replayed) << answered << (again ? ", of which all were stored" : "");
    }
  }
}

TEST_F(WriteWhereTest, LetsTheOtherShardsGoOnUnlessThereAreNone) {
  Fill(Shops(60));
  faults_[2]->SetOptions({.error_before = 1});
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult result, WriteWhere(Mark(1)));
  EXPECT_THAT(result.parts[2].status, HasReason(reason::kShardUnavailable));
  EXPECT_EQ(result.parts[0].rows + result.parts[1].rows, 20);
  BulkWriteOperation one = Mark(1);
  one.target.shards = {"s2"};
  EXPECT_THAT(WriteWhere(one), HasReason(reason::kShardUnavailable));
}

TEST_F(WriteWhereTest, TellsWhatEachShardWroteAlsoWhenAllOfThemFail) {
  Fill(Shops(200));
  for (FaultBackend* shard : faults_) {
    for (int i = 0; i < 2; ++i) shard->Inject(Fault::kNone);
    shard->SetOptions({.error_before = 1});
  }
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult result, WriteWhere(Mark(1)));
  ASSERT_THAT(result.parts, SizeIs(3));
  for (const BulkWriteResult::Part& part : result.parts) {
    EXPECT_THAT(part.status, HasReason(reason::kShardUnavailable));
    EXPECT_EQ(part.rows, 14);
    EXPECT_EQ(part.batches, 2);
  }
  BulkWriteOperation one = Mark(1);
  one.target.shards = {"s2"};
  faults_[2]->Inject(Fault::kNone);
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult alone, WriteWhere(one));
  EXPECT_EQ(alone.parts[0].rows, 7);
  EXPECT_THAT(alone.parts[0].status, HasReason(reason::kShardUnavailable));
}

TEST_F(WriteWhereTest, SaysThatABatchIsInDoubtThoughAnotherShardWroteNothing) {
  Fill(Shops(60));
  for (FaultBackend* shard : faults_) shard->SetOptions({.error_before = 1});
  faults_[1]->Inject(Fault::kErrorAfter);
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult result, WriteWhere(Mark(1)));
  EXPECT_THAT(result.parts[0].status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(result.parts[1].status, StatusIs(absl::StatusCode::kUnknown));
}

TEST_F(WriteWhereTest, AnswersBeforeItsDeadlineWhenAShardHangs) {
  Fill(Shops(60));
  faults_[1]->Inject(Fault::kNone);
  faults_[1]->Inject(Fault::kHang);
  ctx_.deadline = loop_.Now() + absl::Seconds(1);
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult result, WriteWhere(Mark(1)));
  EXPECT_LT(loop_.Now(), ctx_.deadline) << "else the caller would have left without the answer";
  EXPECT_THAT(result.parts[1].status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(result.parts[1].rows, 7);
  EXPECT_EQ(result.parts[0].rows + result.parts[2].rows, 20);
}

TEST_F(WriteWhereTest, BelongsToItsTransaction) {
  Fill(Shops(60));
  const std::string id = *engine_->Begin(BeginOptions());
  BulkWriteOperation op = Mark(1);
  op.target.shards = {"s1"};
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult result, WriteWhere(op, id));
  EXPECT_EQ(RowsOf(result), 10);
  EXPECT_EQ(Marked(), 0);
  ASSERT_THAT(Run(engine_->Rollback(id, ctx_)), IsOk());
  EXPECT_EQ(Marked(), 0);
}

TEST_F(WriteWhereTest, LeavesNothingInATransactionWhenABatchFails) {
  Fill(Shops(60));
  // Of the rows 1, 7, …, 55 of this shard the last two cannot both be marked: the second batch fails, the first is written.
  ASSERT_THAT(databases_[1]->RunScript("CREATE UNIQUE INDEX once ON items(name) WHERE name = 'marked' AND id > 45;"), IsOk());
  const std::string id = *engine_->Begin(BeginOptions());
  BulkWriteOperation op = Mark(1);
  op.target.shards = {"s1"};
  op.request_id = kWriteRequest;
  const absl::Status failed = WriteWhere(op, id).status();
  EXPECT_THAT(failed, HasReason(reason::kUniqueViolation));
  EXPECT_EQ(DetailOf(failed).facts.at("shard"), "s1");
  // The transaction goes on, and a repeated call is no replay of batches that are gone.
  EXPECT_THAT(WriteWhere(op, id), HasReason(reason::kUniqueViolation));
  op.filter = Compare("id", CompareOp::kEqual, Value::Int64(7));
  op.request_id.clear();
  EXPECT_THAT(WriteWhere(op, id), IsOk());
  ASSERT_THAT(Run(engine_->Commit(id, false, ctx_)).status, IsOk());
  EXPECT_EQ(Marked(), 1);
}

TEST_F(WriteWhereTest, GivesItsTransactionTheSameAnswerAgain) {
  Fill(Shops(60));
  const std::string id = *engine_->Begin(BeginOptions());
  BulkWriteOperation op = Mark(1);
  op.target.shards = {"s1"};
  op.request_id = kWriteRequest;
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult first, WriteWhere(op, id));
  EXPECT_FALSE(first.replayed);
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult second, WriteWhere(op, id));
  EXPECT_TRUE(second.replayed);
  EXPECT_EQ(RowsOf(second), RowsOf(first));
}

TEST(DerivedRequestIdTest, IsAUuidOfItsOwnForEveryTask) {
  std::set<std::string> ids;
  for (int64_t batch = 0; batch < 10; ++batch) {
    for (const bool rest : {false, true}) ids.insert(DerivedRequestId(kWriteRequest, batch, rest));
  }
  EXPECT_EQ(ids.size(), 20u);
  for (const std::string& id : ids) EXPECT_EQ(CanonicalUuid(id), id);
  EXPECT_EQ(DerivedRequestId(kWriteRequest, 3, false), DerivedRequestId(kWriteRequest, 3, false));
}

}  // namespace
}  // namespace quarry
