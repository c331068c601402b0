#include "core/shard/metered_backend.h"

#include <string>
#include <utility>

#include "core/base/status_macros.h"

namespace quarry {
namespace {

// One call, reported at its end however it ends.
class Measure {
 public:
  Measure(ShardObserver& observer, CallKind kind, const CallContext& ctx)
      : observer_(observer), kind_(kind), loop_(ctx.loop), started_(loop_.Now()) {}
  ~Measure() { observer_.OnCall(kind_, code_, loop_.Now() - started_); }
  Measure(const Measure&) = delete;
  Measure& operator=(const Measure&) = delete;
  void EndWith(const absl::Status& status) { code_ = status.code(); }

 private:
  ShardObserver& observer_;
  const CallKind kind_;
  Loop& loop_;
  const absl::Time started_;
  absl::StatusCode code_ = absl::StatusCode::kCancelled;
};

class MeteredSession final : public Session {
 public:
  MeteredSession(std::unique_ptr<Session> next, ShardObserver& observer)
      : next_(std::move(next)), observer_(observer) {
    observer_.OnSessions(+1);
  }
  ~MeteredSession() override { observer_.OnSessions(-1); }

  Async<absl::StatusOr<StepResult>> Execute(const Step& step, const CallContext& ctx) override {
    Measure measure(observer_, CallKind::kSessionStep, ctx);
    absl::StatusOr<StepResult> result = co_await next_->Execute(step, ctx);
    measure.EndWith(result.status());
    co_return result;
  }
  Async<absl::StatusOr<std::unique_ptr<RowStream>>> Open(const Statement& statement,
                                                         const CallContext& ctx) override {
    Measure measure(observer_, CallKind::kStream, ctx);
    absl::StatusOr<std::unique_ptr<RowStream>> stream = co_await next_->Open(statement, ctx);
    measure.EndWith(stream.status());
    co_return stream;
  }
  Async<absl::Status> Control(const std::string& sql, const CallContext& ctx) override {
    Measure measure(observer_, CallKind::kControl, ctx);
    absl::Status result = co_await next_->Control(sql, ctx);
    measure.EndWith(result);
    co_return result;
  }
  Async<absl::Status> Commit(const CommitOptions& options, const CallContext& ctx) override {
    Measure measure(observer_, CallKind::kCommit, ctx);
    absl::Status result = co_await next_->Commit(options, ctx);
    measure.EndWith(result);
    co_return result;
  }
  Async<absl::Status> Rollback(const CallContext& ctx) override {
    Measure measure(observer_, CallKind::kRollback, ctx);
    absl::Status result = co_await next_->Rollback(ctx);
    measure.EndWith(result);
    co_return result;
  }
  bool wrote() const override { return next_->wrote(); }
  Async<absl::StatusOr<std::optional<TaskResult>>> Claim(const RequestGuard& guard, const CallContext& ctx) override {
    Measure measure(observer_, CallKind::kSessionStep, ctx);
    absl::StatusOr<std::optional<TaskResult>> result = co_await next_->Claim(guard, ctx);
    measure.EndWith(result.status());
    co_return result;
  }
  Async<absl::Status> PassGate(const CallContext& ctx) override {
    Measure measure(observer_, CallKind::kControl, ctx);
    absl::Status result = co_await next_->PassGate(ctx);
    measure.EndWith(result);
    co_return result;
  }
  Async<absl::Status> Prepare(const GlobalTransaction& transaction, const CallContext& ctx) override {
    Measure measure(observer_, CallKind::kPrepare, ctx);
    absl::Status result = co_await next_->Prepare(transaction, ctx);
    measure.EndWith(result);
    co_return result;
  }
  Async<PreparedTask> RunAndPrepare(const Task& task, const GlobalTransaction& transaction, const CallContext& ctx) override {
    Measure measure(observer_, CallKind::kPrepare, ctx);
    PreparedTask done = co_await next_->RunAndPrepare(task, transaction, ctx);
    measure.EndWith(done.status);
    co_return done;
  }

 private:
  std::unique_ptr<Session> next_;
  ShardObserver& observer_;
};

}  // namespace

Async<absl::StatusOr<TaskResult>> MeteredBackend::Execute(const Task& task, const CallContext& ctx) {
  Measure measure(observer_, task.writes() ? CallKind::kWrite : CallKind::kRead, ctx);
  absl::StatusOr<TaskResult> result = co_await next_->Execute(task, ctx);
  measure.EndWith(result.status());
  co_return result;
}

Async<absl::StatusOr<std::unique_ptr<Session>>> MeteredBackend::Lease(const SessionOptions& options,
                                                                      const CallContext& ctx) {
  Measure measure(observer_, CallKind::kLease, ctx);
  absl::StatusOr<std::unique_ptr<Session>> leased = co_await next_->Lease(options, ctx);
  measure.EndWith(leased.status());
  QUARRY_CO_RETURN_IF_ERROR(leased.status());
  co_return std::make_unique<MeteredSession>(*std::move(leased), observer_);
}

Async<absl::Status> MeteredBackend::Ping(const CallContext& ctx) {
  Measure measure(observer_, CallKind::kPing, ctx);
  absl::Status answer = co_await next_->Ping(ctx);
  measure.EndWith(answer);
  co_return answer;
}

}  // namespace quarry
