#include "server/translate/query_request.h"

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/translate/query_response.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

v1::QueryRequest Priced() {
  v1::QueryRequest request;
  request.set_table("items");
  request.set_filter("price > @least");
  (*request.mutable_params())["least"].set_int64_value(10);
  return request;
}

TEST(QueryRequestTest, ATextFilterBecomesACondition) {
  v1::QueryRequest request = Priced();
  request.add_columns("*");
  v1::OrderBy* order = request.add_order_by();
  order->set_column("price");
  order->set_descending(true);
  order->set_nulls(v1::NULL_PLACEMENT_LAST);
  request.set_limit(7);
  request.set_max_shards(2);
  request.set_max_bytes(100);
  request.mutable_target()->set_shard("s1");
  ASSERT_OK_AND_ASSIGN(const QueryOperation op, ToOperation(request));
  EXPECT_EQ(op.table, "items");
  EXPECT_TRUE(op.columns.empty()) << "\"*\" alone is all";
  ASSERT_TRUE(op.filter.has_value());
  EXPECT_EQ(op.filter->kind, Condition::Kind::kCompare);
  EXPECT_EQ(op.filter->op, CompareOp::kGreater);
  EXPECT_EQ(op.filter->values.at(0), Value::Int64(10));
  ASSERT_EQ(op.order_by.size(), 1u);
  EXPECT_TRUE(op.order_by[0].descending);
  EXPECT_EQ(op.order_by[0].nulls, NullPlacement::kLast);
  EXPECT_EQ(op.limit, 7);
  EXPECT_EQ(op.bounds.shards_max, 2);
  EXPECT_EQ(op.bounds.bytes_max, 100);
  EXPECT_THAT(op.target.shards, ElementsAre("s1"));
}

TEST(QueryRequestTest, AStructuredConditionKeepsItsShapeAndPlaces) {
  v1::ListRequest request;
  request.set_table("items");
  v1::ConditionList* all = request.mutable_where()->mutable_and_();
  v1::CompareCondition* compare = all->add_conditions()->mutable_compare();
  compare->set_column("price");
  compare->set_op(v1::COMPARE_OPERATOR_LESS_OR_EQUAL);
  compare->set_other_column("cost");
  v1::InCondition* in = all->add_conditions()->mutable_not_()->mutable_in();
  in->set_column("status");
  in->add_values()->set_text_value("new");
  v1::HasCondition* has = all->add_conditions()->mutable_has();
  has->set_relation("lines");
  has->mutable_condition()->mutable_prefix()->set_column("name");
  has->mutable_condition()->mutable_prefix()->set_prefix("ab");
  ASSERT_OK_AND_ASSIGN(const ListOperation op, ToOperation(request));
  const Condition& where = *op.query.filter;
  EXPECT_EQ(where.kind, Condition::Kind::kAnd);
  ASSERT_EQ(where.children.size(), 3u);
  EXPECT_EQ(where.children[0].op, CompareOp::kLessOrEqual);
  EXPECT_EQ(where.children[0].other_column, "cost");
  EXPECT_EQ(where.children[0].place, "where.and[0]");
  EXPECT_EQ(where.children[1].kind, Condition::Kind::kNot);
  EXPECT_EQ(where.children[1].children[0].values.at(0), Value::Text("new"));
  EXPECT_EQ(where.children[2].kind, Condition::Kind::kHas);
  EXPECT_EQ(where.children[2].column, "lines");
  EXPECT_EQ(where.children[2].children[0].kind, Condition::Kind::kPrefix);
  EXPECT_EQ(where.children[2].children[0].place, "where.and[2].has.condition");
}

TEST(QueryRequestTest, ReportsEveryBadFieldAtOnce) {
  v1::QueryRequest request;
  request.set_filter("a = = 1");
  (*request.mutable_params())["unset"];
  request.add_order_by();
  request.add_order_by()->set_column("a");
  request.add_order_by()->set_column("a");
  request.set_limit(-1);
  request.set_offset(-1);
  request.set_max_rows(-1);
  request.mutable_target();
  const absl::Status status = ToOperation(request).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(FieldsOf(status), (std::set<std::string>{"filter", "params.unset", "order_by[0].column", "order_by[2].column",
                                                     "limit", "offset", "max_rows", "target"}));
}

TEST(QueryRequestTest, FilterAndWhereExcludeEachOther) {
  v1::QueryRequest request = Priced();
  request.mutable_where()->mutable_is_null()->set_column("price");
  const absl::Status status = ToOperation(request).status();
  EXPECT_EQ(FieldsOf(status), std::set<std::string>{"filter"});
  EXPECT_THAT(std::string(status.message()), HasSubstr("exclude each other"));
}

TEST(QueryRequestTest, ParametersNeedAFilterThatUsesThem) {
  v1::QueryRequest request = Priced();
  request.clear_filter();
  EXPECT_EQ(FieldsOf(ToOperation(request).status()), std::set<std::string>{"params.least"});
  request = Priced();
  request.clear_params();
  EXPECT_EQ(FieldsOf(ToOperation(request).status()), std::set<std::string>{"filter"});
}

TEST(QueryRequestTest, ConditionsHaveADepthAndANumber) {
  v1::ListRequest deep;
  v1::Condition* at = deep.mutable_where();
  for (int level = 0; level < 31; ++level) at = at->mutable_not_();
  at->mutable_is_null()->set_column("a");
  EXPECT_THAT(ToOperation(deep), IsOk()) << "32 levels";
  v1::Condition* below = at->mutable_not_();
  below->mutable_is_null()->set_column("a");
  EXPECT_THAT(std::string(ToOperation(deep).status().message()), HasSubstr("32 levels"));
  v1::ListRequest wide;
  for (int i = 0; i < 5'000; ++i) wide.mutable_where()->mutable_or_()->add_conditions()->mutable_is_null()->set_column("a");
  const absl::Status status = ToOperation(wide).status();
  EXPECT_EQ(FieldsOf(status), std::set<std::string>{"where.or[1999]"});
  v1::ListRequest empty;
  empty.mutable_where()->mutable_and_();
  EXPECT_EQ(FieldsOf(ToOperation(empty).status()), std::set<std::string>{"where.and"});
  empty.mutable_where()->mutable_and_()->add_conditions();
  EXPECT_EQ(FieldsOf(ToOperation(empty).status()), std::set<std::string>{"where.and[0]"});
}

TEST(QueryRequestTest, TheHashIsOfWhatDecidesTheRows) {
  ASSERT_OK_AND_ASSIGN(const QueryOperation first, ToOperation(Priced()));
  v1::QueryRequest same = Priced();
  same.set_resume_token("token");
  same.set_limit(3);
  same.set_max_rows(9);
  same.set_max_bytes(9);
  same.set_max_shards(9);
  ASSERT_OK_AND_ASSIGN(const QueryOperation again, ToOperation(same));
  EXPECT_EQ(again.request_hash, first.request_hash);
  v1::QueryRequest other = Priced();
  (*other.mutable_params())["least"].set_int64_value(11);
  ASSERT_OK_AND_ASSIGN(const QueryOperation changed, ToOperation(other));
  EXPECT_NE(changed.request_hash, first.request_hash);
  v1::ListRequest list;
  list.set_table("items");
  ASSERT_OK_AND_ASSIGN(const ListOperation page, ToOperation(list));
  list.set_page_size(50);
  list.set_page_token("token");
  ASSERT_OK_AND_ASSIGN(const ListOperation next, ToOperation(list));
  EXPECT_EQ(next.query.request_hash, page.query.request_hash);
  list.add_order_by()->set_column("price");
  ASSERT_OK_AND_ASSIGN(const ListOperation ordered, ToOperation(list));
  EXPECT_NE(ordered.query.request_hash, page.query.request_hash);
}

TEST(QueryRequestTest, AggregatesGetNamesAndShareParameters) {
  v1::AggregateRequest request;
  request.set_table("items");
  request.set_filter("price > @least AND name <> '@total'");
  request.set_having("sum_price > @total AND count > @least");
  (*request.mutable_params())["least"].set_int64_value(1);
  (*request.mutable_params())["total"].set_int64_value(2);
  request.add_group_by("status");
  request.add_aggregates()->set_function(v1::AGGREGATE_FUNCTION_COUNT);
  v1::AggregateTerm* sum = request.add_aggregates();
  sum->set_function(v1::AGGREGATE_FUNCTION_SUM);
  sum->set_column("price");
  ASSERT_OK_AND_ASSIGN(const AggregateOperation op, ToOperation(request));
  EXPECT_EQ(op.aggregates[0].name, "count");
  EXPECT_EQ(op.aggregates[1].name, "sum_price");
  EXPECT_TRUE(op.filter.has_value());
  EXPECT_TRUE(op.having.has_value());
  (*request.mutable_params())["spare"].set_int64_value(3);
  EXPECT_EQ(FieldsOf(ToOperation(request).status()), std::set<std::string>{"params.spare"});
}

TEST(QueryRequestTest, AggregatesThatMeanNothingAreRefused) {
  v1::AggregateRequest request;
  EXPECT_EQ(FieldsOf(ToOperation(request).status()), std::set<std::string>{"aggregates"});
  request.add_group_by("status");
  request.add_group_by("status");
  request.add_aggregates();
  request.add_aggregates()->set_function(v1::AGGREGATE_FUNCTION_SUM);
  v1::AggregateTerm* taken = request.add_aggregates();
  taken->set_function(v1::AGGREGATE_FUNCTION_COUNT);
  taken->set_name("status");
  EXPECT_EQ(FieldsOf(ToOperation(request).status()),
            (std::set<std::string>{"group_by[1]", "aggregates[0].function", "aggregates[1].column", "aggregates[2].name"}));
}

TEST(QueryRequestTest, ABulkWriteSaysWhichRowsOrThatAllAreMeant) {
  v1::DeleteWhereRequest request;
  request.set_table("items");
  EXPECT_EQ(FieldsOf(ToOperation(request).status()), std::set<std::string>{"filter"});
  request.set_everything(true);
  ASSERT_OK_AND_ASSIGN(const BulkWriteOperation all, ToOperation(request));
  EXPECT_TRUE(all.everything);
  EXPECT_TRUE(all.deletes);
  request.set_filter("id = 1");
  EXPECT_EQ(FieldsOf(ToOperation(request).status()), std::set<std::string>{"everything"});
  v1::UpdateWhereRequest update;
  update.set_filter("id = 1");
  update.set_request_id("no uuid");
  EXPECT_EQ(FieldsOf(ToOperation(update).status()), (std::set<std::string>{"request_id", "set"}));
  (*update.mutable_set()->mutable_columns())["price"].set_int64_value(3);
  update.set_request_id("0190A6E0-0000-7000-8000-000000000001");
  update.set_allow_many_shards(true);
  ASSERT_OK_AND_ASSIGN(const BulkWriteOperation op, ToOperation(update));
  EXPECT_FALSE(op.deletes);
  EXPECT_TRUE(op.many_shards);
  EXPECT_EQ(op.set.at("price"), Value::Int64(3));
  EXPECT_NE(op.request_hash, 0u);
}

TEST(QueryResponseTest, PartsOfABulkWriteAreSortedByNameAndAddedUp) {
  const Topology topology(Epoch{3}, {{ShardId{0}, "b", Dialect::kSqlite, "b.db"}, {ShardId{1}, "a", Dialect::kSqlite, "a.db"}});
  BulkWriteResult result;
  result.parts = {{ShardId{0}, 5, 2, absl::OkStatus()}, {ShardId{1}, 3, 1, absl::UnavailableError("down")}};
  v1::UpdateWhereResponse wire;
  FillResponse(result, topology, &wire);
  EXPECT_EQ(wire.rows(), 8);
  ASSERT_EQ(wire.shards_size(), 2);
  EXPECT_EQ(wire.shards(0).shard(), "a");
  EXPECT_EQ(wire.shards(0).status().code(), static_cast<int>(absl::StatusCode::kUnavailable));
  EXPECT_EQ(wire.shards(1).batches(), 2);
}

}  // namespace
}  // namespace quarry
