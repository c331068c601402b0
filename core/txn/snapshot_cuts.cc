#include "core/txn/snapshot_cuts.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/shard_error.h"
#include "core/base/error.h"
#include "core/base/gather.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

// The first statement of a session: it fixes what the session sees.
Step FirstStatement(Dialect dialect) {
  static const auto postgres = std::make_shared<const std::string>("SELECT 1");
  static const auto sqlite = std::make_shared<const std::string>("SELECT 1 FROM sqlite_schema LIMIT 1");
  Step step;
  Statement& statement = step.statements.emplace_back();
  statement.sql = dialect == Dialect::kPostgres ? postgres : sqlite;
  statement.returns_rows = true;
  return step;
}

Async<absl::StatusOr<std::unique_ptr<Session>>> LeaseOn(ShardParty party, const CallContext& ctx) {
  SessionOptions options;
  options.read_only = true;
  options.isolation = Isolation::kRepeatableRead;
  absl::StatusOr<std::unique_ptr<Session>> session = co_await party.backend->Lease(options, ctx);
  if (!session.ok()) co_return OnShard(session.status(), party.name);
  co_return session;
}

// Those that `sessions` lacks. Before the gates, so that nobody waits for a place in a pool behind them; ascending, so that no two
// readers wait for each other's.
Async<absl::Status> LeaseMissing(const std::vector<ShardId>& shards, const std::vector<ShardParty>& parties, CutSessions* sessions,
                                 const CallContext& ctx) {
  for (const ShardId shard : shards) {
    if (sessions->contains(shard)) continue;
    absl::StatusOr<std::unique_ptr<Session>> session = co_await LeaseOn(parties[Index(shard)], ctx);
    if (!session.ok()) co_return session.status();
    sessions->emplace(shard, *std::move(session));
  }
  co_return absl::OkStatus();
}

Async<absl::StatusOr<bool>> Fix(Session* session, ShardParty party, const CallContext& ctx) {
  const Step step = FirstStatement(party.dialect);
  const absl::StatusOr<StepResult> fixed = co_await session->Execute(step, ctx);
  if (!fixed.ok()) co_return OnShard(fixed.status(), party.name);
  co_return true;
}

// Holds by shard, ascending.
using Holds = std::map<ShardId, std::unique_ptr<GateHold>>;

Async<absl::StatusOr<std::unique_ptr<GateHold>>> Close(ShardParty party, GateWait wait, absl::Time deadline, Loop& loop) {
  CallContext ctx(loop);
  ctx.deadline = deadline;
  absl::StatusOr<std::unique_ptr<GateHold>> hold = co_await party.backend->two_phase().CloseGate(wait, ctx);
  if (!hold.ok()) co_return OnShard(hold.status(), party.name);
  co_return hold;
}

// `shards` ascending. All at once without waiting, which cannot lock up; then, from the first that was occupied, one after the
// other, in the order in which commits pass them: descending.
Async<absl::Status> CloseAll(const std::vector<ShardId>& shards, const std::vector<ShardParty>& parties,
                             absl::Duration gate_timeout, Loop& loop, Holds* holds) {
  std::vector<Async<absl::StatusOr<std::unique_ptr<GateHold>>>> tries;
  const std::vector<ShardId> order(shards.rbegin(), shards.rend());
  for (const ShardId shard : order) {
    tries.push_back(Close(parties[Index(shard)], GateWait::kTry, loop.Now() + gate_timeout, loop));
  }
  GatherOptions options;
  options.stop_at_first_error = false;
  std::vector<absl::StatusOr<std::unique_ptr<GateHold>>> tried = co_await Gather(loop, std::move(tries), options);
  size_t next = 0;
  for (; next < tried.size(); ++next) {
    if (!tried[next].ok()) co_return tried[next].status();
    if (*tried[next] == nullptr) break;
    holds->emplace(order[next], *std::move(tried[next]));
  }
  // Those behind the first that is occupied let go before anything is waited for.
  tried.clear();
  for (; next < order.size(); ++next) {
    absl::StatusOr<std::unique_ptr<GateHold>> hold =
        co_await Close(parties[Index(order[next])], GateWait::kWait, loop.Now() + gate_timeout, loop);
    if (!hold.ok()) co_return hold.status();
    holds->emplace(order[next], *std::move(hold));
  }
  co_return absl::OkStatus();
}

Async<absl::StatusOr<bool>> ReleaseOne(GateHold* hold, const CallContext& ctx) {
  absl::StatusOr<bool> held = co_await hold->Release(ctx);
  co_return held;
}

// Whether all were held without a break until now.
Async<bool> ReleaseAll(Holds* holds, const CallContext& ctx) {
  std::vector<Async<absl::StatusOr<bool>>> work;
  for (const auto& [shard, hold] : *holds) work.push_back(ReleaseOne(hold.get(), ctx));
  GatherOptions options;
  options.stop_at_first_error = false;
  const std::vector<absl::StatusOr<bool>> held = co_await Gather(ctx.loop, std::move(work), options);
  holds->clear();
  co_return std::all_of(held.begin(), held.end(), [](const absl::StatusOr<bool>& one) { return one.ok() && *one; });
}

absl::Status TooLate() {
  return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "the deadline ended while the snapshot was taken",
                   {{"stage", "snapshot"}});
}

absl::Status HoldLost() {
  ErrorDetail detail;
  detail.reason = reason::kShardUnavailable;
  detail.retry_after = absl::Milliseconds(100);
  return MakeError(absl::StatusCode::kUnavailable,
                   "a gate was lost while the snapshot was taken, since its connection broke; repeat the read", detail);
}

}  // namespace

struct SnapshotCuts::Reader {
  Reader(Loop& loop, CutSessions leased, std::vector<ShardParty> all)
      : parties(std::move(all)), sessions(std::move(leased)), done(loop) {}
  const std::vector<ShardParty> parties;
  CutSessions sessions;  // Empty after a cycle that failed behind closed gates: what has seen anything sees the same for good.
  Completer<std::optional<absl::Status>> done;  // How the cycle ended; nullopt when the deadline came first.
};

SnapshotCuts::SnapshotCuts(Loop& loop, Random& random, SnapshotCutOptions options)
    : loop_(loop), random_(random), options_(options) {}

SnapshotCuts::~SnapshotCuts() = default;

Async<absl::StatusOr<CutSessions>> SnapshotCuts::Open(std::vector<ShardId> shards, std::vector<ShardParty> parties,
                                                      const CallContext& ctx) {
  if (waiting_.size() >= options_.waiting_max) {
    ErrorDetail detail;
    detail.reason = reason::kLimitExceeded;
    detail.retry_after = absl::Milliseconds(100);
    co_return MakeError(absl::StatusCode::kResourceExhausted,
                        absl::StrCat(waiting_.size(), " snapshot readers wait on this loop already; retry later"), detail);
  }
  CutSessions sessions;
  QUARRY_CO_RETURN_IF_ERROR(co_await LeaseMissing(shards, parties, &sessions, ctx));
  if (shards.size() == 1) {
    const absl::StatusOr<bool> fixed = co_await Fix(sessions.begin()->second.get(), parties[Index(shards[0])], ctx);
    if (!fixed.ok()) co_return fixed.status();
    co_return sessions;
  }
  absl::Status cause;  // Of the try before.
  while (true) {
    absl::Status status = co_await LeaseMissing(shards, parties, &sessions, ctx);
    const bool leased = status.ok();
    if (leased) {
      const auto reader = std::make_shared<Reader>(loop_, std::move(sessions), parties);
      std::optional<absl::Status> ended = co_await TakePart(reader, ctx.deadline);
      // The cycle may still be at its sessions.
      if (!ended.has_value()) co_return cause.ok() ? TooLate() : cause;
      if (ended->ok()) co_return std::move(reader->sessions);
      sessions = std::move(reader->sessions);
      status = *std::move(ended);
    }
    const bool again = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsAborted(status);
    // Early enough for the caller to hear why.
    if (!again || loop_.Now() + options_.gate_timeout >= ctx.deadline) {
      co_return absl::IsDeadlineExceeded(status) && !cause.ok() ? cause : status;
    }
    cause = std::move(status);
    if (leased) continue;
    SleepUntil pause(loop_, loop_.Now() + random_.NextUnit() * options_.backoff_max);
    co_await pause;
  }
}

// How the next cycle ended; nullopt when the deadline came first.
Async<std::optional<absl::Status>> SnapshotCuts::TakePart(std::shared_ptr<Reader> reader, absl::Time deadline) {
  waiting_.push_back(reader);
  if (!std::exchange(cycling_, true)) {
    loop_.Defer([this, weak = std::weak_ptr<bool>(alive_)] {
      if (!weak.expired()) running_ = Running(RunCycles(), [] {});
    });
  }
  const Timer timer(loop_, deadline, [done = reader->done]() mutable { done.Set(std::nullopt); });
  Future<std::optional<absl::Status>> outcome = reader->done.future();
  std::optional<absl::Status> ended = co_await outcome;
  co_return ended;
}

Async<void> SnapshotCuts::RunCycles() {
  absl::Duration backoff = options_.backoff_first;
  while (!waiting_.empty()) {
    std::vector<std::shared_ptr<Reader>> readers = std::exchange(waiting_, {});
    // Those who have gone, or whose time is up, make room.
    std::erase_if(readers, [](const std::shared_ptr<Reader>& reader) { return reader->done.abandoned(); });
    if (readers.empty()) continue;
    const absl::Status status = co_await RunCycle(readers);
    for (const std::shared_ptr<Reader>& reader : readers) reader->done.Set(status);
    readers.clear();
    if (status.ok()) {
      backoff = options_.backoff_first;
      continue;
    }
    ++stats_.retries;
    // Commits pass meanwhile; the readers that try again, and those who come, share the next.
    SleepUntil pause(loop_, loop_.Now() + random_.NextUnit() * backoff);
    co_await pause;
    backoff = std::min(2 * backoff, options_.backoff_max);
  }
  cycling_ = false;
}

Async<absl::Status> SnapshotCuts::RunCycle(const std::vector<std::shared_ptr<Reader>>& readers) {
  std::set<ShardId> all;
  for (const std::shared_ptr<Reader>& reader : readers) {
    for (const auto& [shard, session] : reader->sessions) all.insert(shard);
  }
  const std::vector<ShardId> shards(all.begin(), all.end());
  const std::vector<ShardParty>& parties = readers.front()->parties;
  Holds holds;
  const absl::Status closed = co_await CloseAll(shards, parties, options_.gate_timeout, loop_, &holds);
  if (!closed.ok()) co_return closed;
  CallContext ctx(loop_);
  ctx.deadline = loop_.Now() + options_.closed_max;
  std::vector<Async<absl::StatusOr<bool>>> work;
  for (const std::shared_ptr<Reader>& reader : readers) {
    for (const auto& [shard, session] : reader->sessions) work.push_back(Fix(session.get(), parties[Index(shard)], ctx));
  }
  GatherOptions options;
  options.width = work.size();
  const std::vector<absl::StatusOr<bool>> fixed = co_await Gather(loop_, std::move(work), options);
  absl::Status status;
  for (const absl::StatusOr<bool>& one : fixed) {
    if (!one.ok() && (status.ok() || absl::IsCancelled(status))) status = one.status();
  }
  const bool held = co_await ReleaseAll(&holds, ctx);
  if (status.ok() && !held) status = HoldLost();
  if (!status.ok()) {
    for (const std::shared_ptr<Reader>& reader : readers) reader->sessions.clear();
    co_return status;
  }
  ++stats_.cycles;
  stats_.readers += static_cast<int64_t>(readers.size());
  co_return absl::OkStatus();
}

}  // namespace quarry
