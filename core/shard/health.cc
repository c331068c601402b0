#include "core/shard/health.h"

namespace quarry {

const char* ShardStateName(ShardState state) {
  switch (state) {
    case ShardState::kUnknown:
      return "UNKNOWN";
    case ShardState::kUp:
      return "UP";
    case ShardState::kDown:
      return "DOWN";
    case ShardState::kOpen:
      return "OPEN";
  }
  return "UNKNOWN";
}

ShardHealth::ShardHealth(Backend& backend, const Breaker& breaker, ShardHealthOptions options, Loop& loop,
                         Random& random)
    : backend_(backend), breaker_(breaker), options_(options), loop_(loop), random_(random) {
  prober_ = Running(PingForever(), [] {});
}

ShardHealthReport ShardHealth::report() const {
  ShardHealthReport report = last_;
  if (breaker_.open()) {
    report.state = ShardState::kOpen;
    report.last_error = breaker_.last_fault();
  }
  return report;
}

Async<void> ShardHealth::PingForever() {
  absl::Duration wait = absl::ZeroDuration();  // The first one from the loop's queue, not from the constructor.
  while (true) {
    SleepUntil pause(loop_, loop_.Now() + wait);
    co_await pause;
    co_await PingOnce();
    wait = options_.ping_interval * (0.8 + 0.4 * random_.NextUnit());
  }
}

Async<void> ShardHealth::PingOnce() {
  CallContext ctx(loop_);
  const absl::Time started = loop_.Now();
  ctx.deadline = started + options_.ping_timeout;
  ctx.call_id = "health";
  const absl::Status answer = co_await backend_.Ping(ctx);
  if (EvidenceOf(answer, absl::InfiniteDuration(), absl::ZeroDuration()) == Evidence::kNothing) co_return;
  last_.last_error = answer;
  last_.state = answer.ok() ? ShardState::kUp : ShardState::kDown;
  if (!answer.ok()) co_return;
  last_.last_ok = loop_.Now();
  last_.ping_took = last_.last_ok - started;
}

}  // namespace quarry
