#include "core/shard/breaker_backend.h"

#include <optional>
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

  absl::StatusOr<Breaker::Ticket> Admit(absl::Time now) {
    if (const std::optional<Breaker::Ticket> ticket = breaker.Admit(now); ticket.has_value()) return *ticket;
    ErrorDetail detail;
    detail.reason = reason::kCircuitOpen;
    detail.facts = {{"shard", shard}};
    detail.retry_after = breaker.next_probe() - now;
    return MakeError(absl::StatusCode::kUnavailable,
                     absl::StrCat("shard ", shard, " has stopped answering and is not asked before ",
                                  absl::FormatDuration(absl::Ceil(*detail.retry_after, absl::Milliseconds(1))),
                                  " from now; the last fault: ", std::string(breaker.last_fault().message())),
                     detail);
  }
};

namespace {

// A caller gives up when its deadline ends by its own clock, which began before the call arrived here: on a busy machine
// well before ours ends. Who has waited this share of what was left when the shard was asked has waited in vain.
constexpr double kWaitedInVain = 0.8;

// One admitted call: its ticket, its start. The references outlive it.
class Admitted {
 public:
  Admitted(Breaker& breaker, ShardObserver& observer, const CallContext& ctx, Breaker::Ticket ticket)
      : breaker_(breaker), observer_(observer), ctx_(ctx), ticket_(ticket), started_(ctx.loop.Now()) {}
  // One that goes whether the breaker is open or not.
  Admitted(Breaker& breaker, ShardObserver& observer, const CallContext& ctx)
      : Admitted(breaker, observer, ctx, breaker.ticket()) {}
  Admitted(const Admitted&) = delete;
  Admitted& operator=(const Admitted&) = delete;
  // Dropped: by a caller that has gone, which says nothing, or at its deadline while the shard was asked.
  ~Admitted() {
    const bool asked = ctx_.stage == Stage::kQuery || ctx_.stage == Stage::kCommit;
    if (recorded_ || !asked || ctx_.loop.Now() - started_ < kWaitedInVain * (ctx_.deadline - started_)) return;
    Record(absl::DeadlineExceededError("the caller's deadline ended before the shard answered"));
  }

  void Record(const absl::Status& status) {
    recorded_ = true;
    const bool was_open = breaker_.open();
    const absl::Time now = ctx_.loop.Now();
    breaker_.Record(ticket_, status, now - started_, now);
    if (breaker_.open() != was_open) observer_.OnBreaker(breaker_.open());
  }
  // Its end says nothing.
  void Forget() { recorded_ = true; }

 private:
  Breaker& breaker_;
  ShardObserver& observer_;
  const CallContext& ctx_;
  const Breaker::Ticket ticket_;
  const absl::Time started_;
  bool recorded_ = false;
};

}  // namespace

class BreakerBackend::CountedSession final : public Session {
 public:
  CountedSession(std::unique_ptr<Session> next, std::shared_ptr<State> state)
      : next_(std::move(next)), state_(std::move(state)) {}

  Async<absl::StatusOr<StepResult>> Execute(const Step& step, const CallContext& ctx) override {
    Admitted call(state_->breaker, state_->observer, ctx);
    absl::StatusOr<StepResult> result = co_await next_->Execute(step, ctx);
    call.Record(result.status());
    co_return result;
  }
  Async<absl::StatusOr<std::unique_ptr<RowStream>>> Open(const Statement& statement,
                                                         const CallContext& ctx) override {
    Admitted call(state_->breaker, state_->observer, ctx);
    absl::StatusOr<std::unique_ptr<RowStream>> result = co_await next_->Open(statement, ctx);
    call.Record(result.status());
    co_return result;
  }
  Async<absl::Status> Control(const std::string& sql, const CallContext& ctx) override {
    Admitted call(state_->breaker, state_->observer, ctx);
    absl::Status result = co_await next_->Control(sql, ctx);
    call.Record(result);
    co_return result;
  }
  Async<absl::Status> Commit(const CommitOptions& options, const CallContext& ctx) override {
    Admitted call(state_->breaker, state_->observer, ctx);
    absl::Status result = co_await next_->Commit(options, ctx);
    call.Record(result);
    co_return result;
  }
  // A failed rollback says nothing: the connection may be gone for a reason that has been counted.
  Async<absl::Status> Rollback(const CallContext& ctx) override { return next_->Rollback(ctx); }
  bool wrote() const override { return next_->wrote(); }
  Async<absl::StatusOr<std::optional<TaskResult>>> Claim(const RequestGuard& guard, const CallContext& ctx) override {
    Admitted call(state_->breaker, state_->observer, ctx);
    absl::StatusOr<std::optional<TaskResult>> result = co_await next_->Claim(guard, ctx);
    call.Record(result.status());
    co_return result;
  }
  // Who waits at the gate waits for readers, which says nothing of the shard.
  Async<absl::Status> PassGate(const CallContext& ctx) override { return next_->PassGate(ctx); }
  Async<absl::Status> Prepare(const GlobalTransaction& transaction, const CallContext& ctx) override {
    Admitted call(state_->breaker, state_->observer, ctx);
    absl::Status result = co_await next_->Prepare(transaction, ctx);
    call.Record(result);
    co_return result;
  }
  Async<PreparedTask> RunAndPrepare(const Task& task, const GlobalTransaction& transaction, const CallContext& ctx) override {
    Admitted call(state_->breaker, state_->observer, ctx);
    PreparedTask done = co_await next_->RunAndPrepare(task, transaction, ctx);
    // Its time is its caller's, which says as little of the shard as the deadline of a statement.
    const bool timed_out = absl::IsUnknown(done.status) && ctx.loop.Now() >= ctx.deadline;
    call.Record(timed_out ? absl::DeadlineExceededError("") : done.status);
    co_return done;
  }

 private:
  std::unique_ptr<Session> next_;
  const std::shared_ptr<State> state_;
};

BreakerBackend::BreakerBackend(std::unique_ptr<Backend> next, std::string shard, BreakerOptions options,
                               ShardObserver& observer)
    : next_(std::move(next)), state_(std::make_shared<State>(std::move(shard), options, observer)) {}

const Breaker& BreakerBackend::breaker() const { return state_->breaker; }

Async<absl::StatusOr<TaskResult>> BreakerBackend::Execute(const Task& task, const CallContext& ctx) {
  QUARRY_CO_ASSIGN_OR_RETURN(const Breaker::Ticket ticket, state_->Admit(ctx.loop.Now()));
  Admitted call(state_->breaker, state_->observer, ctx, ticket);
  absl::StatusOr<TaskResult> result = co_await next_->Execute(task, ctx);
  call.Record(result.status());
  co_return result;
}

Async<absl::StatusOr<std::unique_ptr<Session>>> BreakerBackend::Lease(const SessionOptions& options,
                                                                      const CallContext& ctx) {
  QUARRY_CO_ASSIGN_OR_RETURN(const Breaker::Ticket ticket, state_->Admit(ctx.loop.Now()));
  Admitted call(state_->breaker, state_->observer, ctx, ticket);
  absl::StatusOr<std::unique_ptr<Session>> leased = co_await next_->Lease(options, ctx);
  if (!leased.ok()) {
    call.Record(leased.status());
    co_return leased.status();
  }
  call.Forget();
  // No proof of health: an idle session is handed out without asking the database. Its first statement is one.
  co_return std::make_unique<CountedSession>(*std::move(leased), state_);
}

Async<absl::Status> BreakerBackend::Ping(const CallContext& ctx) {
  Admitted call(state_->breaker, state_->observer, ctx);
  absl::Status answer = co_await next_->Ping(ctx);
  call.Record(answer);
  co_return answer;
}

}  // namespace quarry
