// What a shard's wrappings add to each call, and what a session's way out of its pool and back costs.
#include <benchmark/benchmark.h>

#include <memory>
#include <optional>
#include <utility>

#include "core/backend/lease_pool.h"
#include "core/base/epoll_loop.h"
#include "core/base/random.h"
#include "core/shard/breaker_backend.h"
#include "core/shard/limiter_backend.h"
#include "core/shard/metered_backend.h"
#include "core/shard/retry_backend.h"
#include "core/shard/shard.h"
#include "loadtest/micro/count_allocations.h"
#include "loadtest/micro/instant_backend.h"

namespace quarry {
namespace {

// A shard's answer that costs next to nothing.
class EmptyBackend final : public Backend {
 public:
  Async<absl::StatusOr<TaskResult>> Execute(const Task&, const CallContext&) override {
    co_return TaskResult();
  }
  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions&, const CallContext&) override {
    co_return std::make_unique<InstantSession>();
  }
  Async<absl::Status> Ping(const CallContext&) override { co_return absl::OkStatus(); }
  TwoPhase& two_phase() override { return two_phase_; }
  BackendStats stats() const override { return BackendStats(); }

 private:
  FakeTwoPhase two_phase_;
};

// What the wrappings are made with.
struct Stand {
  Stand() { ctx.deadline = loop.Now() + absl::Hours(1); }
  EpollLoop loop;
  SeededRandom random{1};
  RetryBudget budget{RetryBudgetOptions()};
  NoShardObserver observer;
  CallContext ctx{loop};
};

using Wrap = std::unique_ptr<Backend> (*)(Stand& stand);

std::unique_ptr<Backend> Nothing(Stand&) { return std::make_unique<EmptyBackend>(); }
std::unique_ptr<Backend> Broken(Stand& stand) {
  return std::make_unique<BreakerBackend>(Nothing(stand), "shard0", BreakerOptions(), stand.observer);
}
std::unique_ptr<Backend> Retried(Stand& stand) {
  return std::make_unique<RetryBackend>(Nothing(stand), RetryOptions(), stand.random, stand.budget,
                                        stand.observer);
}
std::unique_ptr<Backend> Limited(Stand& stand) {
  return std::make_unique<LimiterBackend>(Nothing(stand), "shard0", LimiterOptions(), stand.observer);
}
std::unique_ptr<Backend> Metered(Stand& stand) {
  return std::make_unique<MeteredBackend>(Nothing(stand), stand.observer);
}
std::unique_ptr<Backend> Decorated(Stand& stand) {
  ShardOptions options;
  options.name = "shard0";
  return DecorateShard(Nothing(stand), options, stand.loop, stand.random, stand.budget, nullptr);
}

void Execute(benchmark::State& state, Wrap wrap) {
  Stand stand;
  const std::unique_ptr<Backend> backend = wrap(stand);
  Task task;
  task.steps.resize(1);
  task.steps[0].statements.resize(1);
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(RunAtOnce(backend->Execute(task, stand.ctx)));
}

void LeaseSession(benchmark::State& state, Wrap wrap) {
  Stand stand;
  const std::unique_ptr<Backend> backend = wrap(stand);
  const SessionOptions options;
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(RunAtOnce(backend->Lease(options, stand.ctx)));
}

void CheckBreaker(benchmark::State& state) {
  Breaker breaker{BreakerOptions()};
  const absl::Time now = absl::Now();
  const absl::Status answer;
  const CountAllocations count(state);
  for (auto _ : state) {
    const std::optional<Breaker::Ticket> ticket = breaker.Admit(now);
    breaker.Record(*ticket, answer, absl::Milliseconds(1), now);
  }
}

void CheckOutAndIn(benchmark::State& state) {
  Stand stand;
  LeasePool<int> pool(stand.loop, LeasePoolOptions());
  pool.Release(RunAtOnce(pool.Acquire(stand.ctx)).ok() ? std::make_unique<int>(1) : nullptr);
  const CountAllocations count(state);
  for (auto _ : state) pool.Release(*RunAtOnce(pool.Acquire(stand.ctx)));
}

// The one session changes hands: the second caller waits until the first gives it back.
void CheckOutAfterAWait(benchmark::State& state) {
  Stand stand;
  LeasePoolOptions options;
  options.sessions_max = 1;
  LeasePool<int> pool(stand.loop, options);
  std::unique_ptr<int> held = *RunAtOnce(pool.Acquire(stand.ctx));
  held = std::make_unique<int>(1);
  const CountAllocations count(state);
  for (auto _ : state) {
    bool got = false;
    const auto take = [&held, &got](absl::StatusOr<std::unique_ptr<int>> session) {
      held = *std::move(session);
      got = true;
    };
    const Running waiter(pool.Acquire(stand.ctx), take);
    pool.Release(std::move(held));
    while (!got) stand.loop.RunOnce(absl::ZeroDuration());
  }
}

void AskTheClock(benchmark::State& state) {
  const EpollLoop loop;
  for (auto _ : state) benchmark::DoNotOptimize(loop.Now());
}

BENCHMARK(CheckBreaker)->Name("Breaker: admit and record");
BENCHMARK(CheckOutAndIn)->Name("Pool: check out and in");
BENCHMARK(CheckOutAfterAWait)->Name("Pool: check out after a wait, with its turn of the loop");
BENCHMARK_CAPTURE(Execute, nothing, Nothing)->Name("Call of an empty backend");
BENCHMARK_CAPTURE(Execute, broken, Broken)->Name("Call with a breaker");
BENCHMARK_CAPTURE(Execute, retried, Retried)->Name("Call with retries");
BENCHMARK_CAPTURE(Execute, limited, Limited)->Name("Call with a limiter");
BENCHMARK_CAPTURE(Execute, metered, Metered)->Name("Call with meters");
BENCHMARK_CAPTURE(Execute, decorated, Decorated)->Name("Call of a decorated shard");
BENCHMARK_CAPTURE(LeaseSession, decorated, Decorated)->Name("Lease of a decorated shard");
BENCHMARK(AskTheClock)->Name("The time of the loop");

}  // namespace
}  // namespace quarry

BENCHMARK_MAIN();
