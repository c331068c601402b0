// What calls take of each shard, where one shard is slow.
#include <memory>
#include <string>
#include <utility>

#include "tests/unit/core/engine/query_cluster.h"

namespace quarry {
namespace {

constexpr absl::Duration kSlow = absl::Milliseconds(200);

class ShardCostsTest : public QueryClusterTest {
 protected:
  ShardCostsTest() { ctx_.shard_costs = &costs_; }
  void MakeSlow(size_t shard) {
    FaultOptions options;
    options.delay = 1;
    options.delay_time = kSlow;
    faults_[shard]->SetOptions(options);
  }
  // Of three shards, the second of which is slow; then begins anew.
  void ExpectTheSecondToBeSlow(int64_t rows) {
    ASSERT_EQ(costs_.size(), 3u);
    int64_t rows_of_shards = 0;
    for (const ShardCost& cost : costs_) {
      rows_of_shards += cost.rows;
      if (cost.shard == ShardId{1}) {
        EXPECT_GE(cost.time, kSlow);
      } else {
        EXPECT_GT(cost.time, absl::ZeroDuration());
        EXPECT_LT(cost.time, costs_.Of(ShardId{1}).time / 2) << Index(cost.shard);
      }
    }
    EXPECT_EQ(rows_of_shards, rows);
    costs_ = ShardCosts();
  }
  AggregateOperation CountByShop() {
    AggregateOperation op;
    op.table = "items";
    op.group_by = {"shop"};
    op.aggregates = {{AggregateFunction::kCount, "", "n"}};
    return op;
  }

  ShardCosts costs_;
};

TEST_F(ShardCostsTest, EveryKindOfQuestionCountsEachShardsTimeAndRows) {
  Fill(Mixed(30));
  MakeSlow(1);
  ASSERT_THAT(QueryRows(ItemsBy({By("price")})), IsOk());
  ExpectTheSecondToBeSlow(30);
  ListOperation page;
  page.query = ItemsBy({By("name")});
  page.page_size = 100;
  ASSERT_THAT(List(page), IsOk());
  ExpectTheSecondToBeSlow(30);
  // id and shop are of one remainder by three: each shard has one group.
  ASSERT_THAT(Run(engine_->Aggregate(CountByShop(), "", ctx_)), IsOk());
  ExpectTheSecondToBeSlow(3);
  BulkWriteOperation write;
  write.table = "items";
  write.everything = true;
  write.many_shards = true;
  write.batch_rows = 4;
  write.set["name"] = Value::Text("all");
  ASSERT_THAT(WriteWhere(write), IsOk());
  ExpectTheSecondToBeSlow(30);
}

TEST_F(ShardCostsTest, ASingleShardIsCountedAlone) {
  Fill(Mixed(9));
  QueryOperation op = ItemsBy({});
  op.filter = Compare("id", CompareOp::kEqual, Value::Int64(4));
  ASSERT_THAT(QueryRows(op), IsOk());
  ASSERT_EQ(costs_.size(), 1u);
  EXPECT_EQ(costs_.begin()->shard, ShardId{1});
  EXPECT_EQ(costs_.begin()->rows, 1);
}

TEST_F(ShardCostsTest, AReaderWhoTakesItsTimeIsNotTheShards) {
  std::vector<Item> items;
  for (int64_t id = 0; id < 3'000; ++id) {
    Item item;
    item.id = id;
    item.name = std::string(2'000, 'x');  // More than the batches that are read ahead.
    items.push_back(item);
  }
  Fill(items);
  QueryOperation op = ItemsBy({});
  const absl::Time began = loop_.Now();
  ASSERT_THAT(QueryRows(op), IsOk());
  const absl::Duration without_pauses = loop_.Now() - began;
  costs_ = ShardCosts();
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<QueryStream> stream, Run(engine_->Query(op, "", ctx_)));
  absl::Duration waited;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const std::optional<QueryBatch> batch, Run(stream->Next()));
    if (!batch.has_value()) break;
    // The reader is busy while the loop goes on.
    const absl::Time until = loop_.Now() + without_pauses;
    const absl::Time from = loop_.Now();
    while (loop_.Now() < until) loop_.RunOnce(until - loop_.Now());
    waited += loop_.Now() - from;
  }
  ASSERT_EQ(costs_.size(), 3u);
  for (const ShardCost& cost : costs_) {
    EXPECT_EQ(cost.rows, 1'000);
    EXPECT_LT(cost.time, waited / 2);
  }
}

TEST_F(ShardCostsTest, FailedAndDroppedCallsCountWhatTheyTook) {
  Fill(Mixed(9));
  MakeSlow(1);
  {
    const AggregateOperation op = CountByShop();
    const std::string no_transaction;
    const Running running(engine_->Aggregate(op, no_transaction, ctx_), [](absl::StatusOr<AggregateResult>) {});
    const absl::Time until = loop_.Now() + kSlow / 2;
    while (loop_.Now() < until) loop_.RunOnce(until - loop_.Now());
  }
  ASSERT_EQ(costs_.size(), 3u);
  EXPECT_GE(costs_.Of(ShardId{1}).time, kSlow / 2);
  EXPECT_EQ(costs_.Of(ShardId{1}).rows, 0);
  EXPECT_EQ(costs_.Of(ShardId{0}).rows, 1);
  costs_ = ShardCosts();
  FaultOptions broken;
  broken.error_before = 1;
  faults_[1]->SetOptions(broken);
  EXPECT_FALSE(Run(engine_->Aggregate(CountByShop(), "", ctx_)).ok());
  EXPECT_GE(costs_.size(), 2u);
}

TEST_F(ShardCostsTest, IdenticalPagesShareAFlightThatSeesWhatWasWrittenBefore) {
  Fill(Mixed(6));
  MakeSlow(1);
  ListOperation op;
  op.query = ItemsBy({});
  op.question = "all items";
  const std::string no_transaction;
  const auto start = [&] {
    auto result = std::make_unique<std::optional<absl::StatusOr<ListResult>>>();
    Running running(engine_->List(op, no_transaction, ctx_), [to = result.get()](absl::StatusOr<ListResult> list) { to->emplace(std::move(list)); });
    return std::make_pair(std::move(result), std::move(running));
  };
  auto first = start();
  Item late;
  late.id = 99;
  Insert(late);
  auto second = start();
  auto third = start();
  while (!third.first->has_value() || !second.first->has_value()) loop_.RunOnce(absl::Seconds(10));
  ASSERT_TRUE(first.first->has_value());
  for (const auto* call : {&second, &third}) {
    ASSERT_THAT(**call->first, IsOk());
    EXPECT_EQ((**call->first)->rows.size(), 7u);
    EXPECT_FALSE((**call->first)->served_by.age.has_value());
  }
  EXPECT_EQ(shared_->merged.value(), 1u);
}

TEST_F(ShardCostsTest, AQuestionInATransactionIsItsOwn) {
  Fill(Mixed(6));
  AggregateOperation op = CountByShop();
  op.question = "count";
  op.filter = Compare("id", CompareOp::kEqual, Value::Int64(1));
  ASSERT_OK_AND_ASSIGN(const std::string one, engine_->Begin(BeginOptions()));
  const std::string no_transaction;
  const Running outside(engine_->Aggregate(op, no_transaction, ctx_), [](absl::StatusOr<AggregateResult>) {});
  ASSERT_OK_AND_ASSIGN(const AggregateResult inside, Run(engine_->Aggregate(op, one, ctx_)));
  EXPECT_EQ(inside.rows.size(), 1u);
  EXPECT_THAT(Run(engine_->Rollback(one, ctx_)), IsOk());
  EXPECT_EQ(shared_->merged.value(), 0u);
}

}  // namespace
}  // namespace quarry
