// Stops asking a shard that does not answer, and finds out by itself when it does again.
#pragma once

#include <memory>
#include <string>

#include "core/backend/backend.h"
#include "core/shard/breaker.h"
#include "core/shard/observer.h"

namespace quarry {

class BreakerBackend final : public Backend {
 public:
  // `shard` names it in messages. `observer` outlives this and every session.
  BreakerBackend(std::unique_ptr<Backend> next, std::string shard, BreakerOptions options,
                 ShardObserver& observer);

  // While open: kUnavailable CIRCUIT_OPEN with the time until the next probe, at once.
  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) override;
  // What happens in the session counts as well, but nothing in a session is refused: it may hold locks.
  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options,
                                                        const CallContext& ctx) override;
  // Never refused, and counts like a call: whatever else takes the probes, pings find out that the shard
  // is back.
  Async<absl::Status> Ping(const CallContext& ctx) override;
  TwoPhase& two_phase() override { return next_->two_phase(); }
  BackendStats stats() const override { return next_->stats(); }

  const Breaker& breaker() const;

 private:
  struct State;
  class CountedSession;

  std::unique_ptr<Backend> next_;
  const std::shared_ptr<State> state_;  // Shared with the sessions handed out.
};

}  // namespace quarry
