// From an operation to its plan: what each call of a shape that was seen before pays.
#include <benchmark/benchmark.h>

#include <memory>
#include <optional>
#include <vector>

#include "core/plan/planner.h"
#include "core/plan/route.h"
#include "loadtest/micro/count_allocations.h"
#include "loadtest/micro/shop.h"

namespace quarry {
namespace {

void Read(benchmark::State& state, Dialect dialect, const std::vector<ReadOperation>& ops) {
  const std::shared_ptr<const Snapshot> snapshot = ShopSnapshot(dialect);
  Planner planner{PlanLimits()};
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) {
    const ReadOperation& op = ops[at++ & (kShopKeys - 1)];
    benchmark::DoNotOptimize(planner.PlanRead(op, snapshot, std::nullopt, ShardId{0}));
  }
}

// The first read of a shape, or the first after a reload.
void ReadAnew(benchmark::State& state, Dialect dialect) {
  const std::shared_ptr<const Snapshot> snapshot = ShopSnapshot(dialect);
  const std::vector<ReadOperation> ops = Gets();
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) {
    Planner planner{PlanLimits()};
    const ReadOperation& op = ops[at++ & (kShopKeys - 1)];
    benchmark::DoNotOptimize(planner.PlanRead(op, snapshot, std::nullopt, ShardId{0}));
  }
}

void Write(benchmark::State& state, Dialect dialect, const std::vector<WriteOperation>& ops) {
  const std::shared_ptr<const Snapshot> snapshot = ShopSnapshot(dialect);
  Planner planner{PlanLimits()};
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(planner.PlanWrite(ops[at++ & (kShopKeys - 1)], snapshot));
  }
}

// ---- The parts ----

void FindTheTable(benchmark::State& state) {
  const std::shared_ptr<const Snapshot> snapshot = ShopSnapshot(Dialect::kPostgres);
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(FindTable(*snapshot, "orders"));
}

void CheckTheKey(benchmark::State& state) {
  const std::shared_ptr<const Snapshot> snapshot = ShopSnapshot(Dialect::kPostgres);
  const Table& table = **snapshot->catalog.FindTable("orders");
  const std::vector<ReadOperation> ops = Gets();
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(CheckKey(table, ops[at++ & (kShopKeys - 1)].keys.front(), "key"));
  }
}

void CheckTheRecord(benchmark::State& state) {
  const std::shared_ptr<const Snapshot> snapshot = ShopSnapshot(Dialect::kPostgres);
  const Table& table = **snapshot->catalog.FindTable("orders");
  const Record record = OrderRecord(OrderId(1));
  std::vector<FieldViolation> violations;
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(CheckRecord(table, record, "record", violations));
}

void RouteTheKey(benchmark::State& state) {
  const std::shared_ptr<const Snapshot> snapshot = ShopSnapshot(Dialect::kPostgres);
  const Table& table = **snapshot->catalog.FindTable("orders");
  std::vector<Key> keys;
  for (size_t i = 0; i < kShopKeys; ++i) keys.push_back({Value::Int64(OrderId(i))});
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(ShardOfRow(table, keys[at++ & (kShopKeys - 1)], *snapshot));
  }
}

constexpr Dialect kPostgres = Dialect::kPostgres;
constexpr Dialect kSqlite = Dialect::kSqlite;
BENCHMARK_CAPTURE(Read, get, kPostgres, Gets())->Name("Plan Get by int64, 4 shards");
BENCHMARK_CAPTURE(Read, get_columns, kPostgres, Gets({"status", "total"}))
    ->Name("Plan Get of 2 columns, 4 shards");
BENCHMARK_CAPTURE(Read, batch, kPostgres, BatchGets(100))
    ->Name("Plan BatchGet of 100 keys, 4 PostgreSQL shards");
BENCHMARK_CAPTURE(Read, batch_sqlite, kSqlite, BatchGets(100))
    ->Name("Plan BatchGet of 100 keys, 4 SQLite shards");
BENCHMARK_CAPTURE(ReadAnew, get, kPostgres)->Name("Plan Get for the first time");
BENCHMARK_CAPTURE(Write, insert, kPostgres, Inserts())->Name("Plan Insert of 8 columns");
BENCHMARK_CAPTURE(Write, inserts, kPostgres, Inserts(100))->Name("Plan BatchWrite of 100 inserts, 4 shards");
BENCHMARK_CAPTURE(Write, update, kPostgres, Updates())->Name("Plan Update of 2 columns");
BENCHMARK_CAPTURE(Write, returning, kPostgres, Updates({"*"}))
    ->Name("Plan Update of 2 columns, returning all");
BENCHMARK(FindTheTable)->Name("Find the table");
BENCHMARK(CheckTheKey)->Name("Check a key of one int64");
BENCHMARK(CheckTheRecord)->Name("Check a record of 8 columns");
BENCHMARK(RouteTheKey)->Name("Route a key by hash");

}  // namespace
}  // namespace quarry

BENCHMARK_MAIN();
