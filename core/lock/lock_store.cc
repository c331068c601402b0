#include "core/lock/lock_store.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

using Kind = LockEvent::Kind;
using Outcome = LockAnswer::Outcome;

constexpr size_t kTextBytesMax = 200;
constexpr int kTriesMax = 1'000;
constexpr absl::Duration kLeaveTimeout = absl::Seconds(5);

absl::Status LostLock(const std::string& name) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kLockLost,
                   absl::StrCat("the lease does not hold lock \"", name, "\" (any more): it was released, or its time ran out "
                                "before it was renewed; acquire the lock again, and do what it guards under the new token"),
                   {{"lock", name}});
}

absl::Status HeldLock(const std::string& name, absl::Duration remaining) {
  ErrorDetail detail;
  detail.reason = reason::kLockHeld;
  detail.facts = {{"lock", name}};
  if (remaining > absl::ZeroDuration()) detail.retry_after = remaining;
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat("lock \"", name, "\" is taken, or others wait for it; wait in line (no_wait = false), or "
                                "try again later"),
                   detail);
}

absl::Status FullLine(const std::string& name, size_t waiters_max) {
  ErrorDetail detail;
  detail.reason = reason::kLimitExceeded;
  detail.facts = {{"lock", name}, {"limit", absl::StrCat(waiters_max)}};
  detail.retry_after = absl::Seconds(1);
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat(waiters_max, " callers wait for lock \"", name, "\" already (locks.waiters_max); try again later"),
                   detail);
}

absl::Status FullStore(const std::string& name, int64_t locks_max) {
  ErrorDetail detail;
  detail.reason = reason::kLimitExceeded;
  detail.facts = {{"lock", name}, {"limit", absl::StrCat(locks_max)}};
  detail.retry_after = absl::Seconds(1);
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat(locks_max, " locks are in use (locks.max), so \"", name, "\" cannot be added; release some, or "
                                "raise the limit"),
                   detail);
}

absl::Status Contended(const std::string& name) {
  return MakeError(absl::StatusCode::kAborted, reason::kSerializationFailure,
                   absl::StrCat("lock \"", name, "\" was changed by others again and again; call again"), {{"lock", name}});
}

bool IsGone(const absl::Status& status) { return ReasonOf(status) == reason::kRowNotFound; }

}  // namespace

// A call's claim to a place in line. What is dropped before it is settled is given back.
class LockStore::Place {
 public:
  Place(LockStore& store, std::string name, std::string lease_id, uint64_t call)
      : store_(store), name_(std::move(name)), lease_id_(std::move(lease_id)), call_(call) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    if (!settled_) store_.LeaveInBackground(std::move(name_), std::move(lease_id_), call_);
  }
  void Settle() { settled_ = true; }

 private:
  LockStore& store_;
  std::string name_;
  std::string lease_id_;
  const uint64_t call_;
  bool settled_ = false;
};

// Wakes a call that waits; its watch may ring on any thread.
struct LockStore::Bell {
  std::optional<Completer<bool>> waiter;  // On the call's loop alone.
};

struct LockStore::LeaveJob {
  explicit LeaveJob(Loop& loop) : ctx(loop) {}
  CallContext ctx;
  std::string name;
  LockEvent event;
  Running running;
};

LockStore::LockStore(Loop& loop, Backend& backend, Dialect dialect, Random& random, const LockOptions& options,
                     std::shared_ptr<LockShared> shared)
    : loop_(loop),
      backend_(backend),
      dialect_(dialect),
      random_(random),
      options_(options),
      shared_(std::move(shared)),
      leaving_(std::make_shared<LeaveJobs>()) {}

LockStore::~LockStore() { leaving_.reset(); }

absl::Status LockStore::Check(const LockRequest& request) const {
  std::vector<FieldViolation> violations;
  if (request.name.empty() || request.name.size() > kTextBytesMax) {
    violations.push_back({"name", absl::StrCat("is 1 to ", kTextBytesMax, " bytes long")});
  }
  if (request.owner.size() > kTextBytesMax) {
    violations.push_back({"owner", absl::StrCat("is at most ", kTextBytesMax, " bytes long")});
  }
  const bool given = request.ttl != absl::ZeroDuration();
  if (given && (request.ttl < options_.ttl_min || request.ttl > options_.ttl_max)) {
    violations.push_back({"ttl", absl::StrCat("is between ", absl::FormatDuration(options_.ttl_min), " and ",
                                              absl::FormatDuration(options_.ttl_max), " (locks.ttl_max)")});
  }
  return violations.empty() ? absl::OkStatus() : InvalidFields(std::move(violations));
}

Async<absl::Status> LockStore::Run(Step step, const CallContext& ctx) {
  Task task;
  task.steps.push_back(std::move(step));
  const absl::StatusOr<TaskResult> result = co_await backend_.Execute(task, ctx);
  co_return result.status();
}

Async<absl::StatusOr<std::optional<LockRow>>> LockStore::Find(std::string name, const CallContext& ctx) {
  Task task;
  task.steps.emplace_back().statements.push_back(FindLock(name, dialect_));
  const absl::StatusOr<TaskResult> result = co_await backend_.Execute(task, ctx);
  if (!result.ok()) co_return result.status();
  const std::vector<Row>& rows = result->steps[0].statements[0].batch.rows;
  std::optional<LockRow> found;
  if (!rows.empty()) {
    QUARRY_CO_ASSIGN_OR_RETURN(found, ToLockRow(rows[0]));
  }
  co_return found;
}

// Makes room once; OK also when someone else has made the row.
Async<absl::Status> LockStore::Make(std::string name, const CallContext& ctx) {
  for (const bool full_already : {false, true}) {
    Step make = MakeLock(name, std::bit_cast<int64_t>(random_.Next()), options_.locks_max, dialect_);
    const absl::Status made = co_await Run(std::move(make), ctx);
    if (absl::IsAlreadyExists(made)) co_return absl::OkStatus();
    if (!IsGone(made)) co_return made;
    if (full_already) break;
    Step forget = ForgetIdleLocks(dialect_);
    const absl::Status forgotten = co_await Run(std::move(forget), ctx);
    if (!forgotten.ok()) co_return forgotten;
  }
  co_return FullStore(name, options_.locks_max);
}

Async<absl::StatusOr<LockAnswer>> LockStore::Apply(std::string name, LockEvent event, Place* place, const CallContext& ctx) {
  bool unsure = false;  // An earlier try may have been stored.
  for (int tries = 0; tries < kTriesMax; ++tries) {
    absl::StatusOr<std::optional<LockRow>> found = co_await Find(name, ctx);
    if (!found.ok()) co_return found.status();
    if (!found->has_value() && event.kind == Kind::kAcquire) {
      const absl::Status made = co_await Make(name, ctx);
      if (!made.ok()) co_return made;
      continue;
    }
    LockRow row = found->has_value() ? **std::move(found) : LockRow();
    event.now = row.now;
    LockAnswer answer = ApplyLockEvent(event, options_.limits, row.state);
    if (unsure && event.kind == Kind::kRelease && answer.outcome == Outcome::kLost) answer.outcome = Outcome::kReleased;
    if (answer.renewed && place != nullptr) place->Settle();
    if (!answer.changed) co_return answer;
    Step change;
    change.statements.push_back(
        ChangeLock(name, row.version, std::bit_cast<int64_t>(random_.Next()), row.state, dialect_));
    const absl::Status stored = co_await Run(std::move(change), ctx);
    if (stored.ok()) co_return answer;
    unsure |= absl::IsUnknown(stored);
    if (!absl::IsUnknown(stored) && !absl::IsAborted(stored) && !IsGone(stored)) co_return stored;
    SleepUntil pause(loop_, loop_.Now() + absl::Milliseconds(2) * random_.NextUnit());
    co_await pause;
  }
  co_return Contended(name);
}

// Until it is worth looking again: when someone of this gateway gives the lock back, when the holder's lease may be over, or
// after a while, for other gateways tell nothing.
Async<absl::Status> LockStore::Wait(std::string name, LockAnswer answer, std::shared_ptr<Bell> bell, const CallContext& ctx) {
  Completer<bool> woken(loop_);
  Future<bool> future = woken.future();
  bell->waiter = woken;
  absl::Duration pause = std::min(options_.look_interval * static_cast<double>(answer.position + 1), options_.look_interval_max);
  if (answer.position == 0 && answer.remaining > absl::ZeroDuration()) {
    pause = std::min(pause, answer.remaining + absl::Milliseconds(1));
  }
  pause = pause * (0.75 + 0.5 * random_.NextUnit());
  const Timer timer(loop_, std::min(loop_.Now() + pause, ctx.deadline), [woken]() mutable { woken.Set(false); });
  co_await future;
  if (loop_.Now() < ctx.deadline) co_return absl::OkStatus();
  co_return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                      absl::StrCat("the deadline ended in line for lock \"", name, "\", behind ", answer.position,
                                   " others and its holder"),
                      {{"lock", name}, {"stage", "queue"}});
}

Async<absl::StatusOr<LockGrant>> LockStore::Acquire(LockRequest request, const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(Check(request));
  LockEvent event;
  event.kind = Kind::kAcquire;
  event.lease_id = request.lease_id;
  event.owner = request.owner;
  event.call = random_.Next();
  event.ttl = request.ttl == absl::ZeroDuration() ? std::min(options_.ttl_default, options_.ttl_max) : request.ttl;
  event.wait = request.wait;
  const absl::Time began = loop_.Now();
  Place place(*this, request.name, request.lease_id, event.call);
  const auto bell = std::make_shared<Bell>();
  std::optional<LockShared::Watch> watch;
  while (true) {
    const absl::Time asked = loop_.Now();
    const absl::StatusOr<LockAnswer> answer = co_await Apply(request.name, event, &place, ctx);
    if (!answer.ok()) co_return answer.status();
    if (answer->outcome == Outcome::kWaiting) {
      if (!watch.has_value()) {
        watch.emplace(*shared_, request.name, [loop = &loop_, bell] {
          loop->Post([bell] {
            if (bell->waiter.has_value()) bell->waiter->Set(true);
          });
        });
      }
      const absl::Status waited = co_await Wait(request.name, *answer, bell, ctx);
      if (!waited.ok()) co_return waited;
      continue;
    }
    place.Settle();
    if (answer->outcome == Outcome::kHeld) co_return HeldLock(request.name, answer->remaining);
    if (answer->outcome == Outcome::kQueueFull) co_return FullLine(request.name, options_.limits.waiters_max);
    shared_->NoteWait(loop_.Now() - began);
    shared_->NoteLease(request.lease_id, asked + event.ttl);
    LockGrant grant;
    grant.token = answer->token;
    grant.ttl = event.ttl;
    grant.remaining = answer->remaining - (loop_.Now() - asked);
    co_return grant;
  }
}

Async<absl::StatusOr<LockGrant>> LockStore::KeepAlive(std::string name, std::string lease_id, const CallContext& ctx) {
  LockEvent event;
  event.kind = Kind::kKeepAlive;
  event.lease_id = lease_id;
  const absl::Time asked = loop_.Now();
  const absl::StatusOr<LockAnswer> answer = co_await Apply(name, event, nullptr, ctx);
  if (!answer.ok()) co_return answer.status();
  if (answer->outcome != Outcome::kGranted) {
    shared_->ForgetLease(lease_id);
    shared_->NoteLost();
    co_return LostLock(name);
  }
  shared_->NoteLease(lease_id, asked + answer->remaining);
  LockGrant grant;
  grant.token = answer->token;
  grant.ttl = answer->remaining;
  grant.remaining = answer->remaining - (loop_.Now() - asked);
  co_return grant;
}

Async<absl::Status> LockStore::Release(std::string name, std::string lease_id, const CallContext& ctx) {
  LockEvent event;
  event.kind = Kind::kRelease;
  event.lease_id = lease_id;
  const absl::StatusOr<LockAnswer> answer = co_await Apply(name, event, nullptr, ctx);
  if (!answer.ok()) co_return answer.status();
  shared_->ForgetLease(lease_id);
  if (answer->outcome != Outcome::kReleased) co_return LostLock(name);
  shared_->Ring(name);
  co_return absl::OkStatus();
}

Async<absl::StatusOr<LockView>> LockStore::Look(std::string name, const CallContext& ctx) {
  absl::StatusOr<std::optional<LockRow>> found = co_await Find(name, ctx);
  if (!found.ok()) co_return found.status();
  if (!found->has_value()) {
    co_return MakeError(absl::StatusCode::kNotFound, reason::kLockNotFound,
                        absl::StrCat("no lock \"", name, "\" is known: nobody has acquired it, or not for long"), {{"lock", name}});
  }
  LockRow row = **std::move(found);
  LockEvent event;
  event.now = row.now;
  const LockAnswer answer = ApplyLockEvent(event, options_.limits, row.state);
  LockView view;
  view.held = row.state.holder.has_value();
  view.token = answer.token;
  view.remaining = answer.remaining;
  view.waiters = row.state.waiters.size();
  if (view.held) view.owner = row.state.holder->owner;
  co_return view;
}

// Whatever it answers, the place is gone sooner or later: it is not renewed any more.
Async<absl::Status> LockStore::Leave(LeaveJob* job) {
  const absl::StatusOr<LockAnswer> answer = co_await Apply(job->name, job->event, nullptr, job->ctx);
  if (answer.ok() && answer->outcome == Outcome::kReleased) shared_->Ring(job->name);
  co_return answer.status();
}

void LockStore::LeaveInBackground(std::string name, std::string lease_id, uint64_t call) {
  // The store itself is going.
  if (leaving_ == nullptr) return;
  const auto job = leaving_->insert(leaving_->end(), std::make_unique<LeaveJob>(loop_));
  LeaveJob* const work = job->get();
  work->ctx.deadline = loop_.Now() + kLeaveTimeout;
  work->name = std::move(name);
  work->event.kind = Kind::kLeave;
  work->event.lease_id = std::move(lease_id);
  work->event.call = call;
  const std::weak_ptr<LeaveJobs> owner = leaving_;
  Loop* const loop = &loop_;
  // Not now: a caller that is dropped may be in the middle of the backend's work.
  loop_.Defer([this, work, owner, job, loop] {
    if (owner.expired()) return;
    work->running = Running(Leave(work), [owner, job, loop](absl::Status) {
      loop->Defer([owner, job] {
        if (const std::shared_ptr<LeaveJobs> jobs = owner.lock()) jobs->erase(job);
      });
    });
  });
}

}  // namespace quarry
