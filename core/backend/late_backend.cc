#include "core/backend/late_backend.h"

#include <utility>

#include "core/base/status_macros.h"

namespace quarry {
namespace {

template <typename T>
Async<T> Answer(absl::Status why) {
  co_return why;
}

}  // namespace

// What a shard without a database says of transactions over several shards: that it cannot be asked.
class LateBackend::MissingTwoPhase final : public TwoPhase {
 public:
  void Say(absl::Status why) { why_ = std::move(why); }

  Async<absl::Status> Init(const CallContext&) override { return Answer<absl::Status>(why_); }
  Async<absl::Status> Check(const CallContext&) override { return Answer<absl::Status>(why_); }
  Async<absl::StatusOr<BranchEnd>> Finish(const GlobalTransaction&, Verdict, const CallContext&) override {
    return Answer<absl::StatusOr<BranchEnd>>(why_);
  }
  Async<absl::StatusOr<std::vector<Branch>>> ListBranches(const CallContext&) override {
    return Answer<absl::StatusOr<std::vector<Branch>>>(why_);
  }
  Async<absl::StatusOr<std::vector<std::string>>> FindParts(const std::vector<std::string>&, const CallContext&) override {
    return Answer<absl::StatusOr<std::vector<std::string>>>(why_);
  }
  Async<absl::StatusOr<std::vector<Part>>> ListParts(absl::Duration, int64_t, const CallContext&) override {
    return Answer<absl::StatusOr<std::vector<Part>>>(why_);
  }
  Async<absl::StatusOr<std::optional<Decision>>> FindDecision(const std::string&, const CallContext&) override {
    return Answer<absl::StatusOr<std::optional<Decision>>>(why_);
  }
  Async<absl::StatusOr<Decision>> DecideAbort(const std::string&, const CallContext&) override {
    return Answer<absl::StatusOr<Decision>>(why_);
  }
  Async<absl::StatusOr<std::vector<Decision>>> ListDecisions(const DecisionFilter&, const CallContext&) override {
    return Answer<absl::StatusOr<std::vector<Decision>>>(why_);
  }
  Async<absl::Status> MarkFinished(const std::vector<std::string>&, const CallContext&) override {
    return Answer<absl::Status>(why_);
  }
  Async<absl::Status> ForgetParts(const std::vector<std::string>&, const CallContext&) override {
    return Answer<absl::Status>(why_);
  }
  Async<absl::Status> ForgetDecisions(const std::vector<std::string>&, const CallContext&) override {
    return Answer<absl::Status>(why_);
  }
  Async<absl::StatusOr<std::unique_ptr<GateHold>>> CloseGate(GateWait, const CallContext&) override {
    return Answer<absl::StatusOr<std::unique_ptr<GateHold>>>(why_);
  }

 private:
  absl::Status why_;
};

LateBackend::LateBackend(Source source)
    : source_(std::move(source)), missing_(std::make_unique<MissingTwoPhase>()) {}

LateBackend::~LateBackend() = default;

absl::Status LateBackend::Arrive() {
  if (backend_ != nullptr) return absl::OkStatus();
  QUARRY_ASSIGN_OR_RETURN(backend_, source_());
  return absl::OkStatus();
}

Async<absl::StatusOr<TaskResult>> LateBackend::Execute(const Task& task, const CallContext& ctx) {
  absl::Status arrived = Arrive();
  if (!arrived.ok()) return Answer<absl::StatusOr<TaskResult>>(std::move(arrived));
  return backend_->Execute(task, ctx);
}

Async<absl::StatusOr<std::unique_ptr<Session>>> LateBackend::Lease(const SessionOptions& options,
                                                                   const CallContext& ctx) {
  absl::Status arrived = Arrive();
  if (!arrived.ok()) return Answer<absl::StatusOr<std::unique_ptr<Session>>>(std::move(arrived));
  return backend_->Lease(options, ctx);
}

Async<absl::Status> LateBackend::Ping(const CallContext& ctx) {
  absl::Status arrived = Arrive();
  if (!arrived.ok()) return Answer<absl::Status>(std::move(arrived));
  return backend_->Ping(ctx);
}

TwoPhase& LateBackend::two_phase() {
  absl::Status arrived = Arrive();
  if (arrived.ok()) return backend_->two_phase();
  missing_->Say(std::move(arrived));
  return *missing_;
}

BackendStats LateBackend::stats() const { return backend_ != nullptr ? backend_->stats() : BackendStats(); }

}  // namespace quarry
