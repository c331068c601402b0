// The loop that owns a request: one thread, its timers, its sockets, its queue of work.
// The form with gRPC in it lives in server/loop; EpollLoop (epoll_loop.h) is the plain one.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace quarry {

enum class SocketEvents : uint8_t { kNone = 0, kRead = 1, kWrite = 2, kReadWrite = 3 };

class Loop {
 public:
  // Names one timer of one loop; the default names none.
  struct TimerId {
    absl::Time when = absl::InfiniteFuture();
    uint64_t number = 0;
    friend bool operator<(const TimerId& a, const TimerId& b) {
      return a.when != b.when ? a.when < b.when : a.number < b.number;
    }
  };

  virtual ~Loop() = default;

  // Any thread. Runs `work` on the loop's thread, in order of arrival. Work posted after the loop has
  // stopped is destroyed unrun.
  virtual void Post(absl::AnyInvocable<void()> work) = 0;

  // The rest: loop's thread only.
  // Runs `work` once the present event has been handled.
  virtual void Defer(absl::AnyInvocable<void()> work) = 0;
  virtual absl::Time Now() const = 0;
  // Runs `work` at or soon after `when`; InfiniteFuture never fires.
  virtual TimerId RunAt(absl::Time when, absl::AnyInvocable<void()> work) = 0;
  // Unknown or fired ids are ignored.
  virtual void CancelTimer(TimerId id) = 0;
  // Level-triggered. One watch per descriptor; a second call replaces the events and the callback.
  virtual void Watch(int fd, SocketEvents events, absl::AnyInvocable<void(SocketEvents ready)> work) = 0;
  // Must be called before the descriptor is closed.
  virtual void Unwatch(int fd) = 0;
  virtual bool OnLoopThread() const = 0;
};

// A timer that is cancelled with its owner.
class Timer {
 public:
  Timer() = default;
  Timer(Loop& loop, absl::Time when, absl::AnyInvocable<void()> work)
      : loop_(&loop), id_(loop.RunAt(when, std::move(work))) {}
  Timer(Timer&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)), id_(other.id_) {}
  Timer& operator=(Timer&& other) noexcept {
    if (this != &other) {
      Cancel();
      loop_ = std::exchange(other.loop_, nullptr);
      id_ = other.id_;
    }
    return *this;
  }
  ~Timer() { Cancel(); }
  void Cancel() {
    if (Loop* loop = std::exchange(loop_, nullptr)) loop->CancelTimer(id_);
  }

 private:
  Loop* loop_ = nullptr;
  Loop::TimerId id_;
};

template <typename T>
class Completer;

// A value that arrives later on the loop's thread; co_await it once. Dropping it tells the Completer.
template <typename T>
class [[nodiscard]] Future {
 public:
  Future(Future&&) noexcept = default;
  Future& operator=(Future&&) noexcept = delete;
  ~Future() {
    if (!state_) return;
    state_->abandoned = true;
    state_->waiter = nullptr;
  }
  bool await_ready() const noexcept { return state_->value.has_value(); }
  void await_suspend(std::coroutine_handle<> waiter) noexcept { state_->waiter = waiter; }
  T await_resume() { return *std::exchange(state_->value, std::nullopt); }

 private:
  friend class Completer<T>;
  struct State {
    std::optional<T> value;
    std::coroutine_handle<> waiter;
    bool abandoned = false;
  };
  explicit Future(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

// The producing end. Copies share one Future; the first Set wins. Loop's thread only: from another thread,
// Post a function that sets it.
template <typename T>
class Completer {
 public:
  explicit Completer(Loop& loop) : loop_(&loop), state_(std::make_shared<typename Future<T>::State>()) {}
  // Call once.
  Future<T> future() { return Future<T>(state_); }
  bool abandoned() const { return state_->abandoned; }
  bool set() const { return done_ || state_->value.has_value(); }
  void Set(T value) {
    if (set()) return;
    done_ = true;
    state_->value = std::move(value);
    if (!state_->waiter) return;
    loop_->Defer([state = state_] {
      if (auto waiter = std::exchange(state->waiter, nullptr)) waiter.resume();
    });
  }

 private:
  Loop* loop_;
  std::shared_ptr<typename Future<T>::State> state_;
  bool done_ = false;
};

// co_await it to let a time pass, or the rest of the loop's work run.
class [[nodiscard]] SleepUntil {
 public:
  SleepUntil(Loop& loop, absl::Time when) : loop_(loop), when_(when) {}
  SleepUntil(SleepUntil&&) = delete;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    timer_ = Timer(loop_, when_, [waiter] { waiter.resume(); });
  }
  void await_resume() const noexcept {}

 private:
  Loop& loop_;
  absl::Time when_;
  Timer timer_;
};

}  // namespace quarry
