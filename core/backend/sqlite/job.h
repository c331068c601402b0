// What travels with one piece of work to another thread: its deadline, whether anybody still wants it, and the way
// back to its loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/loop.h"

namespace quarry::sqlite {

// Shared between the loop that waits and the thread that works.
struct JobControl {
  explicit JobControl(absl::Time until) : deadline(until) {}

  enum class State : uint8_t { kQueued, kTaken, kWithdrawn };
  // The worker's claim; false when the caller has withdrawn it.
  bool Take() { return Move(State::kTaken); }
  // The caller's; false when it is being worked on.
  bool Withdraw() { return Move(State::kWithdrawn); }

  bool withdrawn() const { return state_.load() == State::kWithdrawn; }

  const absl::Time deadline;
  std::atomic<bool> cancelled{false};  // Stops a running statement.

 private:
  bool Move(State to) {
    State expected = State::kQueued;
    return state_.compare_exchange_strong(expected, to);
  }
  std::atomic<State> state_{State::kQueued};
};

// The way back to a loop that may be gone before the work is done. Thread-safe.
class LoopPort {
 public:
  explicit LoopPort(Loop& loop) : loop_(&loop) {}
  // Destroys `work` unrun once closed.
  void Post(absl::AnyInvocable<void()> work) ABSL_LOCKS_EXCLUDED(mutex_) {
    // Held across the call: the loop must not go away in the middle of it. Post only queues.
    absl::MutexLock lock(&mutex_);
    if (loop_ != nullptr) loop_->Post(std::move(work));
  }
  void Close() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    loop_ = nullptr;
  }

 private:
  absl::Mutex mutex_;
  Loop* loop_ ABSL_GUARDED_BY(mutex_);
};

// Of one backend; the writer's thread counts too.
struct Counters {
  std::atomic<int64_t> statements{0};
  std::atomic<int64_t> prepared_hits{0};
  std::atomic<int64_t> prepared_misses{0};
  std::atomic<int64_t> groups{0};
  std::atomic<int64_t> grouped_writes{0};
};

}  // namespace quarry::sqlite
