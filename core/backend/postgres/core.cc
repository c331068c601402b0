#include "core/backend/postgres/core.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/requests.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::postgres {
namespace {

constexpr absl::Duration kBackoffFirst = absl::Milliseconds(50);
constexpr absl::Duration kBackoffMax = absl::Seconds(1);
// A server that is well has opened a connection by then; as BreakerOptions::timeout_min.
constexpr absl::Duration kHurried = absl::Milliseconds(250);
// How long a connection may take to come clean before it is closed instead.
constexpr absl::Duration kCleanMax = absl::Seconds(2);
// Between two requests to stop a statement; doubled with each.
constexpr absl::Duration kCancelPauseFirst = absl::Milliseconds(50);
constexpr absl::Duration kCancelPauseMax = absl::Milliseconds(800);
// A transaction that does nothing ends before anybody forgets that recovery has decided against it: within an hour, and
// abort rows are kept for two at least (transactions.outcome_keep). A server or a role with a lower bound keeps it.
constexpr char kBoundIdle[] =
    "SELECT set_config(name, '1h', false) FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout' AND "
    "(setting = '0' OR setting::bigint > 3600000)";
// A statement of a gateway that is gone ends too, and lets go of its locks: from PostgreSQL 14 on.
constexpr char kWatchClient[] =
    "SELECT set_config(name, '2s', false) FROM pg_settings WHERE name = 'client_connection_check_interval' AND setting = '0'";

// What leased sessions are set to.
BatchPtr SessionSettings() {
  auto batch = std::make_shared<Batch>();
  batch->commands.push_back(Plain(kBoundIdle));
  batch->commands.push_back(Plain(kWatchClient));
  return batch;
}

LeasePoolOptions PoolOptions(const PostgresOptions& options) {
  LeasePoolOptions pool;
  pool.name = absl::StrCat("shard ", options.shard);
  pool.sessions_max = options.sessions_max;
  pool.waiters_max = options.waiters_max;
  return pool;
}

bool MayBeStopped(const Connection& connection) {
  return connection.usable() && !connection.idle() && !connection.committing();
}

std::string Millis(absl::Duration duration) { return absl::StrCat(absl::ToInt64Milliseconds(duration), "ms"); }

}  // namespace

Background::~Background() {
  // What is dropped may want to start more, which is dropped at once.
  closing_ = true;
  alive_.reset();
  const auto dropped = std::exchange(running_, {});
}

void Background::Run(Async<void> work) {
  if (closing_) return;
  const uint64_t id = next_++;
  // Its end may come before its Running is in the map, so the entry is cleared later.
  Running started(std::move(work), [this, id, alive = std::weak_ptr<bool>(alive_)] {
    loop_.Defer([this, id, alive] {
      if (alive.lock() == nullptr) return;
      const auto found = running_.find(id);
      // Its frame, as it goes, may start more work here: let it go after the map is whole again.
      const Running ended = std::move(found->second);
      running_.erase(found);
    });
  });
  running_.emplace(id, std::move(started));
}

namespace {

absl::Status RetryIn(const absl::Status& failure, absl::Duration wait) {
  ErrorDetail detail = DetailOf(failure);
  detail.retry_after = wait;
  return MakeError(failure.code(), std::string(failure.message()), detail);
}

}  // namespace

Core::Core(Loop& the_loop, PostgresOptions the_options)
    : loop(the_loop), options(std::move(the_options)), pool(the_loop, PoolOptions(options)), background(the_loop) {}

Async<absl::StatusOr<std::unique_ptr<Connection>>> Core::Connect(ConnectionUse use, absl::Time deadline) {
  const absl::Time now = loop.Now();
  if (now < next_attempt_) co_return RetryIn(last_failure_, next_attempt_ - now);
  ConnectOptions connect;
  connect.shard = options.shard;
  connect.conninfo = options.conninfo;
  connect.application_name = options.application_name;
  if (use == ConnectionUse::kShared) {
    connect.settings.emplace_back("lock_timeout", Millis(options.shared_lock_timeout));
    connect.settings.emplace_back("statement_timeout", Millis(options.shared_statement_timeout));
  }
  const absl::Time last = std::min(deadline, now + options.connect_timeout);
  absl::StatusOr<std::unique_ptr<Connection>> opened = co_await Connection::Open(loop, connect, last);
  if (opened.ok() && use == ConnectionUse::kLeased) {
    const BatchPtr bound = SessionSettings();
    const bool in_time = co_await (*opened)->Run(bound, last);
    if (!in_time) opened = Unavailable(options.shard, "no connection in time", absl::Milliseconds(200));
    if (bound->lost) opened = Unavailable(options.shard, bound->lost_cause, absl::Milliseconds(200));
  }
  if (opened.ok()) {
    failures_ = 0;
    next_attempt_ = absl::InfinitePast();
    co_return opened;
  }
  // A caller in such a hurry says nothing about the server, nor to the others.
  if (loop.Now() >= deadline && deadline - now < kHurried) co_return DeadlineEnded(options.shard, "pool");
  last_failure_ = opened.status();
  const absl::Duration wait = std::min(kBackoffMax, kBackoffFirst * (1 << std::min(failures_, 10)));
  ++failures_;
  next_attempt_ = loop.Now() + wait;
  co_return opened.status();
}

void Core::Close(std::unique_ptr<Connection> connection) {
  if (connection != nullptr) {
    prepared_hits += connection->prepared_hits();
    prepared_misses += connection->prepared_misses();
    --leased_open;
    connection.reset();
  }
  pool.Forfeit();
}

void Core::GiveBack(std::unique_ptr<Connection> connection) {
  if (connection == nullptr || !connection->usable()) {
    Close(std::move(connection));
    return;
  }
  const bool interrupted = connection->interrupt != nullptr && !connection->interrupt->done;
  if (connection->idle() && !interrupted && !connection->dirty && connection->transaction() == PQTRANS_IDLE) {
    pool.Release(std::move(connection));
    return;
  }
  background.Run(Recycle(std::move(connection)));
}

void Core::StartPurge() {
  if (std::exchange(purging_, true)) return;
  background.Run(PurgeForever(this));
}

void Core::StartInterrupt(Connection* connection) {
  if (!MayBeStopped(*connection)) return;
  if (connection->interrupt != nullptr && !connection->interrupt->done) return;
  connection->interrupt = std::make_shared<Interrupt>(Interrupt{connection});
  background.Run(RunInterrupt(connection->interrupt));
}

// A request that comes while the server binds a statement is forgotten when it reads the next command, and a function may catch
// one: so ask again.
Async<void> Core::RunInterrupt(std::shared_ptr<Interrupt> interrupt) {
  absl::Duration wait = kCancelPauseFirst;
  while (interrupt->connection != nullptr && MayBeStopped(*interrupt->connection)) {
    co_await CancelOnce(interrupt->connection->server_pid());
    if (interrupt->connection != nullptr) co_await interrupt->connection->WaitIdle(loop.Now() + wait);
    wait = std::min(2 * wait, kCancelPauseMax);
  }
  interrupt->done = true;
  for (Completer<bool>& waiter : std::exchange(interrupt->waiters, {})) waiter.Set(true);
}

// libpq's own PQcancel blocks, so another connection asks.
Async<void> Core::CancelOnce(int pid) {
  const absl::Time deadline = loop.Now() + kCleanMax;
  // One opens it, the others wait for that.
  while (control_opens_) {
    const bool in_time = co_await WaitInLine(*this, control_line_, deadline);
    if (!in_time) break;
  }
  if (!control_opens_ && (control_ == nullptr || !control_->usable())) {
    control_opens_ = true;
    absl::StatusOr<std::unique_ptr<Connection>> opened = co_await Connect(ConnectionUse::kShared, deadline);
    control_opens_ = false;
    if (opened.ok()) control_ = *std::move(opened);
    for (Completer<bool>& waiter : std::exchange(control_line_, {})) waiter.Set(true);
  }
  if (control_ == nullptr || !control_->usable()) co_return;
  const auto batch = std::make_shared<Batch>();
  batch->commands.push_back(Plain(absl::StrCat("SELECT pg_cancel_backend(", pid, ")")));
  const bool answered = co_await control_->Run(batch, deadline);
  if (!answered) control_->Break("no answer");
}

Async<bool> Core::Settle(Connection* connection, absl::Time deadline) {
  const std::shared_ptr<Interrupt> interrupt = connection->interrupt;
  if (interrupt != nullptr && !interrupt->done) {
    Completer<bool> done(loop);
    interrupt->waiters.push_back(done);
    const Timer timer(loop, deadline, [done]() mutable { done.Set(false); });
    Future<bool> future = done.future();
    const bool in_time = co_await future;
    if (!in_time) co_return false;
  }
  const bool idle = co_await connection->WaitIdle(deadline);
  co_return idle;
}

Async<bool> Core::Clean(Connection* connection) {
  if (connection->committing()) {
    co_await connection->WaitIdle(absl::InfiniteFuture());
  } else {
    StartInterrupt(connection);
  }
  const absl::Time deadline = loop.Now() + kCleanMax;
  const bool settled = co_await Settle(connection, deadline);
  if (!settled || !connection->usable()) co_return false;
  const auto batch = std::make_shared<Batch>();
  if (connection->transaction() != PQTRANS_IDLE) {
    batch->commands.push_back(Plain("ROLLBACK"));
    const bool rolled_back = co_await connection->Run(batch, deadline);
    if (!rolled_back || !connection->usable()) co_return false;
  }
  if (connection->dirty) {
    // Cannot share its Sync with anything.
    const auto discard = std::make_shared<Batch>();
    discard->commands.push_back(Plain("DISCARD ALL"));
    const BatchPtr bound = SessionSettings();
    connection->Send(discard);
    const bool discarded = co_await connection->Run(bound, deadline);
    if (!discarded || !discard->FirstError().ok() || !bound->FirstError().ok()) co_return false;
    connection->ForgetAll();
    connection->dirty = false;
  }
  co_return connection->usable() && connection->transaction() == PQTRANS_IDLE;
}

Async<void> Core::Recycle(std::unique_ptr<Connection> connection) {
  const bool clean = co_await Clean(connection.get());
  if (clean) {
    pool.Release(std::move(connection));
  } else {
    Close(std::move(connection));
  }
}

Async<bool> WaitInLine(Core& core, std::vector<Completer<bool>>& line, absl::Time deadline) {
  Completer<bool> turn(core.loop);
  line.push_back(turn);
  const Timer timer(core.loop, deadline, [turn]() mutable { turn.Set(false); });
  Future<bool> future = turn.future();
  const bool in_time = co_await future;
  co_return in_time;
}

Async<absl::StatusOr<Leased>> Lease(Core& core, const CallContext& ctx) {
  absl::StatusOr<std::unique_ptr<Connection>> acquired = co_await core.pool.Acquire(ctx);
  if (!acquired.ok()) co_return acquired.status();
  Leased leased(&core);
  std::unique_ptr<Connection> connection = *std::move(acquired);
  if (connection != nullptr && !connection->usable()) {
    --core.leased_open;
    connection.reset();
  }
  if (connection == nullptr) {
    absl::StatusOr<std::unique_ptr<Connection>> opened =
        co_await core.Connect(ConnectionUse::kLeased, ctx.deadline);
    if (!opened.ok()) co_return opened.status();
    connection = *std::move(opened);
    ++core.leased_open;
  }
  leased.Put(std::move(connection));
  ctx.stage = Stage::kQuery;
  co_return leased;
}

}  // namespace quarry::postgres
