#include "core/shard/retry_backend.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/error.h"

namespace quarry {
namespace {

bool WorthAnotherTry(const absl::Status& status, bool writes, bool guarded) {
  if (writes && !guarded) return false;
  if (status.code() == absl::StatusCode::kUnavailable) return ReasonOf(status) != reason::kCircuitOpen;
  return guarded && status.code() == absl::StatusCode::kUnknown;
}

}  // namespace

absl::Duration RetryBackend::DelayBefore(int retry, const CallContext& ctx) {
  if (retry + 1 >= options_.attempts_max) return absl::InfiniteDuration();
  const absl::Duration bound = std::min(options_.delay_max, options_.delay_first * std::exp2(retry));
  const absl::Duration delay = bound * random_.NextUnit();
  if (ctx.loop.Now() + delay >= ctx.deadline || !budget_.Spend()) return absl::InfiniteDuration();
  observer_.OnRetry();
  return delay;
}

Async<absl::StatusOr<TaskResult>> RetryBackend::Execute(const Task& task, const CallContext& ctx) {
  budget_.CountCall();
  for (int retry = 0;; ++retry) {
    absl::StatusOr<TaskResult> result = co_await next_->Execute(task, ctx);
    if (result.ok() || !WorthAnotherTry(result.status(), task.writes(), task.guard.has_value())) {
      co_return result;
    }
    const absl::Duration delay = DelayBefore(retry, ctx);
    if (delay == absl::InfiniteDuration()) co_return result;
    SleepUntil pause(ctx.loop, ctx.loop.Now() + delay);
    co_await pause;
  }
}

Async<absl::StatusOr<std::unique_ptr<Session>>> RetryBackend::Lease(const SessionOptions& options,
                                                                    const CallContext& ctx) {
  budget_.CountCall();
  for (int retry = 0;; ++retry) {
    absl::StatusOr<std::unique_ptr<Session>> leased = co_await next_->Lease(options, ctx);
    if (leased.ok() || !WorthAnotherTry(leased.status(), false, false)) co_return leased;
    const absl::Duration delay = DelayBefore(retry, ctx);
    if (delay == absl::InfiniteDuration()) co_return leased;
    SleepUntil pause(ctx.loop, ctx.loop.Now() + delay);
    co_await pause;
  }
}

}  // namespace quarry
