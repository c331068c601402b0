#include "core/backend/postgres/ending.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/schema.h"
#include "core/base/error.h"
#include "core/base/loop.h"

namespace quarry::postgres {

// A transaction that has an id but writes nothing to the log would not wait.
const char kWaitForStandbys[] =
    "CASE WHEN current_setting('synchronous_standby_names') <> '' "
    "THEN pg_logical_emit_message(true, 'quarry', '')::text END";

const char kTransactionIfAny[] = "SELECT pg_current_xact_id_if_assigned()::text";
const char kInsertPart[] =
    "INSERT INTO quarry.txn_part (transaction_id) SELECT $1::text FROM "
    "pg_advisory_xact_lock_shared($2::bigint / (clock_timestamp() < now() + $3::bigint * interval '1 ms')::int)";
const char kInsertDecision[] =
    "INSERT INTO quarry.txn_decision (transaction_id, verdict, participants) SELECT $1::text, $2::text, $3::text[] FROM "
    "pg_advisory_xact_lock_shared($4::bigint)";
const char kBoundStatements[] =
    "SELECT set_config('statement_timeout', CASE WHEN current_setting('statement_timeout')::interval BETWEEN interval '1 us' AND "
    "$1::bigint * interval '1 ms' THEN current_setting('statement_timeout') ELSE $1::bigint::text END, true)";

absl::Status NotConfirmed(const std::string& shard, const std::string& transaction) {
  return CommitUnknown(shard, transaction,
                       "the server gave up waiting for a synchronous standby; it is done on the primary only, and would be "
                       "lost with it");
}

namespace {

constexpr absl::Duration kLookUpMax = absl::Minutes(1);
// Between two look-ups, each on a connection of its own; doubled with each.
constexpr absl::Duration kLookUpPauseFirst = absl::Milliseconds(50);
constexpr absl::Duration kLookUpPauseMax = absl::Milliseconds(800);
constexpr char kInvalidParameterValue[] = "22023";

std::string LookUpSql(const Ending& ending) {
  const std::string status = absl::StrCat("pg_xact_status('", ending.transaction, "'::xid8)");
  if (ending.gid.empty()) return absl::StrCat("SELECT ", status);
  return absl::StrCat("SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_prepared_xacts WHERE gid = ", Quoted(ending.gid),
                      ") THEN 'prepared' ELSE ", status, " END");
}

absl::Status RolledBack(const std::string& shard, const Ending& ending) {
  const std::string_view when = ending.gid.empty() ? "at the commit" : "while it was prepared";
  return MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                   absl::StrCat("shard ", shard, ": the connection broke ", std::string(when),
                                " and the transaction was rolled back; run it again"),
                   {{"shard", shard}});
}

// The first column of the first row; "" for NULL; "aborted" for a transaction of the future. Nullopt when the server does not answer.
Async<std::optional<std::string>> AskOne(Connection* connection, std::string sql, absl::Time last) {
  const auto batch = std::make_shared<Batch>();
  batch->commands.push_back(Plain(std::move(sql)));
  const bool answered = co_await connection->Run(batch, last);
  // An id that the server has yet to give: it crashed before anything of the transaction was on its disk.
  const absl::Status error = batch->FirstError();
  if (answered && DetailOf(error).facts["sqlstate"] == kInvalidParameterValue) co_return "aborted";
  if (!answered || batch->lost || batch->weak_commit || !error.ok()) co_return std::nullopt;
  const std::vector<Row>& rows = batch->results[0].result.batch.rows;
  co_return rows.empty() || rows[0][0].is_null() ? std::string() : rows[0][0].text();
}

// How a transaction ended whose end was not answered.
Async<absl::Status> LookUp(Core* core, Ending ending, std::string cause) {
  const absl::Time last = core->loop.Now() + kLookUpMax;
  absl::Duration wait = kLookUpPauseFirst;
  while (core->loop.Now() < last) {
    absl::StatusOr<std::unique_ptr<Connection>> opened = co_await core->Connect(ConnectionUse::kShared, last);
    if (opened.ok()) {
      const std::optional<std::string> found = co_await AskOne(opened->get(), LookUpSql(ending), last);
      if (found == "aborted") co_return RolledBack(core->options.shard, ending);
      if (found == "committed" || found == "prepared") {
        // Nobody told whether its standbys have it: a server that crashed while it waited for them does not wait again.
        const std::optional<std::string> safe = co_await AskOne(opened->get(), absl::StrCat("SELECT ", kWaitForStandbys), last);
        if (safe.has_value()) co_return absl::OkStatus();
      } else if (found.has_value() && found != "in progress") {
        break;
      }
    }
    SleepUntil pause(core->loop, core->loop.Now() + wait);
    co_await pause;
    wait = std::min(2 * wait, kLookUpPauseMax);
  }
  co_return CommitUnknown(core->options.shard, ending.transaction, cause);
}

Async<void> EndAndTell(Core* core, Leased leased, Ending ending, Completer<absl::Status> done) {
  const BatchPtr batch = ending.batch;
  batch->commits = true;
  co_await leased->Run(batch, absl::InfiniteFuture());
  absl::Status status = batch->FirstError();
  const bool lost = batch->lost;
  if (lost) {
    leased.Put(nullptr);
    --core->leased_open;
    // The place is free: the look-up has a connection of its own.
    const Leased back = std::move(leased);
  }
  if (batch->weak_commit) {
    status = NotConfirmed(core->options.shard, ending.transaction);
  } else if (lost && ending.transaction.empty() && ending.gid.empty()) {
    status = Unavailable(core->options.shard, batch->lost_cause, absl::Milliseconds(100));
  } else if (lost && ending.transaction.empty()) {
    status = CommitUnknown(core->options.shard, "", batch->lost_cause);
  } else if (lost) {
    status = co_await LookUp(core, ending, batch->lost_cause);
  }
  done.Set(std::move(status));
}

Async<void> RunOn(Leased leased, BatchPtr batch, Completer<bool> done) {
  batch->commits = true;
  co_await leased->Run(batch, absl::InfiniteFuture());
  // Back in its pool before the caller goes on.
  { const Leased back = std::move(leased); }
  done.Set(true);
}

}  // namespace

Async<absl::Status> EndInBackground(Core& core, Leased leased, Ending ending, absl::Time deadline) {
  Completer<absl::Status> done(core.loop);
  const std::string shard = core.options.shard;
  const Timer timer(core.loop, deadline, [done, shard, transaction = ending.transaction]() mutable {
    done.Set(CommitUnknown(shard, transaction, "the deadline ended during the commit, which goes on"));
  });
  core.background.Run(EndAndTell(&core, std::move(leased), std::move(ending), done));
  Future<absl::Status> future = done.future();
  absl::Status status = co_await future;
  co_return status;
}

Async<bool> RunToEnd(Core& core, Leased leased, BatchPtr batch, absl::Time deadline) {
  Completer<bool> done(core.loop);
  const Timer timer(core.loop, deadline, [done]() mutable { done.Set(false); });
  core.background.Run(RunOn(std::move(leased), std::move(batch), done));
  Future<bool> future = done.future();
  const bool in_time = co_await future;
  co_return in_time;
}

}  // namespace quarry::postgres
