// Async<T>: a lazy coroutine that yields one T. It starts when awaited (or given to Spawn), and dropping it
// destroys its frame and, with it, everything that it awaits: that is how a call is cancelled.
//
// Rules that keep this safe, all on one loop's thread:
//  - a coroutine takes what outlives its first suspension by value, or from its loop;
//  - an awaitable that waits for something outside resumes its waiter from the loop's queue (see Future),
//    never inside the call that produced the result, so no frame is destroyed while it runs.
// Exceptions do not cross a coroutine: they stop in each driver.
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "core/base/frame_pool.h"

namespace quarry {

template <typename T>
class [[nodiscard]] Async;

namespace async_internal {

struct ResumeWaiter {
  bool await_ready() noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) noexcept {
    const std::coroutine_handle<> waiter = done.promise().waiter;
    return waiter ? waiter : std::noop_coroutine();
  }
  void await_resume() noexcept {}
};

struct PromiseBase : PooledFrame {
  std::coroutine_handle<> waiter;
  std::suspend_always initial_suspend() noexcept { return {}; }
  ResumeWaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { std::terminate(); }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Async<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T Take() { return *std::move(value); }
};

template <>
struct Promise<void> : PromiseBase {
  Async<void> get_return_object();
  void return_void() noexcept {}
  void Take() noexcept {}
};

}  // namespace async_internal

template <typename T>
class [[nodiscard]] Async {
 public:
  using promise_type = async_internal::Promise<T>;

  explicit Async(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
  Async(Async&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Async& operator=(Async&& other) noexcept {
    if (this != &other) {
      if (frame_) frame_.destroy();
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }
  ~Async() {
    if (frame_) frame_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) noexcept {
    frame_.promise().waiter = waiter;
    return frame_;
  }
  T await_resume() { return frame_.promise().Take(); }

 private:
  std::coroutine_handle<promise_type> frame_;
};

namespace async_internal {
template <typename T>
Async<T> Promise<T>::get_return_object() {
  return Async<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Async<void> Promise<void>::get_return_object() {
  return Async<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

// The frame at the bottom of a chain: started by hand, destroyed by its owner.
struct Root {
  struct promise_type : PooledFrame {
    Root get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
  std::coroutine_handle<promise_type> frame;
};
}  // namespace async_internal

// A running coroutine that its owner can drop at any time (outside of its own code), which cancels it.
// `done` is called with the result on the loop's thread, at most once, and not after the Running is gone.
// It must not destroy the Running itself: defer that to the loop.
class [[nodiscard]] Running {
 public:
  Running() = default;
  template <typename T, typename Done>
  Running(Async<T> work, Done done) : frame_(Start(std::move(work), std::move(done)).frame) {
    frame_.resume();
  }
  Running(Running&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Running& operator=(Running&& other) noexcept {
    if (this != &other) {
      if (frame_) frame_.destroy();
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }
  ~Running() {
    if (frame_) frame_.destroy();
  }
  bool finished() const { return !frame_ || frame_.done(); }

 private:
  template <typename T, typename Done>
  static async_internal::Root Start(Async<T> work, Done done) {
    if constexpr (std::is_void_v<T>) {
      co_await work;
      done();
    } else {
      T result = co_await work;
      done(std::move(result));
    }
  }

  std::coroutine_handle<async_internal::Root::promise_type> frame_;
};

}  // namespace quarry
