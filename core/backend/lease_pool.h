// A bounded pool of things that are leased to one user at a time, with a bounded, deadline-aware queue. One loop.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/error.h"
#include "core/base/loop.h"
#include "core/base/status_macros.h"

namespace quarry {

struct LeasePoolOptions {
  std::string name;  // For messages: "shard s0".
  int64_t sessions_max = 8;
  int64_t waiters_max = 256;
};

// T is opened by the caller: Acquire hands out either an idle T or a permit to open one (null pointer).
template <typename T>
class LeasePool {
 public:
  LeasePool(Loop& loop, LeasePoolOptions options) : loop_(loop), options_(std::move(options)) {}

  // One of `sessions_max` places, with an idle T in it when there was one. Give it back with Release or Forfeit.
  // kResourceExhausted POOL_EXHAUSTED at once when the queue is full; kDeadlineExceeded when no place came free.
  Async<absl::StatusOr<std::unique_ptr<T>>> Acquire(const CallContext& ctx) {
    ctx.stage = Stage::kPool;
    if (in_use_ < options_.sessions_max) {
      ++in_use_;
      co_return TakeIdle();
    }
    if (static_cast<int64_t>(waiters_.size()) >= options_.waiters_max) co_return Full();
    const auto waiter = std::make_shared<Waiter>(loop_);
    waiters_.push_back(waiter);
    // Runs also when the caller is dropped while it waits.
    const Leave leave{this, waiter};
    const Timer timer(loop_, ctx.deadline, [completer = waiter->granted]() mutable { completer.Set(false); });
    Future<bool> granted = waiter->granted.future();
    const bool ok = co_await granted;
    if (!ok) co_return TooLate();
    waiter->taken = true;
    co_return TakeIdle();
  }

  // Gives a clean T back with its place.
  void Release(std::unique_ptr<T> item) {
    idle_.push_back(std::move(item));
    Forfeit();
  }
  // Gives the place back alone; its T was closed.
  void Forfeit() {
    // The place passes straight to the first who still waits, so nobody overtakes.
    while (!waiters_.empty()) {
      const std::shared_ptr<Waiter> first = waiters_.front();
      waiters_.pop_front();
      if (first->granted.set() || first->granted.abandoned()) continue;
      first->holds_place = true;
      first->granted.Set(true);
      return;
    }
    --in_use_;
  }
  // Closes what is idle, for example after a failover.
  std::vector<std::unique_ptr<T>> DropIdle() { return std::exchange(idle_, {}); }

  int64_t leased() const { return in_use_; }
  int64_t idle() const { return static_cast<int64_t>(idle_.size()); }
  int64_t waiting() const { return static_cast<int64_t>(waiters_.size()); }
  int64_t sessions_max() const { return options_.sessions_max; }

 private:
  struct Waiter {
    explicit Waiter(Loop& loop) : granted(loop) {}
    Completer<bool> granted;
    bool holds_place = false;
    bool taken = false;
  };
  struct Leave {
    LeasePool* pool;
    std::shared_ptr<Waiter> waiter;
    ~Leave() {
      auto& queue = pool->waiters_;
      queue.erase(std::remove(queue.begin(), queue.end(), waiter), queue.end());
      // Granted a place that nobody will use any more.
      if (waiter->holds_place && !waiter->taken) pool->Forfeit();
    }
  };

  std::unique_ptr<T> TakeIdle() {
    if (idle_.empty()) return nullptr;
    std::unique_ptr<T> item = std::move(idle_.back());  // The warmest.
    idle_.pop_back();
    return item;
  }
  absl::Status Full() const {
    ErrorDetail detail;
    detail.reason = reason::kPoolExhausted;
    detail.facts = {{"pool", options_.name},
                    {"size", absl::StrCat(options_.sessions_max)},
                    {"waiters", absl::StrCat(waiters_.size())}};
    detail.retry_after = absl::Milliseconds(100);
    return MakeError(absl::StatusCode::kResourceExhausted,
                     absl::StrCat("all ", options_.sessions_max, " sessions of ", options_.name, " are busy and ",
                                  waiters_.size(), " calls wait already; retry later or raise the pool's size"),
                     detail);
  }
  absl::Status TooLate() const {
    return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                     absl::StrCat("deadline ended while waiting for one of the ", options_.sessions_max,
                                  " sessions of ", options_.name),
                     {{"stage", "pool"}, {"pool", options_.name}});
  }

  Loop& loop_;  // Outlives this.
  const LeasePoolOptions options_;
  int64_t in_use_ = 0;
  std::vector<std::unique_ptr<T>> idle_;
  std::deque<std::shared_ptr<Waiter>> waiters_;
};

}  // namespace quarry
