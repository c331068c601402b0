#include "core/shard/limiter_backend.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

// A place among the calls under way, given back also when the call is dropped.
class Place {
 public:
  explicit Place(int64_t& calls) : calls_(calls) { ++calls_; }
  ~Place() { --calls_; }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  int64_t& calls_;
};

}  // namespace

LimiterBackend::LimiterBackend(std::unique_ptr<Backend> next, std::string shard, LimiterOptions options,
                               ShardObserver& observer)
    : next_(std::move(next)),
      shard_(std::move(shard)),
      options_(options),
      observer_(observer),
      reads_(options.latency_window),
      writes_(options.latency_window) {}

Async<absl::StatusOr<TaskResult>> LimiterBackend::Execute(const Task& task, const CallContext& ctx) {
  LatencyFloor& floor = task.writes() ? writes_ : reads_;
  QUARRY_CO_RETURN_IF_ERROR(Admit(&floor, ctx));
  const Place place(calls_);
  const absl::Time started = ctx.loop.Now();
  absl::StatusOr<TaskResult> result = co_await next_->Execute(task, ctx);
  const absl::Time now = ctx.loop.Now();
  if (result.ok()) floor.Add(now - started, now);
  co_return result;
}

Async<absl::StatusOr<std::unique_ptr<Session>>> LimiterBackend::Lease(const SessionOptions& options,
                                                                      const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(Admit(nullptr, ctx));
  const Place place(calls_);
  absl::StatusOr<std::unique_ptr<Session>> leased = co_await next_->Lease(options, ctx);
  co_return leased;
}

absl::Status LimiterBackend::Admit(LatencyFloor* floor, const CallContext& ctx) {
  absl::Status refusal;
  const absl::Time now = ctx.loop.Now();
  const absl::Duration fastest = floor != nullptr ? floor->Get(now) : absl::ZeroDuration();
  if (calls_ >= options_.calls_max) {
    refusal = Full();
  } else if (ctx.deadline - now <= fastest) {
    refusal = TooLate(ctx.deadline - now, fastest);
  } else {
    return absl::OkStatus();
  }
  observer_.OnShed();
  return refusal;
}

absl::Status LimiterBackend::Full() const {
  ErrorDetail detail;
  detail.reason = reason::kPoolExhausted;
  detail.facts = {{"shard", shard_}, {"size", absl::StrCat(options_.calls_max)}};
  detail.retry_after = absl::Milliseconds(100);
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat("shard ", shard_, " has ", calls_,
                                " calls under way, which is its limit; retry later"),
                   detail);
}

absl::Status LimiterBackend::TooLate(absl::Duration left, absl::Duration fastest) const {
  const std::string message =
      left <= absl::ZeroDuration()
          ? absl::StrCat("the deadline had ended before shard ", shard_, " was asked")
          : absl::StrCat("the deadline leaves ", absl::FormatDuration(left),
                         ", but the fastest recent answer of shard ", shard_, " took ",
                         absl::FormatDuration(fastest), "; nothing was tried: allow more time");
  return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, message,
                   {{"stage", "queue"}, {"shard", shard_}});
}

}  // namespace quarry
