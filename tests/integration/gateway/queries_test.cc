// List, Query, Aggregate, UpdateWhere, DeleteWhere, Explain and ListTopQueries through a whole gateway.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "httplib.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::Filter;
using client::Value;

class QueriesTest : public GatewayTest {
 protected:
  // `count` customers of one email domain, spread over the shards, with visits 0, 1, 2, ...
  std::string AddGroup(int count) {
    const std::string mark = absl::StrCat("group", gateway_.NewId());
    for (int i = 0; i < count; ++i) {
      const int64_t id = gateway_.NewCustomerOn(i % shards());
      EXPECT_THAT(client().Insert("customers", {{"id", id}, {"name", mark}, {"visits", i}}), IsOk());
    }
    return mark;
  }
  static Filter Named(const std::string& mark) { return Filter("name = @name", {{"name", mark}}); }
};
INSTANTIATE_TEST_SUITE_P(Backends, QueriesTest,
                         testing::ValuesIn(SetupsOr({{Kind::kSqlite, 4}, {Kind::kPostgres, 4}})), SetupName);

TEST_P(QueriesTest, AQueryMergesTheShardsIntoOneOrder) {
  const std::string mark = AddGroup(23);
  client::QueryOptions options;
  options.columns = {"visits"};
  options.order_by = {{"visits", true}};
  options.limit = 10;
  options.offset = 3;
  ASSERT_OK_AND_ASSIGN(client::QueryRows rows, client().Query("customers", Named(mark), options));
  std::vector<int64_t> visits;
  for (const absl::StatusOr<client::QueryRows::Row>& row : rows) {
    ASSERT_THAT(row, IsOk());
    visits.push_back(row->at(0).AsInt64().value_or(-1));
  }
  EXPECT_THAT(visits, testing::ElementsAre(19, 18, 17, 16, 15, 14, 13, 12, 11, 10));
  EXPECT_EQ(rows.summary().rows(), 10);
  EXPECT_EQ(rows.summary().served_by().shards_asked_size(), shards());
  EXPECT_EQ(rows.columns().size(), 1u);
}

TEST_P(QueriesTest, AQueryResumesBehindAToken) {
  const std::string mark = AddGroup(12);
  v1::QueryRequest request;
  request.set_table("customers");
  request.set_filter("name = @name");
  (*request.mutable_params())["name"].set_text_value(mark);
  request.add_order_by()->set_column("visits");
  request.set_limit(5);
  std::string token;
  {
    ASSERT_OK_AND_ASSIGN(const auto stream, raw().Query(request, Soon()));
    while (true) {
      ASSERT_OK_AND_ASSIGN(const auto message, stream->Next());
      if (!message.has_value()) break;
      if (message->has_batch()) token = message->batch().resume_token();
    }
  }
  ASSERT_FALSE(token.empty());
  request.set_limit(0);
  request.set_resume_token(token);
  ASSERT_OK_AND_ASSIGN(const auto rest, raw().Query(request, Soon()));
  int64_t expected = 5;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const auto message, rest->Next());
    if (!message.has_value()) break;
    for (const v1::Row& row : message->batch().rows()) EXPECT_EQ(row.values(3).int64_value(), expected++);
  }
  EXPECT_EQ(expected, 12);
  request.set_filter("name <> @name");
  ASSERT_OK_AND_ASSIGN(const auto other, raw().Query(request, Soon()));
  EXPECT_THAT(other->Next(), InvalidAt("resume_token"));
}

TEST_P(QueriesTest, PagesFollowEachOtherInBothDirections) {
  const std::string mark = AddGroup(11);
  client::ListOptions options;
  options.columns = {"visits"};
  options.order_by = {{"visits"}};
  options.page_size = 4;
  std::vector<int64_t> visits;
  std::string last_previous;
  for (int page = 0; page < 3; ++page) {
    ASSERT_OK_AND_ASSIGN(const v1::ListResponse reply, client().List("customers", Named(mark), options));
    for (const v1::Row& row : reply.rows()) visits.push_back(row.values(0).int64_value());
    EXPECT_EQ(reply.previous_page_token().empty(), page == 0);
    EXPECT_EQ(reply.next_page_token().empty(), page == 2);
    options.page_token = reply.next_page_token();
    last_previous = reply.previous_page_token();
  }
  EXPECT_THAT(visits, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  options.page_token = last_previous;
  ASSERT_OK_AND_ASSIGN(const v1::ListResponse back, client().List("customers", Named(mark), options));
  ASSERT_EQ(back.rows_size(), 4);
  EXPECT_EQ(back.rows(0).values(0).int64_value(), 4);
  options.page_token = "made up";
  EXPECT_THAT(client().List("customers", Named(mark), options), InvalidAt("page_token"));
}

TEST_P(QueriesTest, AKeyInTheFilterAsksOneShard) {
  const int64_t id = AddCustomer(1);
  ASSERT_OK_AND_ASSIGN(const v1::ListResponse reply, client().List("customers", Filter("id = @id", {{"id", id}})));
  EXPECT_EQ(reply.rows_size(), 1);
  ASSERT_EQ(reply.served_by().shards_asked_size(), 1);
  EXPECT_EQ(reply.served_by().shards_asked(0), "s1");
  client::ListOptions narrow;
  narrow.reach.max_shards = 1;
  EXPECT_THAT(client().List("customers", Filter("visits >= 0"), narrow),
              Fails(absl::StatusCode::kFailedPrecondition, reason::kLimitExceeded));
}

TEST_P(QueriesTest, EveryMistakeIsReportedBeforeAnySql) {
  v1::ListRequest request;
  request.set_table("customers");
  request.set_filter("nme = 'x' AND visits > 'many'");
  request.add_order_by()->set_column("vists");
  const absl::Status status = raw().List(request, Soon()).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_GE(DetailOf(status).violations.size(), 3u) << status;
}

TEST_P(QueriesTest, AggregatesAreExactOverAllShards) {
  const std::string mark = AddGroup(10);
  client::AggregateOptions options;
  options.group_by = {"name"};
  options.having = Filter("n > @few", {{"few", 5}});
  ASSERT_OK_AND_ASSIGN(const v1::AggregateResponse reply,
                       client().Aggregate("customers", Named(mark),
                                          {{v1::AGGREGATE_FUNCTION_COUNT, "", "n"},
                                           {v1::AGGREGATE_FUNCTION_SUM, "visits", "total"},
                                           {v1::AGGREGATE_FUNCTION_MIN, "visits"},
                                           {v1::AGGREGATE_FUNCTION_MAX, "visits"}},
                                          options));
  ASSERT_EQ(reply.rows_size(), 1);
  EXPECT_EQ(reply.header().columns(3).name(), "min_visits");
  const v1::Row& row = reply.rows(0);
  EXPECT_EQ(row.values(0).text_value(), mark);
  EXPECT_EQ(row.values(1).int64_value(), 10);
  EXPECT_EQ(row.values(2).decimal_value(), "45");
  EXPECT_EQ(row.values(3).int64_value(), 0);
  EXPECT_EQ(row.values(4).int64_value(), 9);
}

TEST_P(QueriesTest, BulkWritesChangeWhatMatchesOnAllShardsOrRefuse) {
  const std::string mark = AddGroup(9);
  EXPECT_THAT(client().UpdateWhere("customers", Named(mark), {{"visits", 100}}),
              Fails(absl::StatusCode::kFailedPrecondition, reason::kScatterNotAllowed));
  client::BulkOptions options;
  options.allow_many_shards = true;
  options.batch_rows = 2;
  ASSERT_OK_AND_ASSIGN(const client::BulkResult updated,
                       client().UpdateWhere("customers", Named(mark), {{"visits", 100}}, options));
  EXPECT_THAT(updated.status(), IsOk());
  EXPECT_EQ(updated.rows, 9);
  EXPECT_EQ(static_cast<int>(updated.shards.size()), shards());
  ASSERT_OK_AND_ASSIGN(const client::BulkResult deleted,
                       client().DeleteWhere("customers", Named(mark), options));
  EXPECT_EQ(deleted.rows, 9);
  EXPECT_THAT(client().DeleteWhere("customers", Filter(), options), InvalidAt("filter"));
}

TEST_P(QueriesTest, ExplainTellsWhereAQuestionGoesAndTopWhatItCost) {
  const std::string mark = AddGroup(6);
  v1::ExplainRequest request;
  request.mutable_query()->set_table("customers");
  request.mutable_query()->set_filter("name = @name");
  (*request.mutable_query()->mutable_params())["name"].set_text_value(mark);
  ASSERT_OK_AND_ASSIGN(const v1::ExplainResponse plan, client().Explain(request));
  EXPECT_EQ(plan.shards_size(), shards());
  EXPECT_FALSE(plan.reason().empty());
  for (const v1::ShardQuery& shard : plan.shard_queries()) {
    EXPECT_EQ(shard.sql().find(mark), std::string::npos) << "values stand as placeholders";
    EXPECT_EQ(shard.rows(), 0);
  }
  request.set_analyze(true);
  ASSERT_OK_AND_ASSIGN(const v1::ExplainResponse run, client().Explain(request));
  int64_t rows = 0;
  for (const v1::ShardQuery& shard : run.shard_queries()) rows += shard.rows();
  EXPECT_EQ(rows, 6);

  client::ListOptions page;
  page.order_by = {{"email", true}};
  ASSERT_THAT(client().List("customers", Named(mark), page), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::vector<v1::TopQuery> top, client().ListTopQueries(v1::QUERY_RANKING_CALLS, 1000));
  const auto found = std::find_if(top.begin(), top.end(), [](const v1::TopQuery& query) {
    return query.method() == "List" && query.shape() == "name = ? ORDER BY email DESC";
  });
  ASSERT_NE(found, top.end());
  EXPECT_EQ(found->table(), "customers");
  EXPECT_GE(found->scatter_calls(), 1);
  ASSERT_TRUE(found->has_example());
  v1::ExplainRequest again;
  again.set_query_id(found->query_id());
  again.set_analyze(true);
  ASSERT_OK_AND_ASSIGN(const v1::ExplainResponse kept, client().Explain(again));
  for (const v1::ShardQuery& shard : kept.shard_queries()) EXPECT_NE(shard.database_plan(), "");
  EXPECT_EQ(kept.ShortDebugString().find(mark), std::string::npos) << kept.DebugString();
  again.set_query_id("0123456789abcdef");
  EXPECT_THAT(client().Explain(again), InvalidAt("query_id"));
}

TEST_P(QueriesTest, WhatTopQueriesCountAddsUpOverTheShards) {
  const std::string mark = AddGroup(10);
  // What has been counted so far, by shape.
  const auto top = [this, &mark] {
    std::map<std::string, v1::TopQuery> queries;
    const absl::StatusOr<std::vector<v1::TopQuery>> list = client().ListTopQueries(v1::QUERY_RANKING_CALLS, 1000);
    EXPECT_THAT(list, IsOk());
    for (const v1::TopQuery& query : *list) {
      EXPECT_EQ(query.ShortDebugString().find(mark), std::string::npos);
      queries[query.shape()] = query;
    }
    return queries;
  };
  std::map<std::string, v1::TopQuery> before = top();
  client::QueryOptions options;
  options.order_by = {{"balance", true}, {"email"}};
  for (int call = 0; call < 3; ++call) {
    ASSERT_OK_AND_ASSIGN(client::QueryRows rows, client().Query("customers", Named(mark), options));
    for (const absl::StatusOr<client::QueryRows::Row>& row : rows) ASSERT_THAT(row, IsOk());
  }
  client::BulkOptions all;
  all.allow_many_shards = true;
  const Filter most("name = @name AND visits >= 3", {{"name", mark}});
  ASSERT_THAT(client().UpdateWhere("customers", most, {{"email", nullptr}}, all), IsOk());
  std::map<std::string, v1::TopQuery> after = top();
  const auto check = [&](const std::string& shape, int calls, int rows) {
    SCOPED_TRACE(shape);
    const v1::TopQuery& was = before[shape];
    const v1::TopQuery& is = after[shape];
    EXPECT_EQ(is.calls() - was.calls(), calls);
    EXPECT_EQ(is.rows() - was.rows(), rows);
    EXPECT_EQ(is.errors(), 0);
    EXPECT_EQ(is.scatter_calls() - was.scatter_calls(), calls);
    EXPECT_EQ(is.shards_asked() - was.shards_asked(), calls * shards());
    ASSERT_EQ(is.shards_size(), shards());
    int64_t rows_of_shards = 0;
    for (int shard = 0; shard < shards(); ++shard) {
      EXPECT_EQ(is.shards(shard).shard(), TestGateway::ShardName(shard));
      EXPECT_EQ(is.shards(shard).calls(), is.calls());
      rows_of_shards += is.shards(shard).rows();
    }
    EXPECT_EQ(rows_of_shards, is.rows());
  };
  check("name = ? ORDER BY balance DESC, email", 3, 30);
  check("SET email of name = ? AND visits >= ?", 1, 7);
}

TEST_P(QueriesTest, TheUnaryCallsWorkAsJson) {
  const std::string mark = AddGroup(3);
  httplib::Client http("127.0.0.1", gateway_.gateway().http_port());
  const auto list = http.Post("/quarry.v1.DataService/List",
                              absl::StrCat(R"({"table": "customers", "where": {"and": {"conditions": [{"compare": {"column": "name",
                                  "op": "COMPARE_OPERATOR_EQUAL", "value": {"textValue": ")", mark, R"("}}}]}}, "columns": ["visits"]})"),
                              "application/json");
  ASSERT_TRUE(list);
  EXPECT_EQ(list->status, 200) << list->body;
  EXPECT_NE(list->body.find(R"({"values":[{"int64Value":"2"}]})"), std::string::npos) << list->body;
  const auto count = http.Post("/quarry.v1.DataService/Aggregate",
                               absl::StrCat(R"({"table": "customers", "filter": "name = @name", "params": {"name": {"textValue": ")", mark,
                                            R"("}}, "aggregates": [{"function": "AGGREGATE_FUNCTION_COUNT"}]})"),
                               "application/json");
  ASSERT_TRUE(count);
  EXPECT_EQ(count->status, 200) << count->body;
  EXPECT_NE(count->body.find(R"("int64Value":"3")"), std::string::npos) << count->body;
}

}  // namespace
}  // namespace quarry::gateway_test
