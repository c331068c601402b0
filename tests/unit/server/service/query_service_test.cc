// Questions and what is told of them: List, Query, Aggregate, UpdateWhere, Explain and ListTopQueries over shards that are
// fakes, through a real gRPC server.
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "quarry/v1/admin.pb.h"
#include "quarry/v1/query.pb.h"
#include "tests/unit/server/service/service_fixture.h"

namespace quarry {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kList[] = "/quarry.v1.DataService/List";
constexpr char kAggregate[] = "/quarry.v1.DataService/Aggregate";
constexpr char kUpdateWhere[] = "/quarry.v1.DataService/UpdateWhere";
constexpr char kExplain[] = "/quarry.v1.AdminService/Explain";
constexpr char kTop[] = "/quarry.v1.AdminService/ListTopQueries";
constexpr int64_t kMebibyte = 1 << 20;

// What a shard answers with these rows.
TaskResult Answering(std::vector<Row> rows) {
  StatementResult statement;
  statement.batch.rows = std::move(rows);
  StepResult step;
  step.statements.push_back(std::move(statement));
  TaskResult result;
  result.steps.push_back(std::move(step));
  return result;
}

class QueryServiceTest : public ServiceFixture {
 protected:
  struct Outcome {
    absl::Status status;
    std::vector<v1::QueryResponse> messages;
  };
  Outcome Query(const v1::QueryRequest& request) {
    grpc::ClientContext context;
    const auto stream =
        CallServerStream<v1::QueryResponse>(*channel_, "/quarry.v1.DataService/Query", context, request);
    Outcome outcome;
    v1::QueryResponse message;
    while (stream->Read(&message)) outcome.messages.push_back(message);
    outcome.status = ToAbsl(stream->Finish());
    return outcome;
  }
  static v1::QueryRequest Everything(std::vector<std::string> columns = {}) {
    v1::QueryRequest request;
    request.set_table("customers");
    for (std::string& column : columns) request.add_columns(std::move(column));
    return request;
  }
  static v1::ListRequest ListNamed(const std::string& name) {
    v1::ListRequest request;
    request.set_table("customers");
    request.set_filter("name = @name AND id > 271828");
    (*request.mutable_params())["name"].set_text_value(name);
    return request;
  }
  // So that time passes on the loop's clock.
  void TakeTime() {
    server_->loop(0).RunAndWait([this] {
      for (FakeBackend* shard : shards_) shard->TakeTime(absl::Milliseconds(1));
    });
  }
  int64_t CallsOf(size_t shard) {
    int64_t calls = 0;
    server_->loop(0).RunAndWait([&] { calls = shards_[shard]->calls() + shards_[shard]->leases(); });
    return calls;
  }
  std::map<std::string, v1::TopQuery> Top(v1::QueryRanking order_by = v1::QUERY_RANKING_UNSPECIFIED) {
    v1::ListTopQueriesRequest request;
    request.set_order_by(order_by);
    const absl::StatusOr<v1::ListTopQueriesResponse> reply = Call<v1::ListTopQueriesResponse>(kTop, request);
    EXPECT_THAT(reply, IsOk());
    std::map<std::string, v1::TopQuery> queries;
    for (const v1::TopQuery& query : reply->queries()) queries[query.method() + " " + query.shape()] = query;
    return queries;
  }
};

TEST_F(QueryServiceTest, AStreamIsItsHeaderItsRowsAndItsSummary) {
  Answer(1, Answering({{Value::Int64(1), Value::Text("a"), Value::Null()},
                       {Value::Int64(2), Value::Null(), Value::Null()}}));
  const Outcome outcome = Query(Everything());
  ASSERT_THAT(outcome.status, IsOk());
  ASSERT_EQ(outcome.messages.size(), 3u);
  ASSERT_EQ(outcome.messages[0].header().columns_size(), 3);
  EXPECT_EQ(outcome.messages[0].header().columns(1).name(), "name");
  EXPECT_EQ(outcome.messages[1].batch().rows_size(), 2);
  EXPECT_FALSE(outcome.messages[1].batch().resume_token().empty());
  const v1::QuerySummary& summary = outcome.messages[2].summary();
  EXPECT_EQ(summary.rows(), 2);
  ASSERT_EQ(summary.rows_by_shard_size(), 1);
  EXPECT_EQ(summary.rows_by_shard(0).shard(), "s1");
  EXPECT_EQ(summary.rows_by_shard(0).rows(), 2);
  EXPECT_EQ(summary.served_by().epoch(), 7);
}

TEST_F(QueryServiceTest, ABatchThatIsLargerOnTheWireComesInPartsAndTheTokenWithTheLast) {
  // Such a list takes twice as much on the wire as the engine counts.
  const Value flags = Value::Array(std::vector<Value>(150'000, Value::Bool(true)));
  Answer(1, Answering({{Value::Int64(1), Value::Null(), flags},
                       {Value::Int64(2), Value::Null(), flags},
                       {Value::Int64(3), Value::Null(), flags}}));
  const Outcome outcome = Query(Everything());
  ASSERT_THAT(outcome.status, IsOk());
  ASSERT_EQ(outcome.messages.size(), 5u);
  for (int part = 1; part <= 3; ++part) {
    const v1::QueryBatch& batch = outcome.messages[part].batch();
    ASSERT_EQ(batch.rows_size(), 1) << part;
    EXPECT_EQ(batch.rows(0).values(0).int64_value(), part);
    EXPECT_EQ(batch.resume_token().empty(), part < 3) << part;
  }
  EXPECT_EQ(outcome.messages[4].summary().rows(), 3);

  v1::QueryRequest resumed = Everything();
  resumed.set_resume_token(outcome.messages[3].batch().resume_token());
  Answer(1, Answering({}));
  const Outcome rest = Query(resumed);
  ASSERT_THAT(rest.status, IsOk());
  EXPECT_EQ(rest.messages.back().summary().rows(), 0);
  resumed.set_resume_token(outcome.messages[1].batch().resume_token() + "x");
  EXPECT_THAT(Query(resumed).status, HasReason(reason::kInvalidField));
}

TEST_F(QueryServiceTest, RowsOfOneMessageNeverTakeMoreThanAMebibyte) {
  constexpr int kRows = 100'000;
  std::vector<Row> rows;
  for (int i = 0; i < kRows; ++i) {
    // Bools, of which the engine counts two bytes each, make many short rows that are longer on the wire.
    rows.push_back({Value::Int64(i), Value::Null(), Value::Array({Value::Bool(true), Value::Bool(false)})});
  }
  Answer(1, Answering(std::move(rows)));
  const Outcome outcome = Query(Everything());
  ASSERT_THAT(outcome.status, IsOk());
  int64_t next = 0;
  bool split = false;
  for (const v1::QueryResponse& message : outcome.messages) {
    v1::QueryBatch batch = message.batch();
    split = split || (batch.rows_size() > 0 && batch.resume_token().empty());
    batch.clear_resume_token();
    EXPECT_LE(static_cast<int64_t>(batch.ByteSizeLong()), kMebibyte);
    for (const v1::Row& row : batch.rows()) ASSERT_EQ(row.values(0).int64_value(), next++);
  }
  EXPECT_EQ(next, kRows);
  EXPECT_TRUE(split) << "no batch was larger on the wire: the test shows nothing";
}

TEST_F(QueryServiceTest, ARowThatFitsInNoMessageEndsTheStreamAndTellsItsSize) {
  constexpr int64_t kName = 5'000'000;
  Answer(1, Answering({{Value::Int64(1), Value::Text("small"), Value::Null()},
                       {Value::Int64(2), Value::Text(std::string(kName, 'x')), Value::Null()}}));
  const Outcome outcome = Query(Everything());
  EXPECT_THAT(outcome.status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(outcome.status, HasReason(reason::kLimitExceeded));
  const ErrorDetail detail = DetailOf(outcome.status);
  const int64_t bytes = std::stoll(detail.facts.at("bytes"));
  EXPECT_GT(bytes, kName);
  EXPECT_LT(bytes, kName + 100);
  EXPECT_EQ(detail.facts.at("bytes_max"), absl::StrCat(4 << 20));
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr(absl::StrCat("row 2 has ", bytes, " bytes")));
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("ask for fewer columns"));
  // What came before it is there, with a token; nothing says that this was all.
  ASSERT_EQ(outcome.messages.size(), 2u);
  EXPECT_EQ(outcome.messages[1].batch().rows_size(), 1);
  EXPECT_FALSE(outcome.messages[1].batch().resume_token().empty());
}

TEST_F(QueryServiceTest, ARowBetweenAMebibyteAndTheLimitComesAlone) {
  Answer(1, Answering({{Value::Int64(1), Value::Text("small"), Value::Null()},
                       {Value::Int64(2), Value::Text(std::string(3 << 20, 'x')), Value::Null()},
                       {Value::Int64(3), Value::Text("small"), Value::Null()}}));
  const Outcome outcome = Query(Everything());
  ASSERT_THAT(outcome.status, IsOk());
  ASSERT_EQ(outcome.messages.size(), 5u);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(outcome.messages[i].batch().rows_size(), 1) << i;
    EXPECT_FALSE(outcome.messages[i].batch().resume_token().empty()) << i;
  }
}

TEST_F(QueryServiceTest, AnExplanationAsksNoShardAndShowsNoValues) {
  v1::ExplainRequest request;
  request.mutable_query()->set_table("customers");
  request.mutable_query()->set_filter("name = 'Ada Lovelace' AND id > 271828");
  ASSERT_OK_AND_ASSIGN(const auto query, Call<v1::ExplainResponse>(kExplain, request));
  ASSERT_EQ(query.shards_size(), 1);
  EXPECT_EQ(query.shards(0), "s1");
  EXPECT_FALSE(query.reason().empty());
  EXPECT_FALSE(query.merge().empty());
  ASSERT_EQ(query.shard_queries_size(), 1);
  EXPECT_THAT(query.shard_queries(0).sql(), HasSubstr("SELECT"));
  EXPECT_FALSE(query.shard_queries(0).has_duration());
  EXPECT_THAT(query.ShortDebugString(), Not(HasSubstr("Lovelace")));
  EXPECT_THAT(query.ShortDebugString(), Not(HasSubstr("271828")));

  *request.mutable_list() = ListNamed("Ada Lovelace");
  ASSERT_OK_AND_ASSIGN(const auto list, Call<v1::ExplainResponse>(kExplain, request));
  EXPECT_THAT(list.shard_queries(0).sql(), HasSubstr("LIMIT"));
  EXPECT_THAT(list.ShortDebugString(), Not(HasSubstr("Lovelace")));

  request.mutable_aggregate()->set_table("customers");
  request.mutable_aggregate()->set_filter("name = 'Ada Lovelace'");
  request.mutable_aggregate()->add_aggregates()->set_function(v1::AGGREGATE_FUNCTION_COUNT);
  ASSERT_OK_AND_ASSIGN(const auto aggregate, Call<v1::ExplainResponse>(kExplain, request));
  EXPECT_THAT(aggregate.shard_queries(0).sql(), HasSubstr("count("));
  EXPECT_THAT(aggregate.ShortDebugString(), Not(HasSubstr("Lovelace")));
  EXPECT_EQ(CallsOf(0) + CallsOf(1), 0);
}

TEST_F(QueryServiceTest, AnExplanationRefusesWhatItCannotTell) {
  EXPECT_THAT(Call<v1::ExplainResponse>(kExplain, v1::ExplainRequest()), HasReason(reason::kInvalidField));
  v1::ExplainRequest request;
  for (const char* id : {"0123456789abcdef", "no number", ""}) {
    request.set_query_id(id);
    EXPECT_THAT(Call<v1::ExplainResponse>(kExplain, request), HasReason(reason::kInvalidField)) << id;
  }
  *request.mutable_list() = ListNamed("x");
  request.mutable_list()->set_transaction_id("some");
  EXPECT_THAT(Call<v1::ExplainResponse>(kExplain, request), HasReason(reason::kInvalidField));
  request.mutable_list()->clear_transaction_id();
  request.mutable_list()->set_table("custommers");
  EXPECT_THAT(Call<v1::ExplainResponse>(kExplain, request), HasReason(reason::kTableNotFound));
}

TEST_F(QueryServiceTest, CallsThatDifferInValuesOnlyAreOneShapeWhoseCountsAddUp) {
  TakeTime();
  Answer(1, Answering({{Value::Int64(1), Value::Text("a"), Value::Null()},
                       {Value::Int64(2), Value::Text("b"), Value::Null()}}));
  for (const char* name : {"Ada Lovelace", "Grace Hopper", "Emmy Noether"}) {
    ASSERT_THAT(Call<v1::ListResponse>(kList, ListNamed(name)), IsOk());
  }
  ASSERT_THAT(Query(Everything()).status, IsOk());
  Answer(1, MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable, "down"));
  EXPECT_THAT(Call<v1::ListResponse>(kList, ListNamed("Mary Somerville")), StatusIs(absl::StatusCode::kUnavailable));
  v1::UpdateWhereRequest update;
  update.set_table("customers");
  update.set_filter("id = 31415926");
  (*update.mutable_set()->mutable_columns())["name"].set_text_value("Sofia Kovalevskaya");
  EXPECT_THAT(Call<v1::UpdateWhereResponse>(kUpdateWhere, update), StatusIs(absl::StatusCode::kUnavailable));
  // A mistake of the caller asks no shard and counts nowhere.
  v1::ListRequest wrong = ListNamed("x");
  wrong.set_filter("nme = @name");
  EXPECT_THAT(Call<v1::ListResponse>(kList, wrong), StatusIs(absl::StatusCode::kInvalidArgument));

  const std::map<std::string, v1::TopQuery> queries = Top();
  ASSERT_EQ(queries.size(), 3u);
  const v1::TopQuery& list = queries.at("List name = ? AND id > ?");
  EXPECT_EQ(list.table(), "customers");
  EXPECT_EQ(list.calls(), 4);
  EXPECT_EQ(list.errors(), 1);
  EXPECT_EQ(list.rows(), 6);
  EXPECT_EQ(list.scatter_calls(), 0);
  EXPECT_TRUE(list.has_example());
  ASSERT_EQ(list.shards_size(), 1);
  EXPECT_EQ(list.shards(0).shard(), "s1");
  EXPECT_EQ(list.shards(0).calls(), list.shards_asked());
  EXPECT_EQ(list.shards(0).calls(), list.calls()) << "the one that failed had asked it";
  EXPECT_EQ(list.shards(0).rows(), list.rows());
  const v1::TopQuery& query = queries.at("Query all rows");
  EXPECT_EQ(query.calls(), 1);
  EXPECT_EQ(query.rows(), 2);
  const v1::TopQuery& written = queries.at("UpdateWhere SET name of id = ?");
  EXPECT_EQ(written.calls(), 1);
  EXPECT_EQ(written.errors(), 1);
  EXPECT_FALSE(written.has_example());
  for (const auto& [shape, totals] : queries) {
    const auto nanos = [](const google::protobuf::Duration& duration) {
      return duration.seconds() * 1'000'000'000 + duration.nanos();
    };
    EXPECT_GT(nanos(totals.total_duration()), 0) << shape;
    EXPECT_GE(nanos(totals.total_duration()), nanos(totals.max_duration())) << shape;
    EXPECT_EQ(nanos(totals.mean_duration()), nanos(totals.total_duration()) / totals.calls()) << shape;
    for (const v1::TopQueryShard& shard : totals.shards()) {
      EXPECT_GE(nanos(shard.total_duration()), 1'000'000 * (shard.calls() - totals.errors())) << shape;
      EXPECT_LE(nanos(shard.total_duration()), nanos(totals.total_duration())) << shape;
      EXPECT_EQ(nanos(shard.mean_duration()), nanos(shard.total_duration()) / shard.calls()) << shape;
    }
    for (const char* value : {"Lovelace", "Hopper", "Noether", "Somerville", "Kovalevskaya", "271828", "31415926"}) {
      EXPECT_THAT(totals.ShortDebugString(), Not(HasSubstr(value))) << shape;
    }
  }
}

TEST_F(QueryServiceTest, AKeptCallIsExplainedWithoutShowingItsValues) {
  Answer(1, Answering({}));
  ASSERT_THAT(Call<v1::ListResponse>(kList, ListNamed("Ada Lovelace")), IsOk());
  v1::ExplainRequest request;
  request.set_query_id(Top().at("List name = ? AND id > ?").query_id());
  ASSERT_OK_AND_ASSIGN(const auto explained, Call<v1::ExplainResponse>(kExplain, request));
  EXPECT_THAT(explained.shard_queries(0).sql(), HasSubstr("LIMIT"));
  EXPECT_THAT(explained.ShortDebugString(), Not(HasSubstr("Lovelace")));
  EXPECT_THAT(explained.ShortDebugString(), Not(HasSubstr("271828")));
}

TEST_F(QueryServiceTest, ACallWithVeryManyValuesIsCountedAndNotKept) {
  Answer(1, Answering({}));
  ASSERT_THAT(Call<v1::ListResponse>(kList, ListNamed(std::string(20'000, 'x'))), IsOk());
  EXPECT_FALSE(Top().at("List name = ? AND id > ?").has_example());
  ASSERT_THAT(Call<v1::ListResponse>(kList, ListNamed("short")), IsOk());
  EXPECT_TRUE(Top().at("List name = ? AND id > ?").has_example());
}

TEST_F(QueryServiceTest, TheRankingDecidesWhatComesFirstAndTheLimitHowMany) {
  const auto ask = [this](const std::string& column, int times, int rows) {
    std::vector<Row> answer;
    for (int i = 0; i < rows; ++i) answer.push_back({Value::Int64(i), Value::Text("a"), Value::Null(), Value::Text("a")});
    Answer(1, Answering(std::move(answer)));
    v1::ListRequest request;
    request.set_table("customers");
    request.add_order_by()->set_column(column);
    request.mutable_order_by(0)->set_descending(true);
    for (int i = 0; i < times; ++i) ASSERT_THAT(Call<v1::ListResponse>(kList, request), IsOk());
  };
  ask("id", 5, 1);
  ask("name", 1, 50);
  v1::ListTopQueriesRequest request;
  request.set_limit(1);
  request.set_order_by(v1::QUERY_RANKING_CALLS);
  ASSERT_OK_AND_ASSIGN(const auto by_calls, Call<v1::ListTopQueriesResponse>(kTop, request));
  ASSERT_EQ(by_calls.queries_size(), 1);
  EXPECT_EQ(by_calls.queries(0).shape(), "all rows ORDER BY id DESC");
  request.set_order_by(v1::QUERY_RANKING_ROWS);
  ASSERT_OK_AND_ASSIGN(const auto by_rows, Call<v1::ListTopQueriesResponse>(kTop, request));
  ASSERT_EQ(by_rows.queries_size(), 1);
  EXPECT_EQ(by_rows.queries(0).shape(), "all rows ORDER BY name DESC");
  EXPECT_EQ(by_rows.served_by().epoch(), 7);
  request.set_limit(1'001);
  EXPECT_THAT(Call<v1::ListTopQueriesResponse>(kTop, request), HasReason(reason::kInvalidField));
  request.set_limit(-1);
  EXPECT_THAT(Call<v1::ListTopQueriesResponse>(kTop, request), HasReason(reason::kInvalidField));
  request.set_limit(0);
  request.set_order_by(static_cast<v1::QueryRanking>(9));
  EXPECT_THAT(Call<v1::ListTopQueriesResponse>(kTop, request), HasReason(reason::kInvalidField));
}

TEST_F(QueryServiceTest, TheLogOfSlowQueriesHoldsNoValuesWhateverWasAsked) {
  TakeTime();
  Answer(1, Answering({{Value::Int64(1), Value::Text("Ada Lovelace"), Value::Null()}}));
  ASSERT_THAT(Call<v1::ListResponse>(kList, ListNamed("Ada Lovelace")), IsOk());
  v1::QueryRequest query = Everything({"id", "name", "flags"});
  query.set_filter("name LIKE 'Ada Love%' OR id IN (271828, 31415926)");
  ASSERT_THAT(Query(query).status, IsOk());
  Answer(1, MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable, "Ada Lovelace cannot be read"));
  v1::AggregateRequest aggregate;
  aggregate.set_table("customers");
  aggregate.set_filter("name BETWEEN 'Ada Lovelace' AND 'B'");
  aggregate.add_aggregates()->set_function(v1::AGGREGATE_FUNCTION_COUNT);
  EXPECT_THAT(Call<v1::AggregateResponse>(kAggregate, aggregate), StatusIs(absl::StatusCode::kUnavailable));
  v1::UpdateWhereRequest update;
  update.set_table("customers");
  update.set_filter("id = 31415926");
  (*update.mutable_set()->mutable_columns())["name"].set_text_value("Ada Lovelace");
  EXPECT_THAT(Call<v1::UpdateWhereResponse>(kUpdateWhere, update), StatusIs(absl::StatusCode::kUnavailable));

  const std::string lines = SlowLines();
  EXPECT_THAT(lines, HasSubstr("slow query List \"customers\" \"name = ? AND id > ?\" OK "));
  EXPECT_THAT(lines, HasSubstr("slow query Query \"customers\" \"name LIKE ? OR id IN (?)\" OK "));
  EXPECT_THAT(lines, HasSubstr("slow query Aggregate \"customers\" \"count(*) of name BETWEEN ? AND ?\" Unavailable "));
  EXPECT_THAT(lines, HasSubstr("slow query UpdateWhere \"customers\" \"SET name of id = ?\" Unavailable "));
  for (const char* value : {"Lovelace", "Love", "271828", "31415926", "'B'"}) {
    EXPECT_THAT(lines, Not(HasSubstr(value)));
  }
}

}  // namespace
}  // namespace quarry
