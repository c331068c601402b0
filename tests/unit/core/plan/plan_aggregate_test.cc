#include "core/plan/plan_aggregate.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/plan/sales_snapshot.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using Function = AggregateFunction;

class PlanAggregateTest : public testing::Test {
 protected:
  absl::StatusOr<AggregatePlan> Plan(const AggregateOperation& op) {
    return PlanAggregate(op, *snapshot_, ShardId{1}, texts_, limits_);
  }
  static const std::string& Sql(const Task& task) { return *task.steps.at(0).statements.at(0).sql; }
  static std::vector<std::string> Fields(const absl::Status& status) {
    std::vector<std::string> fields;
    for (const FieldViolation& violation : DetailOf(status).violations) fields.push_back(violation.field);
    return fields;
  }
  // customer = value
  static Condition CustomerIs(int64_t value) {
    Condition condition;
    condition.kind = Condition::Kind::kCompare;
    condition.column = "customer";
    condition.values = {Value::Int64(value)};
    return condition;
  }

  std::shared_ptr<const Snapshot> snapshot_ = SalesSnapshot(3, {Dialect::kPostgres, Dialect::kSqlite});
  AggregateLimits limits_;
  SqlTexts texts_;
};

TEST_F(PlanAggregateTest, AsksEachShardForItsShareInItsDialect) {
  ASSERT_OK_AND_ASSIGN(const AggregatePlan plan,
                       Plan(AggregateOf({"region", "price"}, {{Function::kCount, "", "n"}, {Function::kSum, "price", "total"},
                                                              {Function::kAvg, "small", "mean"}, {Function::kMin, "ref", "first"}})));
  ASSERT_EQ(plan.parts.size(), 3u);
  EXPECT_EQ(plan.parts[1].shard, ShardId{1});
  EXPECT_EQ(Sql(plan.parts[0].partial),
            R"(SELECT t0."region"::text COLLATE "C", t0."price", count(*), sum(t0."price")::numeric, sum(t0."small")::numeric, )"
            R"(count(t0."small"), min(t0."ref"::text COLLATE "C")::uuid FROM "sales" AS t0 )"
            R"(GROUP BY t0."region"::text COLLATE "C", t0."price" LIMIT $1)");
  EXPECT_EQ(Sql(plan.parts[1].partial),
            R"(SELECT t0."region" COLLATE BINARY, t0."price" COLLATE quarry_decimal, count(*), quarry_sum_decimal(t0."price"), )"
            R"(quarry_sum_int(t0."small"), count(t0."small"), min(t0."ref") FROM "sales" AS t0 )"
            R"(GROUP BY t0."region" COLLATE BINARY, t0."price" COLLATE quarry_decimal LIMIT ?1)");
  EXPECT_EQ(plan.parts[0].partial.steps[0].statements[0].sql, plan.parts[2].partial.steps[0].statements[0].sql);
  EXPECT_EQ(plan.parts[0].partial.steps[0].statements[0].result_types->size(), 7u);
  std::vector<size_t> positions;
  for (const AggregateColumn& column : plan.spec.columns) positions.push_back(column.position);
  EXPECT_THAT(positions, ElementsAre(2u, 3u, 4u, 6u));
  std::vector<std::string> header;
  for (const ColumnHeader& column : *plan.spec.header) header.push_back(absl::StrCat(column.name, " ", TypeName(column.type)));
  EXPECT_THAT(header, ElementsAre("region text", "price decimal", "n int64", "total decimal", "mean decimal", "first uuid"));
  EXPECT_EQ(plan.spec.order.size(), 2u);
}

TEST_F(PlanAggregateTest, ResultTypesAreThoseOfPostgres) {
  ASSERT_OK_AND_ASSIGN(const AggregatePlan plan,
                       Plan(AggregateOf({}, {{Function::kSum, "small", "a"}, {Function::kSum, "number", "b"}, {Function::kSum, "ratio", "c"},
                                             {Function::kAvg, "ratio", "d"}, {Function::kMax, "paid", "e"}, {Function::kMax, "mood", "f"}})));
  std::vector<std::string> types;
  for (const AggregateColumn& column : plan.spec.columns) types.push_back(TypeName(column.result));
  EXPECT_THAT(types, ElementsAre("int64", "decimal", "double", "double", "bool", "text"));
}

TEST_F(PlanAggregateTest, DistinctValuesThatShardsMayShareComeByThemselves) {
  ASSERT_OK_AND_ASSIGN(AggregatePlan plan, Plan(AggregateOf({"region"}, {{Function::kCountDistinct, "price", "prices"},
                                                                         {Function::kCountDistinct, "customer", "customers"}})));
  EXPECT_TRUE(plan.spec.columns[0].distinct_by_value);
  EXPECT_FALSE(plan.spec.columns[1].distinct_by_value);
  EXPECT_EQ(plan.spec.columns[1].position, 1u);
  ASSERT_EQ(plan.parts[0].distinct.size(), 1u);
  EXPECT_EQ(plan.parts[0].distinct[0].first, 0u);
  EXPECT_EQ(Sql(plan.parts[0].distinct[0].second),
            R"(SELECT t0."region"::text COLLATE "C", t0."price" FROM "sales" AS t0 WHERE t0."price" IS NOT NULL )"
            R"(GROUP BY t0."region"::text COLLATE "C", t0."price" LIMIT $1)");
  EXPECT_THAT(Sql(plan.parts[1].partial), HasSubstr(R"(count(DISTINCT t0."customer"))"));
  // One shard, or groups that do not span shards: counted there.
  AggregateOperation op = AggregateOf({"region"}, {{Function::kCountDistinct, "price", "prices"}});
  op.filter = CustomerIs(4);
  ASSERT_OK_AND_ASSIGN(plan, Plan(op));
  ASSERT_EQ(plan.parts.size(), 1u);
  EXPECT_EQ(plan.parts[0].shard, ShardId{1});
  EXPECT_THAT(plan.parts[0].distinct, IsEmpty());
  EXPECT_THAT(Sql(plan.parts[0].partial), HasSubstr(R"(count(DISTINCT t0."price" COLLATE quarry_decimal))"));
  ASSERT_OK_AND_ASSIGN(plan, Plan(AggregateOf({"customer"}, {{Function::kCountDistinct, "price", "prices"}})));
  EXPECT_THAT(plan.parts[0].distinct, IsEmpty());
}

TEST_F(PlanAggregateTest, AShardWithNothingToCountStillAnswers) {
  ASSERT_OK_AND_ASSIGN(const AggregatePlan plan, Plan(AggregateOf({}, {{Function::kCountDistinct, "price", "prices"}})));
  EXPECT_EQ(Sql(plan.parts[0].partial), R"(SELECT count(*) FROM "sales" AS t0)");
}

TEST_F(PlanAggregateTest, NoShardGivesMoreThanOneAboveWhatTheMergeHolds) {
  limits_.groups_max = 10;
  limits_.values_max = 20;
  ASSERT_OK_AND_ASSIGN(const AggregatePlan plan, Plan(AggregateOf({"region"}, {{Function::kCountDistinct, "price", "prices"}})));
  for (const AggregatePart& part : plan.parts) {
    EXPECT_THAT(part.partial.steps[0].statements[0].params, ElementsAre(Value::Int64(11)));
    ASSERT_EQ(part.distinct.size(), 1u);
    EXPECT_THAT(part.distinct[0].second.steps[0].statements[0].params, ElementsAre(Value::Int64(21)));
  }
}

TEST_F(PlanAggregateTest, TheFirstGroupsAloneAreAskedForWhenShardsKnowThem) {
  AggregateOperation op = AggregateOf({"customer"}, {{Function::kSum, "price", "total"}, {Function::kAvg, "price", "mean"}});
  op.order_by = {{"total", true, NullPlacement::kDefault}};
  op.limit = 5;
  op.offset = 2;
  ASSERT_OK_AND_ASSIGN(AggregatePlan plan, Plan(op));
  EXPECT_THAT(Sql(plan.parts[0].partial),
              HasSubstr(R"( ORDER BY sum(t0."price")::numeric DESC NULLS FIRST, t0."customer" NULLS LAST LIMIT $1)"));
  EXPECT_THAT(Sql(plan.parts[1].partial),
              HasSubstr(R"( ORDER BY quarry_sum_decimal(t0."price") COLLATE quarry_decimal DESC NULLS FIRST, t0."customer" NULLS LAST )"
                        R"(LIMIT ?1)"));
  EXPECT_THAT(plan.parts[0].partial.steps[0].statements[0].params, ElementsAre(Value::Int64(7)));
  const auto asks_for_all = [this](const AggregateOperation& asked) {
    const absl::StatusOr<AggregatePlan> made = Plan(asked);
    EXPECT_THAT(made, IsOk());
    return made.ok() && Sql(made->parts[0].partial).find("ORDER BY") == std::string::npos;
  };
  AggregateOperation other = op;
  other.order_by[0].column = "mean";
  EXPECT_TRUE(asks_for_all(other)) << "shards give no average";
  other = op;
  other.group_by = {"region"};
  EXPECT_TRUE(asks_for_all(other)) << "groups span shards";
  other = op;
  other.having = CustomerIs(3);
  EXPECT_TRUE(asks_for_all(other)) << "having may drop the first groups";
  other = op;
  other.limit = 0;
  EXPECT_TRUE(asks_for_all(other));
}

TEST_F(PlanAggregateTest, HavingAndOrderSpeakOfResults) {
  AggregateOperation op = AggregateOf({"region"}, {{Function::kSum, "small", "total"}});
  op.having = CustomerIs(10);
  op.having->column = "total";
  op.order_by = {{"total", false, NullPlacement::kFirst}};
  ASSERT_OK_AND_ASSIGN(const AggregatePlan plan, Plan(op));
  ASSERT_TRUE(plan.spec.having.has_value());
  EXPECT_EQ(plan.spec.having->column.position, 1u);
  ASSERT_EQ(plan.spec.order.size(), 2u);
  EXPECT_EQ(plan.spec.order[0].position, 1u);
  EXPECT_TRUE(plan.spec.order[0].nulls_first);
  EXPECT_EQ(plan.spec.order[1].position, 0u);
}

TEST_F(PlanAggregateTest, TellsEveryMistakeAtOnce) {
  AggregateOperation op = AggregateOf({"regoin", "doc", "price", "price"},
                                      {{Function::kSum, "region", "a"}, {Function::kMin, "doc", "a"}, {Function::kAvg, "", ""},
                                       {Function::kMax, "prise", "b"}, {Function::kCount, "doc", "price"}});
  op.filter = CustomerIs(1);
  op.filter->column = "customr";
  op.filter->place = "filter";
  op.having = CustomerIs(1);
  op.having->column = "total";
  op.having->place = "having";
  op.order_by = {{"c", false, NullPlacement::kDefault}, {"b", false, NullPlacement::kDefault}, {"b", true, NullPlacement::kDefault}};
  op.limit = -1;
  op.offset = -1;
  const absl::Status status = Plan(op).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Fields(status),
              UnorderedElementsAre("group_by[0]", "group_by[1]", "group_by[3]", "aggregates[0].column", "aggregates[1].column",
                                   "aggregates[1].name", "aggregates[2].column", "aggregates[2].name", "aggregates[3].column",
                                   "aggregates[4].name", "order_by[0]", "order_by[2]", "filter", "having", "limit", "offset"));
  for (const FieldViolation& violation : DetailOf(status).violations) {
    const char* meant = violation.field == "group_by[0]" ? "\"region\"?" : violation.field == "aggregates[3].column" ? "\"price\"?" : "";
    EXPECT_THAT(violation.description, HasSubstr(meant)) << violation.field;
  }
}

TEST_F(PlanAggregateTest, NamesTheFunctionThatAColumnDoesNotFit) {
  const std::vector<std::pair<Function, std::string>> names = {{Function::kCountDistinct, "count distinct"}, {Function::kSum, "sum"},
                                                               {Function::kAvg, "avg"}, {Function::kMin, "min"},
                                                               {Function::kMax, "max"}};
  for (const auto& [function, name] : names) {
    const std::string without = std::string(Plan(AggregateOf({}, {{function, "", "a"}})).status().message());
    EXPECT_THAT(without, HasSubstr(absl::StrCat("is empty; ", name, " needs a column")));
    const bool adds = function == Function::kSum || function == Function::kAvg;
    const std::string unordered = std::string(Plan(AggregateOf({}, {{function, "doc", "a"}})).status().message());
    EXPECT_THAT(unordered, HasSubstr(adds ? absl::StrCat("; ", name, " takes integers, decimals and floats")
                                          : absl::StrCat("so it has no ", name, "; only count takes it")));
  }
}

TEST_F(PlanAggregateTest, AsksForSomethingButNotForTooMuch) {
  EXPECT_THAT(Fields(Plan(AggregateOf({}, {})).status()), ElementsAre("aggregates"));
  std::vector<AggregateTerm> many;
  for (size_t i = 0; i <= kAggregatesMax; ++i) many.push_back({Function::kCount, "", absl::StrCat("n", i)});
  EXPECT_THAT(Fields(Plan(AggregateOf({}, many)).status()), ElementsAre("aggregates"));
  many.pop_back();
  EXPECT_THAT(Plan(AggregateOf({}, many)), IsOk());
  EXPECT_THAT(Plan(AggregateOf({"region"}, {})), IsOk());
}

TEST_F(PlanAggregateTest, AsksOneShardOfAReferenceTable) {
  AggregateOperation op = AggregateOf({}, {{Function::kCountDistinct, "name", "names"}});
  op.table = "countries";
  ASSERT_OK_AND_ASSIGN(const AggregatePlan plan, Plan(op));
  ASSERT_EQ(plan.parts.size(), 1u);
  EXPECT_EQ(plan.parts[0].shard, ShardId{1});
  EXPECT_FALSE(plan.spec.columns[0].distinct_by_value);
}

TEST_F(PlanAggregateTest, ATableMayRefuseSeveralShardsAndSoMayACall) {
  AggregateOperation op = AggregateOf({}, {{Function::kCount, "", "n"}});
  op.bounds.shards_max = 2;
  absl::Status status = Plan(op).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), reason::kLimitExceeded);
  EXPECT_EQ(DetailOf(status).facts["shards"], "3");
  op.bounds.shards_max = 3;
  EXPECT_THAT(Plan(op), IsOk());
  snapshot_ = SalesSnapshot(3, {Dialect::kSqlite}, false);
  status = Plan(op).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), reason::kScatterNotAllowed);
  EXPECT_EQ(DetailOf(status).facts["columns"], "customer");
  EXPECT_THAT(std::string(status.message()), HasSubstr("(customer)"));
  op.filter = CustomerIs(2);
  EXPECT_THAT(Plan(op), IsOk());
}

TEST_F(PlanAggregateTest, ATargetNarrowsTheRoute) {
  AggregateOperation op = AggregateOf({}, {{Function::kCount, "", "n"}});
  op.target.shards = {"s2", "s0"};
  ASSERT_OK_AND_ASSIGN(AggregatePlan plan, Plan(op));
  EXPECT_THAT(plan.route.shards, ElementsAre(ShardId{0}, ShardId{2}));
  op.filter = CustomerIs(1);
  ASSERT_OK_AND_ASSIGN(plan, Plan(op));
  EXPECT_THAT(plan.parts, IsEmpty());
}

}  // namespace
}  // namespace quarry
