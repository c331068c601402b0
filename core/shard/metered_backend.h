// Tells an observer about every call of one shard and every session it hands out.
#pragma once

#include <memory>
#include <utility>

#include "core/backend/backend.h"
#include "core/shard/observer.h"

namespace quarry {

class MeteredBackend final : public Backend {
 public:
  // `observer` outlives this and every session.
  MeteredBackend(std::unique_ptr<Backend> next, ShardObserver& observer)
      : next_(std::move(next)), observer_(observer) {}

  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) override;
  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options,
                                                        const CallContext& ctx) override;
  Async<absl::Status> Ping(const CallContext& ctx) override;
  TwoPhase& two_phase() override { return next_->two_phase(); }
  BackendStats stats() const override { return next_->stats(); }

 private:
  std::unique_ptr<Backend> next_;
  ShardObserver& observer_;
};

}  // namespace quarry
