#include "core/shard/breaker_backend.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry {

struct BreakerBackend::State {
  State(std::string shard_name, BreakerOptions options, ShardObserver& shard_observer)
      : shard(std::move(shard_name)), breaker(options), observer(shard_observer) {}

  const std::string shard;
  Breaker breaker;
  ShardObserver& observer;

  absl::Status Admit(absl::Time now) {
    if (breaker.Admit(now)) return absl::OkStatus();
    ErrorDetail detail;
    detail.reason = reason::kCircuitOpen;
    detail.facts = {{"shard", shard}};
    detail.retry_after = breaker.next_probe() - now;
    return MakeError(absl::StatusCode::kUnavailable,
                     absl::StrCat("shard ", shard, " has stopped answering and is not asked before ",
                                  absl::FormatDuration(*detail.retry_after), " from now; the last fault: ",
                                  std::string(breaker.last_fault().message())),
                     detail);
  }
};

namespace {

// One admitted call: its period, its start.
class Admitted {
 public:
  Admitted(const Breaker& breaker, const CallContext& ctx)
      : ticket_(breaker.ticket()), started_(ctx.loop.Now()) {}
  void Record(Breaker& breaker, ShardObserver& observer, const absl::Status& status,
              const CallContext& ctx) const {
    const bool was_open = breaker.open();
    const absl::Time now = ctx.loop.Now();
    breaker.Record(ticket_, status, now - started_, now);
    if (breaker.open() != was_open) observer.OnBreaker(breaker.open());
  }

 private:
  Breaker::Ticket ticket_;
  absl::Time started_;
};

}  // namespace

class BreakerBackend::CountedSession final : public Session {
 public:
  CountedSession(std::unique_ptr<Session> next, std::shared_ptr<State> state)
      : next_(std::move(next)), state_(std::move(state)) {}

  Async<absl::StatusOr<StepResult>> Execute(const Step& step, const CallContext& ctx) override {
    const Admitted call(state_->breaker, ctx);
    absl::StatusOr<StepResult> result = co_await next_->Execute(step, ctx);
    call.Record(state_->breaker, state_->observer, result.status(), ctx);
    co_return result;
  }
  Async<absl::StatusOr<std::unique_ptr<RowStream>>> Open(const Statement& statement,
                                                         const CallContext& ctx) override {
    const Admitted call(state_->breaker, ctx);
    absl::StatusOr<std::unique_ptr<RowStream>> result = co_await next_->Open(statement, ctx);
    call.Record(state_->breaker, state_->observer, result.status(), ctx);
    co_return result;
  }
  Async<absl::Status> Control(const std::string& sql, const CallContext& ctx) override {
    const Admitted call(state_->breaker, ctx);
    absl::Status result = co_await next_->Control(sql, ctx);
    call.Record(state_->breaker, state_->observer, result, ctx);
    co_return result;
  }
  Async<absl::Status> Commit(const CallContext& ctx) override {
    const Admitted call(state_->breaker, ctx);
    absl::Status result = co_await next_->Commit(ctx);
    call.Record(state_->breaker, state_->observer, result, ctx);
    co_return result;
  }
  // A failed rollback says nothing: the connection may be gone for a reason that has been counted.
  Async<absl::Status> Rollback(const CallContext& ctx) override { return next_->Rollback(ctx); }

 private:
  std::unique_ptr<Session> next_;
  const std::shared_ptr<State> state_;
};

BreakerBackend::BreakerBackend(std::unique_ptr<Backend> next, std::string shard, BreakerOptions options,
                               ShardObserver& observer)
    : next_(std::move(next)), state_(std::make_shared<State>(std::move(shard), options, observer)) {}

const Breaker& BreakerBackend::breaker() const { return state_->breaker; }

Async<absl::StatusOr<TaskResult>> BreakerBackend::Execute(const Task& task, const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(state_->Admit(ctx.loop.Now()));
  const Admitted call(state_->breaker, ctx);
  absl::StatusOr<TaskResult> result = co_await next_->Execute(task, ctx);
  call.Record(state_->breaker, state_->observer, result.status(), ctx);
  co_return result;
}

Async<absl::StatusOr<std::unique_ptr<Session>>> BreakerBackend::Lease(const SessionOptions& options,
                                                                      const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(state_->Admit(ctx.loop.Now()));
  const Admitted call(state_->breaker, ctx);
  absl::StatusOr<std::unique_ptr<Session>> leased = co_await next_->Lease(options, ctx);
  if (!leased.ok()) {
    call.Record(state_->breaker, state_->observer, leased.status(), ctx);
    co_return leased.status();
  }
  // No proof of health: an idle session is handed out without asking the database. Its first statement is one.
  co_return std::make_unique<CountedSession>(*std::move(leased), state_);
}

Async<absl::Status> BreakerBackend::Ping(const CallContext& ctx) {
  const Admitted call(state_->breaker, ctx);
  absl::Status answer = co_await next_->Ping(ctx);
  call.Record(state_->breaker, state_->observer, answer, ctx);
  co_return answer;
}

}  // namespace quarry
