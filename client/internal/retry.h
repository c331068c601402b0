// Which calls may be tried again, when, and how often. Thread-safe where it says so.
#pragma once

#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/options.h"
#include "core/base/clock.h"
#include "core/base/random.h"

namespace quarry::client::internal {

// Time and chance, so that tests can drive them. What it holds is thread-safe in production.
struct Environment {
  std::shared_ptr<Clock> clock;
  std::shared_ptr<Random> random;
  std::function<void(absl::Duration)> sleep;
};

Environment SystemEnvironment();

// What a second attempt of a call can do.
enum class Safety {
  kNone,        // May apply twice, or its transaction is gone: never tried again.
  kRead,        // Changes nothing.
  kIdempotent,  // The gateway answers a repeat with the first result (request_id, rollback).
};

// True when a call that ended so is tried again as it is: docs/errors.md has the table, and what of it is done here.
bool MayRetry(const absl::Status& status, Safety safety);

// The tokens that all calls of a client share: a call puts a part of one in, a retry takes a whole
// one out. Thread-safe.
class RetryBudget {
 public:
  RetryBudget(double ratio, double burst) : ratio_(ratio), burst_(burst), tokens_(burst) {}
  void AddCall();
  bool TakeRetry();

 private:
  const double ratio_;
  const double burst_;
  absl::Mutex mutex_;
  double tokens_ ABSL_GUARDED_BY(mutex_);
};

// Exponential backoff with full jitter ("Exponential Backoff And Jitter", AWS 2015): uniform
// between 0 and min(max, initial * 2^(retry-1)). `retry` counts from 1.
absl::Duration JitteredBackoff(const RetryOptions& options, int retry, Random& random);

// What the retries of one client share. Thread-safe.
class RetryPolicy {
 public:
  RetryPolicy(const RetryOptions& options, Environment environment)
      : options_(options),
        environment_(std::move(environment)),
        budget_(options.budget_ratio, options.budget_burst) {}

  const RetryOptions& options() const { return options_; }
  const Environment& environment() const { return environment_; }
  RetryBudget& budget() { return budget_; }

 private:
  const RetryOptions options_;
  const Environment environment_;
  RetryBudget budget_;
};

// The attempts of one call. One thread.
class Attempts {
 public:
  // `policy` outlives this.
  Attempts(RetryPolicy& policy, Safety safety, absl::Time deadline)
      : policy_(policy), safety_(safety), deadline_(deadline) {
    policy_.budget().AddCall();
  }

  // Decides after an attempt that ended with `status`: waits and returns true when there shall be
  // another one.
  bool WaitForNext(const absl::Status& status);
  // `status` with the number of attempts in its message, when there was more than one.
  absl::Status Annotate(const absl::Status& status) const;

 private:
  RetryPolicy& policy_;
  const Safety safety_;
  const absl::Time deadline_;
  int made_ = 1;
};

}  // namespace quarry::client::internal
