// Refuses at once what one shard cannot take: a slow shard must not hold all the memory and all the callers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/shard/latency_floor.h"
#include "core/shard/observer.h"

namespace quarry {

struct LimiterOptions {
  // Calls under way at the same time on this loop; leases count while they wait, not while they are held.
  int64_t calls_max = 1024;
  // For how long, at least, the fastest answer seen counts as the fastest possible.
  absl::Duration latency_window = absl::Seconds(1);
};

class LimiterBackend final : public Backend {
 public:
  // `shard` names it in messages. `observer` outlives this.
  LimiterBackend(std::unique_ptr<Backend> next, std::string shard, LimiterOptions options,
                 ShardObserver& observer);

  // Full: kResourceExhausted POOL_EXHAUSTED with RetryInfo. Too little time left: kDeadlineExceeded, with the
  // stage "queue".
  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) override;
  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options,
                                                        const CallContext& ctx) override;
  // Always let through.
  Async<absl::Status> Ping(const CallContext& ctx) override { return next_->Ping(ctx); }
  TwoPhase& two_phase() override { return next_->two_phase(); }
  BackendStats stats() const override { return next_->stats(); }

  int64_t calls_under_way() const { return calls_; }

 private:
  // `floor` is null where the deadline alone counts.
  absl::Status Admit(LatencyFloor* floor, const CallContext& ctx);
  absl::Status Full() const;
  absl::Status TooLate(absl::Duration left, absl::Duration fastest) const;

  std::unique_ptr<Backend> next_;
  const std::string shard_;
  const LimiterOptions options_;
  ShardObserver& observer_;
  int64_t calls_ = 0;
  LatencyFloor reads_;
  LatencyFloor writes_;
};

}  // namespace quarry
