// The gate of one file: commits that belong to several shards pass it together, a snapshot reader alone. First come,
// first served: whoever waits is not overtaken.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/backend/sqlite/job.h"

namespace quarry::sqlite {

// Thread-safe; one for all loops of the process.
class Gate : public std::enable_shared_from_this<Gate> {
 public:
  enum class Mode : uint8_t { kShared, kExclusive };

  // Being in it. Dropping it, on any thread, lets go.
  class Pass {
   public:
    Pass() = default;
    Pass(Pass&& other) noexcept = default;
    Pass& operator=(Pass&& other) noexcept {
      if (this != &other) {
        LetGo();
        gate_ = std::move(other.gate_);
        mode_ = other.mode_;
      }
      return *this;
    }
    ~Pass() { LetGo(); }
    explicit operator bool() const { return gate_ != nullptr; }

   private:
    friend class Gate;
    Pass(std::shared_ptr<Gate> gate, Mode mode) : gate_(std::move(gate)), mode_(mode) {}
    void LetGo() {
      if (const std::shared_ptr<Gate> gate = std::exchange(gate_, nullptr)) gate->Leave(mode_);
    }
    std::shared_ptr<Gate> gate_;
    Mode mode_ = Mode::kShared;
  };
  using Granted = absl::AnyInvocable<void(Pass)>;

  // At once or not at all.
  std::optional<Pass> TryEnter(Mode mode) ABSL_LOCKS_EXCLUDED(mutex_);
  // `granted` is called once, here or on the thread of whoever makes room; it only hands on. Not when `control` has been
  // withdrawn by then; whoever withdraws it calls Sweep.
  void Enter(Mode mode, std::shared_ptr<JobControl> control, Granted granted) ABSL_LOCKS_EXCLUDED(mutex_);
  void Sweep() ABSL_LOCKS_EXCLUDED(mutex_);
  // For threads that may block; an empty pass at the deadline.
  Pass EnterBlocking(Mode mode, absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Waiter {
    Mode mode;
    std::shared_ptr<JobControl> control;
    Granted granted;
  };

  void Leave(Mode mode) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Fits(Mode mode) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !exclusive_ && (mode == Mode::kShared || shared_ == 0);
  }
  void Occupy(Mode mode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Moves out those whose turn it is, who are in it from now on, and those who have gone.
  void Admit(std::vector<Waiter>* admitted, std::vector<Waiter>* gone) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tell(std::vector<Waiter> admitted);

  absl::Mutex mutex_;
  std::deque<Waiter> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t shared_ ABSL_GUARDED_BY(mutex_) = 0;
  bool exclusive_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quarry::sqlite
