// Puts faults between a caller and a backend: at random from a seed, or the next call as told. For fault tests.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/base/random.h"

namespace quarry {

enum class Fault : uint8_t {
  kNone,
  kErrorBefore,  // Nothing reaches the database: kUnavailable.
  kErrorAfter,   // It happened, the answer is lost: kUnknown for what writes, kUnavailable for what reads.
  kDelay,        // Late, but answered.
  kHang,         // Nothing reaches the database and nobody answers: kDeadlineExceeded at the deadline.
};

// Shares of calls, in [0, 1]; together at most 1.
struct FaultOptions {
  double error_before = 0;
  double error_after = 0;
  double delay = 0;
  double hang = 0;
  absl::Duration delay_time = absl::Milliseconds(50);
};

class FaultBackend final : public Backend {
 public:
  // `random` outlives this and every session. The same seed and order of calls give the same faults.
  FaultBackend(std::unique_ptr<Backend> next, FaultOptions options, Random& random);

  // The next calls, in order, before chance decides again.
  void Inject(Fault fault);
  // Another mix from now on; FaultOptions{} ends the faults.
  void SetOptions(FaultOptions options);
  int64_t faults() const;

  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) override;
  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options,
                                                        const CallContext& ctx) override;
  Async<absl::Status> Ping(const CallContext& ctx) override;
  // Without faults of its own.
  TwoPhase& two_phase() override { return next_->two_phase(); }
  BackendStats stats() const override { return next_->stats(); }

 private:
  class FaultSession;
  struct Schedule;

  std::unique_ptr<Backend> next_;
  const std::shared_ptr<Schedule> schedule_;  // Shared with the sessions.
};

}  // namespace quarry
