#include "core/backend/fault_backend.h"

#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry {

struct FaultBackend::Schedule {
  Schedule(FaultOptions mix, Random& source) : options(mix), random(source) {}

  FaultOptions options;
  Random& random;
  std::deque<Fault> told;
  int64_t faults = 0;

  Fault Draw() {
    Fault fault = Chance();
    if (!told.empty()) {
      fault = told.front();
      told.pop_front();
    }
    if (fault != Fault::kNone) ++faults;
    return fault;
  }
  // One number per call, whatever it says, so that a told fault does not move the rest of the schedule.
  Fault Chance() {
    double at = random.NextUnit();
    if ((at -= options.error_before) < 0) return Fault::kErrorBefore;
    if ((at -= options.error_after) < 0) return Fault::kErrorAfter;
    if ((at -= options.delay) < 0) return Fault::kDelay;
    if (at < options.hang) return Fault::kHang;
    return Fault::kNone;
  }
};

namespace {

absl::Status Unreachable() {
  ErrorDetail detail;
  detail.reason = reason::kShardUnavailable;
  detail.retry_after = absl::Milliseconds(100);
  return MakeError(absl::StatusCode::kUnavailable, "injected: the shard could not be reached", detail);
}

absl::Status AnswerLost(bool writes) {
  if (!writes) return Unreachable();
  return MakeError(absl::StatusCode::kUnknown, reason::kWriteOutcomeUnknown,
                   "injected: the connection was lost before the answer came");
}

// What happens before the call goes on; an error ends it there.
Async<absl::Status> Before(Fault fault, absl::Duration delay, const CallContext& ctx) {
  if (fault == Fault::kErrorBefore) co_return Unreachable();
  if (fault == Fault::kDelay) {
    SleepUntil pause(ctx.loop, ctx.loop.Now() + delay);
    co_await pause;
  }
  if (fault == Fault::kHang) {
    SleepUntil pause(ctx.loop, ctx.deadline);
    co_await pause;
    co_return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                        "injected: the shard did not answer within the deadline", {{"stage", "query"}});
  }
  co_return absl::OkStatus();
}

}  // namespace

class FaultBackend::FaultSession final : public Session {
 public:
  FaultSession(std::unique_ptr<Session> next, std::shared_ptr<Schedule> schedule)
      : next_(std::move(next)), schedule_(std::move(schedule)) {}

  Async<absl::StatusOr<StepResult>> Execute(const Step& step, const CallContext& ctx) override {
    const Fault fault = schedule_->Draw();
    const absl::Status before = co_await Before(fault, schedule_->options.delay_time, ctx);
    QUARRY_CO_RETURN_IF_ERROR(before);
    absl::StatusOr<StepResult> result = co_await next_->Execute(step, ctx);
    // Inside of a transaction nothing has been applied yet.
    if (fault == Fault::kErrorAfter) co_return Unreachable();
    co_return result;
  }
  Async<absl::StatusOr<std::unique_ptr<RowStream>>> Open(const Statement& statement,
                                                         const CallContext& ctx) override {
    const Fault fault = schedule_->Draw();
    const absl::Status before = co_await Before(fault, schedule_->options.delay_time, ctx);
    QUARRY_CO_RETURN_IF_ERROR(before);
    absl::StatusOr<std::unique_ptr<RowStream>> stream = co_await next_->Open(statement, ctx);
    if (fault == Fault::kErrorAfter) co_return AnswerLost(statement.writes);
    co_return stream;
  }
  Async<absl::Status> Control(const std::string& sql, const CallContext& ctx) override {
    const Fault fault = schedule_->Draw();
    const absl::Status before = co_await Before(fault, schedule_->options.delay_time, ctx);
    QUARRY_CO_RETURN_IF_ERROR(before);
    const absl::Status result = co_await next_->Control(sql, ctx);
    if (fault == Fault::kErrorAfter) co_return Unreachable();
    co_return result;
  }
  Async<absl::Status> Commit(const CommitOptions& options, const CallContext& ctx) override {
    const Fault fault = schedule_->Draw();
    const absl::Status before = co_await Before(fault, schedule_->options.delay_time, ctx);
    QUARRY_CO_RETURN_IF_ERROR(before);
    const absl::Status result = co_await next_->Commit(options, ctx);
    if (fault == Fault::kErrorAfter) {
      co_return MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
                          "injected: the connection was lost during the commit");
    }
    co_return result;
  }
  Async<absl::Status> Rollback(const CallContext& ctx) override { return next_->Rollback(ctx); }
  bool wrote() const override { return next_->wrote(); }
  Async<absl::StatusOr<std::optional<TaskResult>>> Claim(const RequestGuard& guard, const CallContext& ctx) override {
    const Fault fault = schedule_->Draw();
    const absl::Status before = co_await Before(fault, schedule_->options.delay_time, ctx);
    QUARRY_CO_RETURN_IF_ERROR(before);
    absl::StatusOr<std::optional<TaskResult>> result = co_await next_->Claim(guard, ctx);
    if (fault == Fault::kErrorAfter) co_return Unreachable();
    co_return result;
  }
  Async<absl::Status> PassGate(const CallContext& ctx) override {
    const Fault fault = schedule_->Draw();
    const absl::Status before = co_await Before(fault, schedule_->options.delay_time, ctx);
    QUARRY_CO_RETURN_IF_ERROR(before);
    const absl::Status result = co_await next_->PassGate(ctx);
    if (fault == Fault::kErrorAfter) co_return Unreachable();
    co_return result;
  }
  Async<absl::Status> Prepare(const GlobalTransaction& transaction, const CallContext& ctx) override {
    const Fault fault = schedule_->Draw();
    const absl::Status before = co_await Before(fault, schedule_->options.delay_time, ctx);
    QUARRY_CO_RETURN_IF_ERROR(before);
    const absl::Status result = co_await next_->Prepare(transaction, ctx);
    if (fault == Fault::kErrorAfter) {
      co_return MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
                          "injected: the connection was lost while the branch was prepared");
    }
    co_return result;
  }
  Async<PreparedTask> RunAndPrepare(const Task& task, const GlobalTransaction& transaction, const CallContext& ctx) override {
    const Fault fault = schedule_->Draw();
    PreparedTask done;
    done.status = co_await Before(fault, schedule_->options.delay_time, ctx);
    if (!done.status.ok()) co_return done;
    done = co_await next_->RunAndPrepare(task, transaction, ctx);
    if (fault == Fault::kErrorAfter) {
      done.status = MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
                              "injected: the connection was lost while the branch was prepared");
    }
    co_return done;
  }

 private:
  std::unique_ptr<Session> next_;
  const std::shared_ptr<Schedule> schedule_;
};

FaultBackend::FaultBackend(std::unique_ptr<Backend> next, FaultOptions options, Random& random)
    : next_(std::move(next)), schedule_(std::make_shared<Schedule>(options, random)) {}

void FaultBackend::Inject(Fault fault) { schedule_->told.push_back(fault); }
void FaultBackend::SetOptions(FaultOptions options) { schedule_->options = options; }
int64_t FaultBackend::faults() const { return schedule_->faults; }

Async<absl::StatusOr<TaskResult>> FaultBackend::Execute(const Task& task, const CallContext& ctx) {
  const Fault fault = schedule_->Draw();
  const absl::Status before = co_await Before(fault, schedule_->options.delay_time, ctx);
  QUARRY_CO_RETURN_IF_ERROR(before);
  absl::StatusOr<TaskResult> result = co_await next_->Execute(task, ctx);
  if (fault == Fault::kErrorAfter) co_return AnswerLost(task.writes());
  co_return result;
}

Async<absl::StatusOr<std::unique_ptr<Session>>> FaultBackend::Lease(const SessionOptions& options,
                                                                    const CallContext& ctx) {
  const Fault fault = schedule_->Draw();
  const absl::Status before = co_await Before(fault, schedule_->options.delay_time, ctx);
  QUARRY_CO_RETURN_IF_ERROR(before);
  absl::StatusOr<std::unique_ptr<Session>> leased = co_await next_->Lease(options, ctx);
  QUARRY_CO_RETURN_IF_ERROR(leased.status());
  if (fault == Fault::kErrorAfter) co_return Unreachable();
  co_return std::make_unique<FaultSession>(*std::move(leased), schedule_);
}

Async<absl::Status> FaultBackend::Ping(const CallContext& ctx) {
  const Fault fault = schedule_->Draw();
  const absl::Status before = co_await Before(fault, schedule_->options.delay_time, ctx);
  QUARRY_CO_RETURN_IF_ERROR(before);
  const absl::Status answer = co_await next_->Ping(ctx);
  if (fault == Fault::kErrorAfter) co_return Unreachable();
  co_return answer;
}

}  // namespace quarry
