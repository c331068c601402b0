#include "core/engine/query_stats.h"

#include <string>

#include "gtest/gtest.h"

namespace quarry {
namespace {

Condition CompareNumber(const std::string& column, CompareOp op, int64_t value) {
  Condition condition;
  condition.kind = Condition::Kind::kCompare;
  condition.column = column;
  condition.op = op;
  condition.values.push_back(Value::Int64(value));
  return condition;
}

QueryOperation Priced(int64_t value) {
  QueryOperation op;
  op.table = "items";
  op.filter = CompareNumber("price", CompareOp::kGreater, value);
  op.order_by = {{"price", true, NullPlacement::kLast}};
  return op;
}

TEST(QueryShapeTest, ValuesAreNoPartOfIt) {
  const QueryShape shape = ShapeOf(Priced(1));
  EXPECT_EQ(shape.method, "Query");
  EXPECT_EQ(shape.text, "price > ? ORDER BY price DESC NULLS LAST");
  EXPECT_EQ(shape.id, ShapeOf(Priced(2)).id);
  QueryOperation other = Priced(1);
  other.table = "orders";
  EXPECT_NE(ShapeOf(other).id, shape.id);
  EXPECT_EQ(QueryIdText(0xab), "00000000000000ab");
}

TEST(QueryShapeTest, ListsOfEveryLengthAreOneShape) {
  QueryOperation op;
  Condition in;
  in.kind = Condition::Kind::kIn;
  in.column = "id";
  in.values = {Value::Int64(1)};
  Condition either;
  either.kind = Condition::Kind::kOr;
  either.children = {in, CompareNumber("a", CompareOp::kEqual, 1)};
  Condition both;
  both.kind = Condition::Kind::kAnd;
  both.children = {either, in};
  op.filter = both;
  const QueryShape one = ShapeOf(op);
  EXPECT_EQ(one.text, "(id IN (?) OR a = ?) AND id IN (?)");
  op.filter->children[1].values.push_back(Value::Int64(2));
  EXPECT_EQ(ShapeOf(op).id, one.id);
}

TEST(QueryShapeTest, AggregatesAndWritesSayWhatTheyDo) {
  AggregateOperation aggregate;
  aggregate.table = "items";
  aggregate.group_by = {"status"};
  aggregate.aggregates = {{AggregateFunction::kCount, "", "n"}, {AggregateFunction::kCountDistinct, "city", "c"}};
  aggregate.having = CompareNumber("n", CompareOp::kGreater, 3);
  EXPECT_EQ(ShapeOf(aggregate).text, "count(*), count(distinct city) of all rows GROUP BY status HAVING n > ?");
  BulkWriteOperation write;
  write.set = {{"price", Value::Int64(5)}};
  write.filter = CompareNumber("id", CompareOp::kLess, 9);
  EXPECT_EQ(ShapeOf(write).text, "SET price of id < ?");
  write.deletes = true;
  EXPECT_EQ(ShapeOf(write).method, "DeleteWhere");
}

TEST(QueryShapeTest, ALongTextIsCutButNotItsId) {
  QueryOperation op;
  op.filter = Condition();
  for (int i = 0; i < 1'000; ++i) op.filter->children.push_back(CompareNumber("spalte_ä", CompareOp::kEqual, i));
  const QueryShape shape = ShapeOf(op);
  EXPECT_LE(shape.text.size(), 2'010u);
  op.filter->children.push_back(CompareNumber("one_more", CompareOp::kEqual, 1));
  EXPECT_EQ(ShapeOf(op).text, shape.text);
  EXPECT_NE(ShapeOf(op).id, shape.id);
}

QueryCost Cost(int millis, int64_t rows, std::vector<ShardId> asked) {
  QueryCost cost;
  cost.time = absl::Milliseconds(millis);
  cost.rows = rows;
  for (const ShardId shard : asked) cost.shards.Of(shard);
  return cost;
}

TEST(QueryStatsTest, AddsUpTheLoops) {
  QueryStats stats(2);
  const QueryShape shape = ShapeOf(Priced(1));
  QueryCost alone = Cost(10, 3, {ShardId{0}});
  alone.shards.Of(ShardId{0}).rows = 3;
  alone.shards.Of(ShardId{0}).time = absl::Milliseconds(8);
  stats.Record(0, shape, alone, nullptr);
  // In any order; a shard that is asked twice is one.
  QueryCost scattered = Cost(30, 4, {ShardId{1}, ShardId{0}, ShardId{1}});
  scattered.shards.Of(ShardId{0}).rows = 1;
  scattered.shards.Of(ShardId{1}).rows = 6;
  scattered.shards.Of(ShardId{0}).time = absl::Milliseconds(2);
  scattered.shards.Of(ShardId{1}).time = absl::Milliseconds(29);
  stats.Record(1, shape, scattered, nullptr);
  QueryCost failed = Cost(5, 0, {});
  failed.failed = true;
  stats.Record(1, shape, failed, nullptr);
  const std::vector<QueryShapeTotals> all = stats.Read();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].calls, 3);
  EXPECT_EQ(all[0].errors, 1);
  EXPECT_EQ(all[0].rows, 7);
  EXPECT_EQ(all[0].time, absl::Milliseconds(45));
  EXPECT_EQ(all[0].time_max, absl::Milliseconds(30));
  EXPECT_EQ(all[0].scatter_calls, 1);
  EXPECT_EQ(all[0].shards_asked, 3);
  EXPECT_EQ(all[0].shards.at(ShardId{0}).calls, 2);
  EXPECT_EQ(all[0].shards.at(ShardId{0}).rows, 4);
  EXPECT_EQ(all[0].shards.at(ShardId{0}).time, absl::Milliseconds(10));
  EXPECT_EQ(all[0].shards.at(ShardId{1}).calls, 1);
  EXPECT_EQ(all[0].shards.at(ShardId{1}).time, absl::Milliseconds(29));
  EXPECT_EQ(all[0].shards.at(ShardId{1}).rows, 6);
  EXPECT_FALSE(all[0].has_example);
}

TEST(QueryStatsTest, TheLeastUsedShapeGivesWay) {
  QueryStats stats(1, 2);
  QueryShape a{"List", "t", "a", 1};
  QueryShape b{"List", "t", "b", 2};
  QueryShape c{"List", "t", "c", 3};
  stats.Record(0, a, Cost(1, 0, {}), nullptr);
  stats.Record(0, b, Cost(1, 0, {}), nullptr);
  stats.Record(0, a, Cost(1, 0, {}), nullptr);
  stats.Record(0, c, Cost(1, 0, {}), nullptr);
  std::string left;
  for (const QueryShapeTotals& totals : stats.Read()) left += totals.shape.text;
  EXPECT_EQ(left, "ac");
}

TEST(QueryStatsTest, TheShardsOfAllShapesOfALoopAreBounded) {
  QueryStats stats(1, 1'000, 100);
  std::vector<ShardId> shards;
  for (uint32_t shard = 0; shard < 40; ++shard) shards.push_back(ShardId{shard});
  for (uint64_t id = 1; id <= 50; ++id) stats.Record(0, {"List", "t", "shape", id}, Cost(1, 0, shards), nullptr);
  EXPECT_EQ(stats.Read().size(), 2u);
  for (uint64_t id = 51; id <= 80; ++id) stats.Record(0, {"List", "t", "shape", id}, Cost(1, 0, {ShardId{0}}), nullptr);
  EXPECT_EQ(stats.Read().size(), 1u + 30) << "one of the first gave way";
  size_t kept = 0;
  for (const QueryShapeTotals& totals : stats.Read()) kept += totals.shards.size();
  EXPECT_LE(kept, 100u);
  // One shape over more shards than that is kept nevertheless: it is the one that is asked.
  for (uint32_t shard = 40; shard < 200; ++shard) shards.push_back(ShardId{shard});
  stats.Record(0, {"List", "t", "wide", 99}, Cost(1, 0, shards), nullptr);
  ASSERT_EQ(stats.Read().size(), 1u);
  EXPECT_EQ(stats.Read()[0].shards.size(), 200u);
}

TEST(QueryStatsTest, ALoopKeepsAThousandShapesAndTheMostUsedAmongThem) {
  QueryStats stats(2);
  constexpr uint64_t kShapes = 2'500;
  const auto shape = [](uint64_t id) { return QueryShape{"List", "t", "shape " + std::to_string(id), id}; };
  for (uint64_t id = 1; id <= 10; ++id) {
    for (int call = 0; call < 3; ++call) stats.Record(0, shape(id), Cost(1, 0, {}), nullptr);
  }
  for (uint64_t id = 11; id <= kShapes; ++id) stats.Record(0, shape(id), Cost(1, 0, {}), nullptr);
  const std::vector<QueryShapeTotals> all = stats.Read();
  EXPECT_EQ(all.size(), 1'000u);
  int64_t often = 0;
  bool newest = false;
  for (const QueryShapeTotals& totals : all) {
    often += totals.shape.id <= 10 ? totals.calls : 0;
    newest = newest || totals.shape.id == kShapes;
  }
  EXPECT_EQ(often, 30);
  EXPECT_TRUE(newest);
  // Loops have shapes of their own, which count together where they are the same.
  for (uint64_t id = 1; id <= kShapes; ++id) stats.Record(1, shape(id), Cost(1, 0, {}), nullptr);
  EXPECT_LE(stats.Read().size(), 2'000u);
  int64_t calls = 0;
  for (const QueryShapeTotals& totals : stats.Read()) calls += totals.calls;
  EXPECT_EQ(calls, 1'000 + 20 + 1'000);
}

TEST(QueryStatsTest, KeepsTheFirstCallThatDidNotFailAsTheExample) {
  QueryStats stats(2);
  const QueryShape shape = ShapeOf(Priced(1));
  int made = 0;
  const auto example = [&made] {
    ++made;
    return std::make_shared<const QueryExample>(Priced(made));
  };
  QueryCost failed = Cost(1, 0, {});
  failed.failed = true;
  stats.Record(1, shape, failed, example);
  EXPECT_EQ(stats.FindExample(shape.id), nullptr);
  stats.Record(1, shape, Cost(1, 0, {}), example);
  stats.Record(1, shape, Cost(1, 0, {}), example);
  EXPECT_EQ(made, 1);
  const auto kept = stats.FindExample(shape.id);
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(std::get<QueryOperation>(*kept).filter->values.at(0), Value::Int64(1));
  EXPECT_TRUE(stats.Read().at(0).has_example);
  EXPECT_EQ(stats.FindExample(shape.id + 1), nullptr);
}

}  // namespace
}  // namespace quarry
