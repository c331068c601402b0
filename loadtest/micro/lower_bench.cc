// From a shape to its SQL text: what making one costs, and what finding it again does.
#include <benchmark/benchmark.h>

#include <memory>
#include <numeric>
#include <vector>

#include "core/plan/lowering.h"
#include "loadtest/micro/count_allocations.h"
#include "loadtest/micro/shop.h"

namespace quarry {
namespace {

enum class Shape { kInsert, kUpsert, kUpdate, kDelete };

const LoweredSql& Lower(Lowering& lowering, Shape shape, const Table& table, Dialect dialect,
                        const std::vector<size_t>& all, const std::vector<size_t>& some) {
  switch (shape) {
    case Shape::kInsert:
      return lowering.Insert(table, dialect, all, false);
    case Shape::kUpsert:
      return lowering.Upsert(table, dialect, all, false);
    case Shape::kUpdate:
      return lowering.Update(table, dialect, some, false);
    case Shape::kDelete:
      break;
  }
  return lowering.Delete(table, dialect, false);
}

void LowerAgain(benchmark::State& state, Shape shape, Dialect dialect, bool anew) {
  const std::shared_ptr<const Snapshot> snapshot = ShopSnapshot(dialect);
  const Table& table = **snapshot->catalog.FindTable("orders");
  std::vector<size_t> all(table.columns().size());
  std::iota(all.begin(), all.end(), size_t{0});
  const std::vector<size_t> some = {2, 5};
  Lowering lowering;
  const CountAllocations count(state);
  for (auto _ : state) {
    if (anew) lowering.Clear();
    benchmark::DoNotOptimize(Lower(lowering, shape, table, dialect, all, some).sql.get());
  }
}

constexpr Dialect kPostgres = Dialect::kPostgres;
constexpr Dialect kSqlite = Dialect::kSqlite;
BENCHMARK_CAPTURE(LowerAgain, a, Shape::kInsert, kPostgres, true)
    ->Name("Make Insert of 8 columns, PostgreSQL");
BENCHMARK_CAPTURE(LowerAgain, b, Shape::kInsert, kSqlite, true)->Name("Make Insert of 8 columns, SQLite");
BENCHMARK_CAPTURE(LowerAgain, c, Shape::kUpsert, kPostgres, true)
    ->Name("Make Upsert of 8 columns, PostgreSQL");
BENCHMARK_CAPTURE(LowerAgain, d, Shape::kUpsert, kSqlite, true)->Name("Make Upsert of 8 columns, SQLite");
BENCHMARK_CAPTURE(LowerAgain, e, Shape::kUpdate, kPostgres, true)
    ->Name("Make Update of 2 columns, PostgreSQL");
BENCHMARK_CAPTURE(LowerAgain, f, Shape::kUpdate, kSqlite, true)->Name("Make Update of 2 columns, SQLite");
BENCHMARK_CAPTURE(LowerAgain, g, Shape::kDelete, kPostgres, true)->Name("Make Delete, PostgreSQL");
BENCHMARK_CAPTURE(LowerAgain, h, Shape::kDelete, kSqlite, true)->Name("Make Delete, SQLite");
BENCHMARK_CAPTURE(LowerAgain, i, Shape::kInsert, kPostgres, false)->Name("Find Insert of 8 columns");
BENCHMARK_CAPTURE(LowerAgain, j, Shape::kUpdate, kPostgres, false)->Name("Find Update of 2 columns");
BENCHMARK_CAPTURE(LowerAgain, k, Shape::kDelete, kPostgres, false)->Name("Find Delete");

}  // namespace
}  // namespace quarry

BENCHMARK_MAIN();
