// A loop whose time stands still until the test moves it. It still watches real sockets.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "core/base/epoll_loop.h"

namespace quarry {

class ManualLoop final : public EpollLoop {
 public:
  absl::Time Now() const override { return now_; }
  // Runs what is due now and all that follows from it.
  void Settle() {
    while (RunOnce(absl::ZeroDuration())) {
    }
  }
  // Moves time forward, stopping at each timer on the way, so that what a timer starts sees the right time.
  void Advance(absl::Duration by) {
    Settle();
    const absl::Time end = now_ + by;
    for (absl::Time due = NextDue(); due <= end; due = NextDue()) {
      if (due > now_) now_ = due;
      Settle();
    }
    now_ = end;
  }

 private:
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
};

// The result of `work`, which must come without time passing.
template <typename T>
T RunNow(ManualLoop& loop, Async<T> work) {
  std::optional<T> result;
  const Running running(std::move(work), [&result](T value) { result.emplace(std::move(value)); });
  loop.Settle();
  if (!result.has_value()) {
    std::fputs("RunNow: the call waits for time to pass or for an event that nobody will send\n", stderr);
    std::abort();
  }
  return *std::move(result);
}

// A call under way: result() is set once it has answered; Drop() cancels it.
template <typename T>
class Started {
 public:
  explicit Started(Async<T> work)
      : running_(std::move(work), [result = result_](T value) { result->emplace(std::move(value)); }) {}
  bool answered() const { return result_->has_value(); }
  T& result() { return **result_; }
  void Drop() { running_ = Running(); }

 private:
  const std::shared_ptr<std::optional<T>> result_ = std::make_shared<std::optional<T>>();
  Running running_;
};

}  // namespace quarry
