#include "client/internal/retry.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/error.h"

namespace quarry::client::internal {

Environment SystemEnvironment() {
  return Environment{std::make_shared<SystemClock>(), std::make_shared<SystemRandom>(),
                     [](absl::Duration wait) { absl::SleepFor(wait); }};
}

bool MayRetry(const absl::Status& status, Safety safety) {
  if (safety == Safety::kNone) return false;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return true;
    case absl::StatusCode::kResourceExhausted:
      // Without a RetryInfo it is a limit that waiting does not move, such as the size of a reply.
      return DetailOf(status).retry_after.has_value();
    case absl::StatusCode::kUnknown:
      return safety == Safety::kIdempotent;
    default:
      return false;
  }
}

void RetryBudget::AddCall() {
  absl::MutexLock lock(&mutex_);
  tokens_ = std::min(burst_, tokens_ + ratio_);
}

bool RetryBudget::TakeRetry() {
  absl::MutexLock lock(&mutex_);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

absl::Duration JitteredBackoff(const RetryOptions& options, int retry, Random& random) {
  const double growth = std::ldexp(1.0, std::min(retry - 1, 60));
  const absl::Duration bound = std::min(options.backoff_max, options.backoff_initial * growth);
  return bound * random.NextUnit();
}

bool Attempts::WaitForNext(const absl::Status& status) {
  const RetryOptions& options = policy_.options();
  const Environment& environment = policy_.environment();
  if (!MayRetry(status, safety_) || made_ >= options.attempts_max) return false;
  const absl::Duration asked = DetailOf(status).retry_after.value_or(absl::ZeroDuration());
  const absl::Duration wait = asked + JitteredBackoff(options, made_, *environment.random);
  if (environment.clock->Now() + wait >= deadline_) return false;
  if (!policy_.budget().TakeRetry()) return false;
  environment.sleep(wait);
  ++made_;
  return true;
}

absl::Status Attempts::Annotate(const absl::Status& status) const {
  if (made_ == 1 || status.ok()) return status;
  return WithMessage(status, absl::StrCat(status.message(), " (after ", made_, " attempts)"));
}

}  // namespace quarry::client::internal
