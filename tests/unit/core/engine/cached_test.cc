#include <string>
#include <utility>

#include "tests/unit/core/engine/query_cluster.h"

namespace quarry {
namespace {

// Rows that appear in the databases without the engine's knowledge tell a kept answer from a fresh one.
class CachedTest : public QueryClusterTest {
 protected:
  static Freshness UpTo(absl::Duration age, std::string key) {
    Freshness freshness;
    freshness.age_max = age;
    freshness.key = std::move(key);
    return freshness;
  }
  ListOperation Page(Freshness freshness = UpTo(absl::Minutes(1), "page")) {
    ListOperation op;
    op.query = ItemsBy({});
    op.freshness = std::move(freshness);
    return op;
  }
  AggregateOperation Count(Freshness freshness = UpTo(absl::Minutes(1), "count")) {
    AggregateOperation op;
    op.table = "items";
    op.aggregates = {{AggregateFunction::kCount, "", "n"}};
    op.freshness = std::move(freshness);
    return op;
  }
  // -1: the call failed.
  int64_t Counted(const AggregateOperation& op, const std::string& transaction = "") {
    absl::StatusOr<AggregateResult> result = Run(engine_->Aggregate(op, transaction, ctx_));
    if (!result.ok()) return -1;
    kept_ = result->served_by.age.has_value();
    EXPECT_EQ(result->served_by.level, kept_ ? ReadLevel::kPerShard : ReadLevel::kReadYourWrites);
    return result->rows[0][0].int64_value();
  }

  bool kept_ = false;
};

TEST_F(CachedTest, GivesAKeptAnswerToCallersWhoAcceptItsAgeAlone) {
  Fill(Mixed(5));
  EXPECT_EQ(Counted(Count()), 5);
  EXPECT_FALSE(kept_);
  Item late;
  late.id = 100;
  Fill({late});
  EXPECT_EQ(Counted(Count()), 5);
  EXPECT_TRUE(kept_);
  EXPECT_EQ(Counted(Count(Freshness())), 6) << "strong";
  EXPECT_EQ(Counted(Count(UpTo(absl::Minutes(1), "another question"))), 6);
  EXPECT_EQ(Counted(Count(UpTo(absl::Nanoseconds(1), "count"))), 6) << "too old for this caller";
}

TEST_F(CachedTest, AWriteThroughTheEngineEndsIt) {
  Fill(Mixed(3));
  const ListOperation page = Page();
  ASSERT_OK_AND_ASSIGN(ListResult first, List(page));
  EXPECT_EQ(first.rows.size(), 3u);
  ASSERT_OK_AND_ASSIGN(first, List(page));
  EXPECT_TRUE(first.served_by.age.has_value());
  EXPECT_EQ(first.served_by.level, ReadLevel::kPerShard);
  Item added;
  added.id = 50;
  Insert(added);
  ASSERT_OK_AND_ASSIGN(const ListResult second, List(page));
  EXPECT_EQ(second.rows.size(), 4u);
  EXPECT_FALSE(second.served_by.age.has_value());
  EXPECT_EQ(second.served_by.level, ReadLevel::kReadYourWrites);
  BulkWriteOperation bulk;
  bulk.table = "items";
  bulk.deletes = true;
  bulk.everything = true;
  bulk.many_shards = true;
  ASSERT_THAT(WriteWhere(bulk), IsOk());
  ASSERT_OK_AND_ASSIGN(const ListResult third, List(page));
  EXPECT_EQ(third.rows.size(), 0u);
}

TEST_F(CachedTest, ACommittedTransactionEndsItAndItsOwnReadsNeverSeeIt) {
  Fill(Mixed(3));
  EXPECT_EQ(Counted(Count()), 3);
  ASSERT_OK_AND_ASSIGN(const std::string transaction, engine_->Begin(BeginOptions()));
  const WriteOperation write = WriteOf(
      {MakeMutation(MutationKind::kInsert, "items", {{"id", Value::Int64(60)}, {"shop", Value::Int64(1)}})});
  ASSERT_THAT(Run(engine_->Write(write, transaction, ctx_)), IsOk());
  AggregateOperation mine = Count();
  mine.filter = Compare("id", CompareOp::kEqual, Value::Int64(60));
  EXPECT_EQ(Counted(mine, transaction), 1);
  EXPECT_FALSE(kept_);
  ASSERT_THAT(Run(engine_->Commit(transaction, false, ctx_)).status, IsOk());
  EXPECT_EQ(Counted(Count()), 4);
  EXPECT_FALSE(kept_);
}

TEST_F(CachedTest, PartialAnswersAndQuestionsAboutTwoTablesAreNotKept) {
  Fill(Mixed(6));
  ListOperation page = Page();
  page.query.allow_partial = true;
  faults_[1]->SetOptions({.error_before = 1});
  ASSERT_OK_AND_ASSIGN(const ListResult partial, List(page));
  EXPECT_EQ(partial.failed.size(), 1u);
  faults_[1]->SetOptions({});
  ASSERT_OK_AND_ASSIGN(const ListResult whole, List(page));
  EXPECT_EQ(whole.rows.size(), 6u);
  EXPECT_FALSE(whole.served_by.age.has_value());
  ListOperation related = Page(UpTo(absl::Minutes(1), "related"));
  Condition has;
  has.kind = Condition::Kind::kHas;
  has.column = "country";
  related.query.filter = has;
  ASSERT_THAT(List(related), IsOk());
  ASSERT_OK_AND_ASSIGN(const ListResult again, List(related));
  EXPECT_FALSE(again.served_by.age.has_value());
}

}  // namespace
}  // namespace quarry
