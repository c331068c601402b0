// A whole call without a database: the engine over shards that answer at once, and the same behind its RPC's
// handler, from the request's bytes to the reply's. What the shards' own answers cost is told by the cases
// "Answer ...".
#include <benchmark/benchmark.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/epoll_loop.h"
#include "core/base/random.h"
#include "core/engine/engine.h"
#include "core/shard/shard.h"
#include "google/protobuf/arena.h"
#include "loadtest/micro/count_allocations.h"
#include "loadtest/micro/instant_backend.h"
#include "loadtest/micro/shop.h"
#include "loadtest/micro/shop_messages.h"
#include "server/loop/rpc_table.h"
#include "server/service/services.h"

namespace quarry {
namespace {

enum class Shards { kBare, kDecorated };

class Stand final : public CallMetadata {
 public:
  Stand(Dialect dialect, Shards shards) : snapshot_(ShopSnapshot(dialect)) {
    Engine::Parts parts;
    for (const Shard& shard : snapshot_->topology.shards()) {
      auto instant = std::make_unique<InstantBackend>();
      if (shards == Shards::kBare) {
        parts.shards.push_back(std::move(instant));
        continue;
      }
      ShardOptions options;
      options.name = shard.name;
      parts.shards.push_back(DecorateShard(std::move(instant), options, loop_, random_, budget_, nullptr));
    }
    parts.snapshot = [this] { return snapshot_; };
    engine_ = std::make_unique<Engine>(loop_, std::move(parts));
    ctx_.deadline = loop_.Now() + absl::Hours(1);
  }
  std::optional<std::string> Find(std::string_view) const override { return std::nullopt; }
  void ForEach(const std::function<void(std::string_view, std::string_view)>&) const override {}
  std::string peer() const override { return ""; }

  Engine& engine() { return *engine_; }
  const CallContext& ctx() const { return ctx_; }
  CallScope Scope() {
    CallScope scope(loop_, 0, engine_.get(), *this);
    scope.ctx.deadline = ctx_.deadline;
    return scope;
  }

 private:
  EpollLoop loop_;
  SeededRandom random_{1};
  RetryBudget budget_{RetryBudgetOptions()};
  std::shared_ptr<const Snapshot> snapshot_;
  std::unique_ptr<Engine> engine_;
  CallContext ctx_{loop_};
};

template <typename Result>
void MustBeOk(benchmark::State& state, const Result& result) {
  if (!result.ok()) state.SkipWithError("the call failed");
}

void Read(benchmark::State& state, Dialect dialect, Shards shards, const std::vector<ReadOperation>& ops) {
  Stand stand(dialect, shards);
  const std::string no_transaction;
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) {
    const auto result =
        RunAtOnce(stand.engine().Read(ops[at++ & (kShopKeys - 1)], no_transaction, stand.ctx()));
    MustBeOk(state, result);
    benchmark::DoNotOptimize(&result);
  }
}

void Write(benchmark::State& state, Dialect dialect, Shards shards, const std::vector<WriteOperation>& ops) {
  Stand stand(dialect, shards);
  const std::string no_transaction;
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) {
    const auto result =
        RunAtOnce(stand.engine().Write(ops[at++ & (kShopKeys - 1)], no_transaction, stand.ctx()));
    MustBeOk(state, result);
    benchmark::DoNotOptimize(&result);
  }
}

// As the server does it: messages on an arena with a first block of its own.
void Rpc(benchmark::State& state, const char* path, const std::vector<std::string>& requests) {
  Stand stand(Dialect::kPostgres, Shards::kDecorated);
  RpcTable table;
  AddDataService(table);
  const Method& method = *table.Find(path);
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) {
    alignas(8) char block[1024];
    google::protobuf::ArenaOptions options;
    options.initial_block = block;
    options.initial_block_size = sizeof(block);
    google::protobuf::Arena arena(options);
    google::protobuf::Message* const request = method.request->New(&arena);
    google::protobuf::Message* const response = method.response->New(&arena);
    if (!request->ParseFromString(requests[at++ & (kShopKeys - 1)])) state.SkipWithError("no such message");
    CallScope scope = stand.Scope();
    MustBeOk(state, RunAtOnce(method.unary(*request, *response, scope)));
    benchmark::DoNotOptimize(response->SerializeAsString());
  }
}

void Answer(benchmark::State& state, bool writes) {
  Stand stand(Dialect::kPostgres, Shards::kBare);
  Task task;
  Statement& statement = task.steps.emplace_back().statements.emplace_back();
  statement.params = {Value::Int64(1)};
  statement.writes = writes;
  statement.returns_rows = !writes;
  InstantBackend backend;
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(RunAtOnce(backend.Execute(task, stand.ctx())));
}

constexpr Dialect kPostgres = Dialect::kPostgres;
constexpr Dialect kSqlite = Dialect::kSqlite;
constexpr Shards kBare = Shards::kBare;
constexpr Shards kDecorated = Shards::kDecorated;
BENCHMARK_CAPTURE(Answer, read, false)->Name("Answer one row");
BENCHMARK_CAPTURE(Answer, write, true)->Name("Answer one write");
BENCHMARK_CAPTURE(Read, get, kPostgres, kBare, Gets())->Name("Get by int64, 4 bare shards");
BENCHMARK_CAPTURE(Read, get_decorated, kPostgres, kDecorated, Gets())->Name("Get by int64, 4 shards");
BENCHMARK_CAPTURE(Read, get_two, kPostgres, kDecorated, Gets({"status", "total", "id"}))
    ->Name("Get of 3 columns, 4 shards");
BENCHMARK_CAPTURE(Read, batch, kPostgres, kDecorated, BatchGets(100))
    ->Name("BatchGet of 100, 4 PostgreSQL shards");
BENCHMARK_CAPTURE(Read, batch_lite, kSqlite, kDecorated, BatchGets(100))
    ->Name("BatchGet of 100, 4 SQLite shards");
BENCHMARK_CAPTURE(Write, insert, kPostgres, kDecorated, Inserts())->Name("Insert of 8 columns, 4 shards");
BENCHMARK_CAPTURE(Write, update, kPostgres, kDecorated, Updates())->Name("Update of 2 columns, 4 shards");
BENCHMARK_CAPTURE(Write, returning, kPostgres, kDecorated, Updates({"*"}))
    ->Name("Update returning all, 4 shards");
BENCHMARK_CAPTURE(Write, batch, kPostgres, kDecorated, Inserts(100))
    ->Name("BatchWrite of 100 inserts, 4 shards");
BENCHMARK_CAPTURE(Rpc, get, "/quarry.v1.DataService/Get", Serialized(GetRequests()))
    ->Name("Get, bytes to bytes");
BENCHMARK_CAPTURE(Rpc, batch, "/quarry.v1.DataService/BatchGet", Serialized(BatchGetRequests(100)))
    ->Name("BatchGet of 100, bytes to bytes");
BENCHMARK_CAPTURE(Rpc, insert, "/quarry.v1.DataService/Insert", Serialized(InsertRequests()))
    ->Name("Insert, bytes to bytes");
BENCHMARK_CAPTURE(Rpc, update, "/quarry.v1.DataService/Update", Serialized(UpdateRequests()))
    ->Name("Update, bytes to bytes");

}  // namespace
}  // namespace quarry

BENCHMARK_MAIN();
