// Callers who ask the same question at the same time, over four SQLite shards: each for itself, or sharing an asking
// (tables.<name>.merge_reads). The question reads 20,000 rows. "callers" ask again as soon as they have their answer;
// shards_asked is what the databases did for one answer.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "core/base/epoll_loop.h"
#include "core/engine/engine.h"
#include "core/model/shard_costs.h"
#include "loadtest/micro/shop.h"

namespace quarry {
namespace {

constexpr int kRowsOfShard = 5'000;

// Databases in a folder that goes with it.
class Stand {
 public:
  Stand() : snapshot_(ShopSnapshot(Dialect::kSqlite)) {
    std::string folder = (std::filesystem::temp_directory_path() / "merged-reads-XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) std::abort();
    folder_ = folder;
    Engine::Parts parts;
    for (const Shard& shard : snapshot_->topology.shards()) {
      SqliteOptions options;
      options.shard = shard.name;
      options.file = absl::StrCat(folder_, "/", shard.name, ".db");
      absl::StatusOr<std::shared_ptr<SqliteDatabase>> database = SqliteDatabase::Open(options);
      if (!database.ok() || !(*database)->RunScript(Schema()).ok()) std::abort();
      LeasePoolOptions pool;
      pool.name = "shard";
      pool.sessions_max = 4;
      pool.waiters_max = 1'000;
      parts.shards.push_back(MakeSqliteBackend(loop_, *std::move(database), pool));
    }
    parts.snapshot = [this] { return snapshot_; };
    engine_ = std::make_unique<Engine>(loop_, std::move(parts));
  }
  ~Stand() {
    engine_.reset();
    std::filesystem::remove_all(folder_);
  }
  EpollLoop& loop() { return loop_; }
  Engine& engine() { return *engine_; }

 private:
  static std::string Schema() {
    return absl::StrCat(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, status TEXT, email TEXT, total DECIMAL_TEXT, paid BOOLEAN, "
        "created_at TEXT, note TEXT);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ", kRowsOfShard, ") "
        "INSERT INTO orders SELECT i, i % 100, 'status ' || i % 7, 'someone@example.com', '1.50', 0, '', 'a note' FROM n;");
  }

  EpollLoop loop_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::string folder_;
  std::unique_ptr<Engine> engine_;
};

// One caller: a question at a time, and how long the last one took.
class Caller {
 public:
  Caller(Stand& stand, const AggregateOperation& op) : stand_(stand), op_(op), ctx_(stand.loop()) { ctx_.shard_costs = &costs_; }
  void Ask(std::function<void(Caller&)> answered) {
    began_ = stand_.loop().Now();
    running_ = Running(stand_.engine().Aggregate(op_, no_transaction_, ctx_),
                       [this, answered = std::move(answered)](absl::StatusOr<AggregateResult> result) {
                         ok = ok && result.ok();
                         took = stand_.loop().Now() - began_;
                         answered(*this);
                       });
  }
  size_t TakeShardsAsked() {
    const size_t asked = costs_.size();
    costs_ = ShardCosts();
    return asked;
  }

  absl::Duration took;
  bool ok = true;

 private:
  Stand& stand_;
  const AggregateOperation& op_;
  const std::string no_transaction_;
  CallContext ctx_;
  ShardCosts costs_;
  absl::Time began_;
  Running running_;
};

void SameQuestion(benchmark::State& state) {
  Stand stand;
  AggregateOperation op;
  op.table = "orders";
  op.group_by = {"status"};
  op.aggregates = {{AggregateFunction::kCount, "", "n"}, {AggregateFunction::kMax, "customer_id", "most"}};
  if (state.range(1) != 0) op.question = "orders by status";
  std::vector<std::unique_ptr<Caller>> callers;
  std::deque<Caller*> answered;
  const auto note = [&answered](Caller& caller) { answered.push_back(&caller); };
  for (int64_t i = 0; i < state.range(0); ++i) callers.push_back(std::make_unique<Caller>(stand, op));
  for (const auto& caller : callers) caller->Ask(note);
  std::vector<double> micros;
  int64_t shards_asked = 0;
  for (auto _ : state) {
    while (answered.empty()) stand.loop().RunOnce(absl::Seconds(10));
    Caller& caller = *answered.front();
    answered.pop_front();
    if (!caller.ok) state.SkipWithError("the call failed");
    micros.push_back(absl::ToDoubleMicroseconds(caller.took));
    shards_asked += static_cast<int64_t>(caller.TakeShardsAsked());
    caller.Ask(note);
  }
  callers.clear();
  if (micros.empty()) return;
  std::sort(micros.begin(), micros.end());
  state.counters["p50_us"] = micros[micros.size() / 2];
  state.counters["p99_us"] = micros[micros.size() * 99 / 100];
  state.counters["shards_asked"] = static_cast<double>(shards_asked) / static_cast<double>(micros.size());
}
BENCHMARK(SameQuestion)
    ->ArgNames({"callers", "merged"})
    ->ArgsProduct({{1, 2, 4, 16, 64}, {0, 1}})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace quarry

BENCHMARK_MAIN();
