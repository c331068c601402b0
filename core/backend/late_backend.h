// A backend that need not be there yet: until it comes, every call is answered with the reason. One loop.
#pragma once

#include <functional>
#include <memory>

#include "core/backend/backend.h"

namespace quarry {

class LateBackend final : public Backend {
 public:
  // The backend, or why there is none yet. Asked by each call until it gives one, on the loop's thread: it does not block.
  using Source = std::function<absl::StatusOr<std::unique_ptr<Backend>>()>;

  explicit LateBackend(Source source);
  ~LateBackend() override;

  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) override;
  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options,
                                                        const CallContext& ctx) override;
  Async<absl::Status> Ping(const CallContext& ctx) override;
  TwoPhase& two_phase() override;
  // All zero until it comes.
  BackendStats stats() const override;

 private:
  class MissingTwoPhase;

  absl::Status Arrive();

  const Source source_;
  std::unique_ptr<Backend> backend_;  // Null until it comes.
  const std::unique_ptr<MissingTwoPhase> missing_;
};

}  // namespace quarry
