// A shard that answers at once: what is left of a call is the path's own cost.
#pragma once

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "core/backend/backend.h"
#include "core/backend/fake_two_phase.h"
#include "core/backend/run_then_prepare.h"
#include "loadtest/micro/shop.h"

namespace quarry {

inline constexpr size_t kStreamBatches = 10;
inline constexpr size_t kStreamBatchRows = 100;

// kStreamBatches batches of kStreamBatchRows rows.
class InstantStream final : public RowStream {
 public:
  RowHeader header() const override { return nullptr; }
  Async<absl::StatusOr<RowBatch>> Next(const CallContext&) override {
    RowBatch batch;
    if (batches_++ == kStreamBatches) co_return batch;
    batch.rows.resize(kStreamBatchRows);
    co_return batch;
  }
  int64_t affected() const override { return 0; }

 private:
  size_t batches_ = 0;
};

class InstantSession final : public Session {
 public:
  Async<absl::StatusOr<StepResult>> Execute(const Step&, const CallContext&) override {
    co_return StepResult();
  }
  Async<absl::StatusOr<std::unique_ptr<RowStream>>> Open(const Statement&, const CallContext&) override {
    co_return std::make_unique<InstantStream>();
  }
  Async<absl::Status> Control(const std::string&, const CallContext&) override { co_return absl::OkStatus(); }
  Async<absl::Status> Commit(const CommitOptions&, const CallContext&) override { co_return absl::OkStatus(); }
  Async<absl::Status> Rollback(const CallContext&) override { co_return absl::OkStatus(); }
  bool wrote() const override { return true; }
  Async<absl::StatusOr<std::optional<TaskResult>>> Claim(const RequestGuard&, const CallContext&) override {
    co_return std::optional<TaskResult>();
  }
  Async<absl::Status> PassGate(const CallContext&) override { co_return absl::OkStatus(); }
  Async<absl::Status> Prepare(const GlobalTransaction&, const CallContext&) override { co_return absl::OkStatus(); }
  Async<PreparedTask> RunAndPrepare(const Task& task, const GlobalTransaction& transaction, const CallContext& ctx) override {
    return RunThenPrepare(*this, task, transaction, ctx);
  }
};

class InstantBackend final : public Backend {
 public:
  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext&) override {
    co_return AnswerOf(task);
  }
  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions&, const CallContext&) override {
    co_return std::make_unique<InstantSession>();
  }
  Async<absl::Status> Ping(const CallContext&) override { co_return absl::OkStatus(); }
  TwoPhase& two_phase() override { return two_phase_; }
  BackendStats stats() const override { return BackendStats(); }

 private:
  FakeTwoPhase two_phase_;
};

// The result of what never waits.
template <typename T>
T RunAtOnce(Async<T> work) {
  std::optional<T> result;
  const Running running(std::move(work), [&result](T value) { result.emplace(std::move(value)); });
  if (!result.has_value()) std::abort();
  return *std::move(result);
}

}  // namespace quarry
