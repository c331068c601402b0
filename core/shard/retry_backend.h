// Tries again what is safe to try again, within the deadline and the budget.
#pragma once

#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/base/random.h"
#include "core/shard/observer.h"
#include "core/shard/retry_budget.h"

namespace quarry {

struct RetryOptions {
  int attempts_max = 3;  // The first one included.
  // Before retry n (from 0) a uniform time in [0, min(delay_max, delay_first * 2^n)): full jitter, as in
  // "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
  absl::Duration delay_first = absl::Milliseconds(20);
  absl::Duration delay_max = absl::Seconds(1);
};

// Reads and leases are tried again on kUnavailable; writes only with a request guard, which makes them
// repeatable, then on kUnknown too. An open breaker ends it: the error says when to come back.
class RetryBackend final : public Backend {
 public:
  // `random`, `budget` and `observer` outlive this; all belong to its loop.
  RetryBackend(std::unique_ptr<Backend> next, RetryOptions options, Random& random, RetryBudget& budget,
               ShardObserver& observer)
      : next_(std::move(next)), options_(options), random_(random), budget_(budget), observer_(observer) {}

  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) override;
  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options,
                                                        const CallContext& ctx) override;
  // Not tried again: its answer is news either way.
  Async<absl::Status> Ping(const CallContext& ctx) override { return next_->Ping(ctx); }
  TwoPhase& two_phase() override { return next_->two_phase(); }
  BackendStats stats() const override { return next_->stats(); }

 private:
  // How long to wait before the next attempt; InfiniteDuration: give up.
  absl::Duration DelayBefore(int retry, const CallContext& ctx);

  std::unique_ptr<Backend> next_;
  const RetryOptions options_;
  Random& random_;
  RetryBudget& budget_;
  ShardObserver& observer_;
};

}  // namespace quarry
