// From the shards' answers to one result: time per row ("per_row").
#include <benchmark/benchmark.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/epoll_loop.h"
#include "core/engine/sql_stream.h"
#include "core/merge/merge.h"
#include "core/model/etag.h"
#include "core/plan/planner.h"
#include "loadtest/micro/count_allocations.h"
#include "loadtest/micro/instant_backend.h"
#include "loadtest/micro/shop.h"

namespace quarry {
namespace {

void ReportPerRow(benchmark::State& state, size_t rows) {
  state.counters["per_row"] =
      benchmark::Counter(static_cast<double>(rows),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

std::vector<TaskResult> AnswersOf(const std::vector<Task>& tasks) {
  std::vector<TaskResult> answers;
  for (const Task& task : tasks) answers.push_back(AnswerOf(task));
  return answers;
}

// The answers are copied for each turn: the case "Copy ..." tells what that costs.
void Reads(benchmark::State& state, Dialect dialect, const ReadOperation& op, bool merges) {
  Planner planner{PlanLimits()};
  const ReadPlan plan = planner.PlanRead(op, ShopSnapshot(dialect), std::nullopt, ShardId{0}).value();
  const std::vector<TaskResult> answers = AnswersOf(plan.tasks);
  {
    const CountAllocations count(state);
    for (auto _ : state) {
      std::vector<TaskResult> parts = answers;
      benchmark::DoNotOptimize(parts.data());
      if (merges) benchmark::DoNotOptimize(MergeRead(plan.merge, std::move(parts)));
    }
  }
  ReportPerRow(state, op.keys.size());
}

void Writes(benchmark::State& state, const WriteOperation& op) {
  Planner planner{PlanLimits()};
  const WritePlan plan = planner.PlanWrite(op, ShopSnapshot(Dialect::kPostgres)).value();
  const std::vector<TaskResult> answers = AnswersOf(plan.tasks);
  {
    const CountAllocations count(state);
    for (auto _ : state) {
      std::vector<TaskResult> parts = answers;
      benchmark::DoNotOptimize(MergeWrite(plan.merge, plan.tasks, std::move(parts)));
    }
  }
  ReportPerRow(state, op.mutations.size());
}

// Batches of rows of four shards, as they come, until the end.
void Stream(benchmark::State& state) {
  EpollLoop loop;
  const CallContext ctx(loop);
  RawSqlOperation op;
  op.sql = "SELECT * FROM orders";
  std::vector<InstantBackend> backends(kShopShards);
  {
    const CountAllocations count(state);
    for (auto _ : state) {
      SqlRun run{
          .op = op, .ctx = ctx, .shards = {}, .backends = {}, .width = kShopShards, .transaction = nullptr};
      for (size_t i = 0; i < kShopShards; ++i) {
        run.shards.push_back(ShardId(static_cast<uint32_t>(i)));
        run.backends.push_back(&backends[i]);
      }
      const std::unique_ptr<SqlStream> stream = StartSqlStream(std::move(run));
      while (RunOn(loop, stream->Next()).has_value()) {
      }
    }
  }
  ReportPerRow(state, kShopShards * kStreamBatches * kStreamBatchRows);
}

void Etag(benchmark::State& state) {
  const Row row = OrderRow(OrderId(1));
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(EtagOf(row));
}

ReadOperation KeysOf(size_t keys, const std::vector<std::string>& columns = {}) {
  ReadOperation op = BatchGets(keys)[1];
  op.columns = columns;
  return op;
}

constexpr Dialect kPostgres = Dialect::kPostgres;
constexpr Dialect kSqlite = Dialect::kSqlite;
BENCHMARK_CAPTURE(Reads, get_copy, kPostgres, KeysOf(1), false)->Name("Copy one row's answer");
BENCHMARK_CAPTURE(Reads, get, kPostgres, KeysOf(1), true)->Name("Merge Get");
BENCHMARK_CAPTURE(Reads, batch_copy, kPostgres, KeysOf(100), false)
    ->Name("Copy 100 rows' answers, 4 PostgreSQL shards");
BENCHMARK_CAPTURE(Reads, batch, kPostgres, KeysOf(100), true)
    ->Name("Merge BatchGet of 100, 4 PostgreSQL shards");
BENCHMARK_CAPTURE(Reads, some, kPostgres,
                  KeysOf(100, {"id", "customer_id", "status", "email", "total", "paid", "created_at"}), true)
    ->Name("Merge BatchGet of 100 without etags, 4 PostgreSQL shards");
BENCHMARK_CAPTURE(Reads, lite_copy, kSqlite, KeysOf(100), false)
    ->Name("Copy 100 rows' answers, 4 SQLite shards");
BENCHMARK_CAPTURE(Reads, lite, kSqlite, KeysOf(100), true)->Name("Merge BatchGet of 100, 4 SQLite shards");
BENCHMARK_CAPTURE(Writes, one, Updates()[1])->Name("Merge Update");
BENCHMARK_CAPTURE(Writes, hundred, Inserts(100)[1])->Name("Merge BatchWrite of 100 inserts, 4 shards");
BENCHMARK(Stream)->Name("Stream 4,000 rows of 4 shards, 100 a batch");
BENCHMARK(Etag)->Name("Etag of a row of 8 columns");

}  // namespace
}  // namespace quarry

BENCHMARK_MAIN();
