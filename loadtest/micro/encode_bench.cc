// Between the wire, the model and the databases' own forms.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/backend/postgres/connection.h"
#include "core/backend/postgres/types.h"
#include "core/backend/sqlite/connection.h"
#include "core/base/error.h"
#include "core/merge/merge.h"
#include "core/plan/planner.h"
#include "google/protobuf/arena.h"
#include "loadtest/micro/count_allocations.h"
#include "loadtest/micro/shop.h"
#include "loadtest/micro/shop_messages.h"
#include "server/translate/request.h"
#include "server/translate/response.h"

namespace quarry {
namespace {

// ---- Messages ----

template <typename Request>
void Parse(benchmark::State& state, const std::vector<Request>& requests) {
  const std::vector<std::string> bytes = Serialized(requests);
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) {
    google::protobuf::Arena arena;
    auto* const request = google::protobuf::Arena::CreateMessage<Request>(&arena);
    benchmark::DoNotOptimize(request->ParseFromString(bytes[at++ & (kShopKeys - 1)]));
  }
}

template <typename Request>
void ToModel(benchmark::State& state, const std::vector<Request>& requests) {
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(ToOperation(requests[at++ & (kShopKeys - 1)]));
}

ReadResult ResultOf(const ReadOperation& op, const std::shared_ptr<const Snapshot>& snapshot) {
  Planner planner{PlanLimits()};
  const ReadPlan plan = planner.PlanRead(op, snapshot, std::nullopt, ShardId{0}).value();
  std::vector<TaskResult> answers;
  for (const Task& task : plan.tasks) answers.push_back(AnswerOf(task));
  ReadResult result = MergeRead(plan.merge, std::move(answers));
  for (const Task& task : plan.tasks) result.served_by.asked.push_back(task.shard);
  result.served_by.answered = result.served_by.asked;
  return result;
}

WriteResult ResultOf(const WriteOperation& op, const std::shared_ptr<const Snapshot>& snapshot) {
  Planner planner{PlanLimits()};
  const WritePlan plan = planner.PlanWrite(op, snapshot).value();
  std::vector<TaskResult> answers;
  for (const Task& task : plan.tasks) answers.push_back(AnswerOf(task));
  WriteResult result = MergeWrite(plan.merge, plan.tasks, std::move(answers));
  for (const Task& task : plan.tasks) result.served_by.asked.push_back(task.shard);
  result.served_by.answered = result.served_by.asked;
  return result;
}

void Fill(const ReadResult& result, const Topology& topology, v1::GetResponse* wire) {
  FillResponse("orders", result, topology, wire).IgnoreError();
}
template <typename Result, typename Wire>
void Fill(const Result& result, const Topology& topology, Wire* wire) {
  FillResponse(result, topology, wire);
}

template <typename Wire, typename Operation>
void ToWire(benchmark::State& state, const Operation& op, bool serializes) {
  const std::shared_ptr<const Snapshot> snapshot = ShopSnapshot(Dialect::kPostgres);
  const auto result = ResultOf(op, snapshot);
  const CountAllocations count(state);
  for (auto _ : state) {
    google::protobuf::Arena arena;
    auto* const wire = google::protobuf::Arena::CreateMessage<Wire>(&arena);
    Fill(result, snapshot->topology, wire);
    benchmark::DoNotOptimize(wire);
    if (serializes) benchmark::DoNotOptimize(wire->SerializeAsString());
  }
}

void GetToWire(benchmark::State& state, bool serializes) {
  ToWire<v1::GetResponse>(state, Gets()[1], serializes);
}
void BatchGetToWire(benchmark::State& state, bool serializes) {
  ToWire<v1::BatchGetResponse>(state, BatchGets(100)[1], serializes);
}
void UpdateToWire(benchmark::State& state) { ToWire<v1::UpdateResponse>(state, Updates()[1], false); }

void HashRequest(benchmark::State& state) {
  const v1::InsertRequest request = InsertRequests()[1];
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(RequestHash(request));
}

// A typed error with two facts, as a failed call has one.
void MakeAnError(benchmark::State& state) {
  const CountAllocations count(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                                       "the deadline ended while the statement ran on shard shard0",
                                       {{"stage", "query"}, {"shard", "shard0"}}));
  }
}

// ---- PostgreSQL ----

const std::vector<postgres::Oid>& OrderOids() {
  static const auto* const oids = new std::vector<postgres::Oid>{
      postgres::kInt8Oid,    postgres::kInt8Oid, postgres::kTextOid,        postgres::kTextOid,
      postgres::kNumericOid, postgres::kBoolOid, postgres::kTimestampTzOid, postgres::kTextOid};
  return *oids;
}

void BindPostgres(benchmark::State& state, size_t params) {
  auto prepared = std::make_shared<postgres::Prepared>();
  prepared->params.assign(OrderOids().begin(), OrderOids().begin() + static_cast<ptrdiff_t>(params));
  Row row = OrderRow(OrderId(1));
  row.resize(params);
  const postgres::PreparedPtr known = prepared;
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(postgres::Bind(known, row));
}

void BindPostgresArray(benchmark::State& state) {
  auto prepared = std::make_shared<postgres::Prepared>();
  prepared->params = {1016};  // int8[]
  std::vector<Value> ids;
  for (size_t i = 0; i < 25; ++i) ids.push_back(Value::Int64(OrderId(i)));
  const std::vector<Value> params = {Value::Array(std::move(ids))};
  const postgres::PreparedPtr known = prepared;
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(postgres::Bind(known, params));
}

// The fields of OrderRow as the server sends them.
std::vector<std::string> OrderFields() {
  using std::string_literals::operator""s;
  return {"\0\0\0\0\0\0\x1e\xef"s,
          "\0\0\0\0\0\0\x12\x67"s,
          "shipped",
          "ada.lovelace@example.com",
          "\0\2\0\0\0\0\0\2\0\x81\x23\x28"s,
          "\1",
          "\0\2\xac\x9b\x8f\x0d\x12\x40"s,
          "leave it at the door, please"};
}

void DecodePostgres(benchmark::State& state) {
  const std::vector<std::string> fields = OrderFields();
  const std::vector<postgres::Oid>& oids = OrderOids();
  const CountAllocations count(state);
  for (auto _ : state) {
    Row row;
    row.reserve(fields.size());
    for (size_t i = 0; i < fields.size(); ++i) {
      absl::StatusOr<Value> value = postgres::DecodeBinary(oids[i], fields[i]);
      if (!value.ok()) return state.SkipWithError("a field is not of its type");
      row.push_back(*std::move(value));
    }
    benchmark::DoNotOptimize(row.data());
  }
}

void DecodePostgresField(benchmark::State& state, size_t field) {
  const std::string bytes = OrderFields()[field];
  const postgres::Oid oid = OrderOids()[field];
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(postgres::DecodeBinary(oid, bytes));
}

// ---- SQLite, in memory ----

Statement SqliteStatement(std::string sql, std::vector<Value> params, const Table& table, bool returns_rows) {
  Statement statement;
  statement.sql = std::make_shared<const std::string>(std::move(sql));
  statement.params = std::move(params);
  statement.param_types = table.all_types();
  if (returns_rows) statement.result_types = table.all_types();
  statement.returns_rows = returns_rows;
  return statement;
}

std::unique_ptr<sqlite::Connection> OpenSqlite() {
  sqlite::ConnectionOptions options;
  options.file = ":memory:";
  options.shard = "shard0";
  return sqlite::Connection::Open(options, sqlite::Connection::Mode::kWrite).value();
}

// Eight values bound and read back: no table is touched.
void EchoSqlite(benchmark::State& state) {
  const std::shared_ptr<const Snapshot> snapshot = ShopSnapshot(Dialect::kSqlite);
  const Table& table = **snapshot->catalog.FindTable("orders");
  const std::unique_ptr<sqlite::Connection> connection = OpenSqlite();
  const sqlite::JobControl control(absl::InfiniteFuture());
  const Statement echo =
      SqliteStatement("SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8", OrderRow(OrderId(1)), table, true);
  const CountAllocations count(state);
  for (auto _ : state) {
    const absl::StatusOr<StatementResult> result = connection->Run(echo, control);
    if (!result.ok()) return state.SkipWithError("the statement failed");
    benchmark::DoNotOptimize(&result);
  }
}

// A whole point read of a table in the cache.
void GetSqlite(benchmark::State& state) {
  const std::shared_ptr<const Snapshot> snapshot = ShopSnapshot(Dialect::kSqlite);
  const Table& table = **snapshot->catalog.FindTable("orders");
  const std::unique_ptr<sqlite::Connection> connection = OpenSqlite();
  const sqlite::JobControl control(absl::InfiniteFuture());
  bool filled = connection
                    ->Control("CREATE TABLE orders(id BIGINT PRIMARY KEY, customer_id BIGINT, status TEXT, "
                              "email TEXT, total DECIMAL_TEXT, paid BOOLEAN, created_at TIMESTAMPTZ, "
                              "note TEXT)")
                    .ok();
  for (size_t i = 0; i < kShopKeys; ++i) {
    const Statement insert = SqliteStatement("INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                                             OrderRow(OrderId(i)), table, false);
    filled = filled && connection->Run(insert, control).ok();
  }
  if (!filled) return state.SkipWithError("the table could not be filled");
  Statement get = SqliteStatement("SELECT * FROM orders WHERE id = ?1", {Value::Int64(0)}, table, true);
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) {
    get.params[0] = Value::Int64(OrderId(at++ & (kShopKeys - 1)));
    const absl::StatusOr<StatementResult> result = connection->Run(get, control);
    if (!result.ok()) return state.SkipWithError("the statement failed");
    benchmark::DoNotOptimize(&result);
  }
}

BENCHMARK_CAPTURE(Parse, get, GetRequests())->Name("Bytes to GetRequest");
BENCHMARK_CAPTURE(Parse, insert, InsertRequests())->Name("Bytes to InsertRequest, 8 columns");
BENCHMARK_CAPTURE(ToModel, get, GetRequests())->Name("GetRequest to model");
BENCHMARK_CAPTURE(ToModel, batch, BatchGetRequests(100))->Name("BatchGetRequest of 100 to model");
BENCHMARK_CAPTURE(ToModel, insert, InsertRequests())->Name("InsertRequest to model, 8 columns");
BENCHMARK_CAPTURE(ToModel, update, UpdateRequests())->Name("UpdateRequest to model, 2 columns");
BENCHMARK(HashRequest)->Name("Hash of an InsertRequest, for its request_id");
BENCHMARK_CAPTURE(GetToWire, get, false)->Name("Row to GetResponse");
BENCHMARK_CAPTURE(GetToWire, get_bytes, true)->Name("Row to GetResponse to bytes");
BENCHMARK_CAPTURE(BatchGetToWire, batch, false)->Name("100 rows to BatchGetResponse");
BENCHMARK_CAPTURE(BatchGetToWire, batch_bytes, true)->Name("100 rows to BatchGetResponse to bytes");
BENCHMARK(UpdateToWire)->Name("Result to UpdateResponse");
BENCHMARK(MakeAnError)->Name("Make a typed error");
BENCHMARK_CAPTURE(BindPostgres, one, 1)->Name("PostgreSQL: bind an int64");
BENCHMARK_CAPTURE(BindPostgres, eight, 8)->Name("PostgreSQL: bind 8 columns");
BENCHMARK(BindPostgresArray)->Name("PostgreSQL: bind an array of 25 int64");
BENCHMARK(DecodePostgres)->Name("PostgreSQL: decode a row of 8 columns");
BENCHMARK_CAPTURE(DecodePostgresField, integer, 0)->Name("PostgreSQL: decode an int64");
BENCHMARK_CAPTURE(DecodePostgresField, text, 3)->Name("PostgreSQL: decode a text of 24 bytes");
BENCHMARK_CAPTURE(DecodePostgresField, numeric, 4)->Name("PostgreSQL: decode a numeric");
BENCHMARK_CAPTURE(DecodePostgresField, timestamp, 6)->Name("PostgreSQL: decode a timestamp");
BENCHMARK(EchoSqlite)->Name("SQLite: bind 8 values and read them back");
BENCHMARK(GetSqlite)->Name("SQLite: read a row of 8 columns by key");

}  // namespace
}  // namespace quarry

BENCHMARK_MAIN();
