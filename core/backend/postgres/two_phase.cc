#include "core/backend/postgres/two_phase.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/backend/postgres/branch_gid.h"
#include "core/backend/postgres/ending.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/gate.h"
#include "core/backend/postgres/schema.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::postgres {
namespace {

constexpr int64_t kWritersMax = 4;
constexpr int64_t kReadersMax = 2;
constexpr int64_t kGatesMax = 4;
constexpr absl::Duration kBusyPause = absl::Milliseconds(10);

constexpr char kDecisionColumns[] =
    "transaction_id, verdict, array_to_string(participants, ','), "
    "(extract(epoch FROM clock_timestamp() - created) * 1000)::bigint, finished IS NOT NULL";

// Logical walsenders carry changes elsewhere and are no standbys. Who may not see a state counts.
constexpr char kLookAtServer[] =
    "SELECT current_setting('max_prepared_transactions')::bigint, current_setting('synchronous_commit'), "
    "current_setting('synchronous_standby_names') <> '', (SELECT count(*) FROM pg_stat_replication r "
    "WHERE coalesce(r.state, 'streaming') = 'streaming' AND NOT EXISTS "
    "(SELECT 1 FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical'))";
constexpr char kLookAtRights[] =
    "SELECT count(*) FROM unnest(ARRAY['quarry.requests', 'quarry.txn_decision', 'quarry.txn_part', 'quarry.locks', "
    "'quarry.lock_store', 'quarry.lock_fence']) t, "
    "unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p WHERE NOT has_table_privilege(t, p)";

PostgresOptions With(PostgresOptions options, int64_t sessions_max) {
  options.sessions_max = sessions_max;
  return options;
}

std::string SqlState(const absl::Status& status) { return DetailOf(status).facts["sqlstate"]; }

// Those that may be of transactions, as SQL's ARRAY[…].
std::string ArrayOf(const std::vector<std::string>& ids) {
  std::vector<std::string> quoted;
  for (const std::string& id : ids) {
    if (IsTransactionId(id)) quoted.push_back(Quoted(id));
  }
  return absl::StrCat("ARRAY[", absl::StrJoin(quoted, ", "), "]::text[]");
}

Decision ReadDecision(const Row& row) {
  Decision decision;
  decision.transaction_id = row[0].text();
  decision.verdict = row[1].text() == "commit" ? Verdict::kCommit : Verdict::kAbort;
  decision.participants = absl::StrSplit(row[2].text(), ',', absl::SkipEmpty());
  decision.age = std::max(absl::Milliseconds(row[3].int64_value()), absl::ZeroDuration());
  decision.finished = row[4].bool_value();
  return decision;
}

absl::Status Unfit(const std::string& shard, std::string_view setting, std::string_view why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kTwoPhaseUnavailable,
                   absl::StrCat("shard ", shard, " can take no part in transactions over several shards: ", std::string(why)),
                   {{"shard", shard}, {"setting", std::string(setting)}});
}

absl::Status CheckServer(const PostgresOptions& options, const Row& row) {
  if (row[0].int64_value() == 0) {
    return Unfit(options.shard, "max_prepared_transactions",
                 "its server keeps no prepared transactions; set max_prepared_transactions (64 is a good start, at least "
                 "as many as there are cross-shard commits at a time) in postgresql.conf, on standbys too, and restart it");
  }
  const std::string& commit = row[1].text();
  if (commit == "off") {
    return Unfit(options.shard, "synchronous_commit",
                 "synchronous_commit is off, so a crash loses what was acknowledged; set it to on, for the database user "
                 "of this shard at least");
  }
  const bool waits = row[2].bool_value() && commit != "local";
  const bool has_standbys = row[3].int64_value() > 0 || options.has_replicas;
  if (has_standbys && !waits && !options.allow_async_two_phase) {
    return Unfit(options.shard, "synchronous_standby_names",
                 "it has standbys that commits do not wait for, so a failover may lose one part of a transaction; set "
                 "synchronous_standby_names (and synchronous_commit to on), or accept the loss with allow_async_two_phase");
  }
  return absl::OkStatus();
}

}  // namespace

PostgresTwoPhase::PostgresTwoPhase(Core& main)
    : main_(main),
      writers_(main.loop, With(main.options, kWritersMax)),
      readers_(main.loop, With(main.options, kReadersMax)),
      gates_(main.loop, With(main.options, kGatesMax)) {}

Async<absl::Status> PostgresTwoPhase::Run(Core& core, BatchPtr batch, const CallContext& ctx) {
  absl::StatusOr<Leased> leased = co_await Lease(core, ctx);
  if (!leased.ok()) co_return leased.status();
  Leased held = *std::move(leased);
  const bool in_time = co_await RunToEnd(core, std::move(held), batch, ctx.deadline);
  if (!in_time) co_return DeadlineEnded(core.options.shard, "query");
  if (batch->weak_commit) co_return NotConfirmed(core.options.shard, "");
  if (batch->lost) {
    const absl::Status lost = Unavailable(core.options.shard, batch->lost_cause, absl::Milliseconds(100));
    co_return WithMessage(lost, absl::StrCat("shard ", core.options.shard, ": the connection broke before the answer came, so "
                                             "ask again: ", batch->lost_cause));
  }
  const absl::Status status = batch->FirstError();
  const std::string state = SqlState(status);
  // These say nothing about the server: no such branch, another has it, a lock was not free.
  if (status.ok() || state == "42704" || state == "55000" || absl::IsAborted(status)) co_return status;
  main_.two_phase_checked = false;
  if (state != "42P01" && state != "3F000") co_return status;
  ForgetTables(main_);
  co_return TablesMissing(core.options.shard);
}

Async<absl::StatusOr<std::vector<Row>>> PostgresTwoPhase::Ask(Core& core, std::string sql, const CallContext& ctx) {
  const auto batch = std::make_shared<Batch>();
  batch->commands.push_back(Plain(std::move(sql)));
  const absl::Status status = co_await Run(core, batch, ctx);
  if (!status.ok()) co_return status;
  co_return std::move(batch->results[0].result.batch.rows);
}

Async<absl::Status> PostgresTwoPhase::Init(const CallContext& ctx) {
  ForgetTables(main_);  // Who asks has changed something, or doubts it.
  const absl::Status ready = co_await EnsureTables(main_, OwnTables::kAll, ctx.deadline);
  co_return ready;
}

Async<absl::Status> PostgresTwoPhase::Check(const CallContext& ctx) {
  if (main_.two_phase_checked) co_return absl::OkStatus();
  absl::StatusOr<std::vector<Row>> server = co_await Ask(readers_, kLookAtServer, ctx);
  if (!server.ok()) co_return server.status();
  // Locks, and commits on one shard that keep their decision, need the tables of a server that is unfit otherwise, too.
  const absl::Status tables = co_await EnsureTables(main_, OwnTables::kAll, ctx.deadline);
  const absl::Status fit = CheckServer(main_.options, server->at(0));
  if (!fit.ok()) co_return fit;
  if (!tables.ok()) co_return tables;
  absl::StatusOr<std::vector<Row>> rights = co_await Ask(readers_, kLookAtRights, ctx);
  if (!rights.ok()) co_return rights.status();
  if (rights->at(0)[0].int64_value() > 0) {
    co_return Unfit(main_.options.shard, "privileges",
                    "its database user may not use the tables of schema quarry; grant it SELECT, INSERT, UPDATE and DELETE "
                    "on all tables in schema quarry");
  }
  main_.two_phase_checked = true;
  co_return absl::OkStatus();
}

// The row that every branch carries.
Async<absl::StatusOr<BranchEnd>> PostgresTwoPhase::FindPart(std::string transaction_id, const CallContext& ctx) {
  const std::string sql =
      absl::StrCat("SELECT ", kWaitForStandbys, " FROM quarry.txn_part WHERE transaction_id = ",
                   Quoted(transaction_id));
  absl::StatusOr<std::vector<Row>> rows = co_await Ask(writers_, sql, ctx);
  if (!rows.ok()) co_return rows.status();
  co_return rows->empty() ? BranchEnd::kAbsent : BranchEnd::kCommitted;
}

Async<absl::StatusOr<BranchEnd>> PostgresTwoPhase::Finish(const GlobalTransaction& transaction, Verdict verdict,
                                                          const CallContext& ctx) {
  const BranchOwner owner = {main_.options.deployment, main_.options.shard};
  QUARRY_CO_ASSIGN_OR_RETURN(const std::string gid, BranchGid(owner, transaction));
  const std::string id = transaction.id;
  const bool commits = verdict == Verdict::kCommit;
  const std::string sql = absl::StrCat(commits ? "COMMIT PREPARED " : "ROLLBACK PREPARED ", Quoted(gid));
  while (true) {
    const auto batch = std::make_shared<Batch>();
    batch->commands.push_back(Plain(sql));
    const absl::Status status = co_await Run(writers_, batch, ctx);
    if (batch->weak_commit) co_return NotConfirmed(main_.options.shard, id);
    if (status.ok()) co_return commits ? BranchEnd::kCommitted : BranchEnd::kAbsent;
    const std::string state = SqlState(status);
    if (state == "42704") {
      absl::StatusOr<BranchEnd> end = co_await FindPart(id, ctx);
      co_return end;
    }
    // Somebody else is at it, or the answer was lost: the next try tells.
    if (state != "55000" && !batch->lost) co_return status;
    const absl::Time next = main_.loop.Now() + kBusyPause;
    if (next >= ctx.deadline) co_return status;
    SleepUntil pause(main_.loop, next);
    co_await pause;
  }
}

Async<absl::StatusOr<std::vector<Branch>>> PostgresTwoPhase::ListBranches(const CallContext& ctx) {
  const std::string prefix = BranchGidPrefix(main_.options.deployment);
  const std::string sql =
      absl::StrCat("SELECT gid, (extract(epoch FROM clock_timestamp() - prepared) * 1000)::bigint FROM "
                   "pg_prepared_xacts WHERE database = current_database() AND left(gid, ", prefix.size(), ") = ",
                   Quoted(prefix), " ORDER BY prepared, gid");
  absl::StatusOr<std::vector<Row>> rows = co_await Ask(readers_, sql, ctx);
  if (!rows.ok()) co_return rows.status();
  const BranchOwner owner = {main_.options.deployment, main_.options.shard};
  std::vector<Branch> branches;
  for (const Row& row : *rows) {
    std::optional<GlobalTransaction> transaction = ParseBranchGid(owner, row[0].text());
    if (!transaction.has_value()) continue;
    const absl::Duration age = std::max(absl::Milliseconds(row[1].int64_value()), absl::ZeroDuration());
    branches.push_back({*std::move(transaction), age});
  }
  co_return branches;
}

Async<absl::StatusOr<std::vector<std::string>>> PostgresTwoPhase::FindParts(
    const std::vector<std::string>& transaction_ids, const CallContext& ctx) {
  const std::string sql =
      absl::StrCat("SELECT transaction_id FROM quarry.txn_part WHERE transaction_id = ANY(",
                   ArrayOf(transaction_ids), ")");
  absl::StatusOr<std::vector<Row>> rows = co_await Ask(readers_, sql, ctx);
  if (!rows.ok()) co_return rows.status();
  std::vector<std::string> found;
  for (const Row& row : *rows) found.push_back(row[0].text());
  co_return found;
}

Async<absl::StatusOr<std::vector<Part>>> PostgresTwoPhase::ListParts(absl::Duration age_min, int64_t count_max,
                                                                    const CallContext& ctx) {
  const int64_t age_ms = absl::ToInt64Milliseconds(std::min(age_min, absl::Hours(24 * 365 * 10)));
  const std::string sql =
      absl::StrCat("SELECT transaction_id, (extract(epoch FROM clock_timestamp() - created) * 1000000)::bigint "
                   "FROM quarry.txn_part WHERE created <= clock_timestamp() - interval '", age_ms,
                   " milliseconds' ORDER BY created, transaction_id LIMIT ", std::max<int64_t>(count_max, 0));
  absl::StatusOr<std::vector<Row>> rows = co_await Ask(readers_, sql, ctx);
  if (!rows.ok()) co_return rows.status();
  std::vector<Part> parts;
  for (const Row& row : *rows) parts.push_back({row[0].text(), absl::Microseconds(row[1].int64_value())});
  co_return parts;
}

Async<absl::StatusOr<std::optional<Decision>>> PostgresTwoPhase::FindDecision(const std::string& transaction_id,
                                                                              const CallContext& ctx) {
  if (!IsTransactionId(transaction_id)) co_return std::optional<Decision>();
  const std::string sql =
      absl::StrCat("SELECT ", kDecisionColumns, ", ", kWaitForStandbys,
                   " FROM quarry.txn_decision WHERE transaction_id = ", Quoted(transaction_id));
  absl::StatusOr<std::vector<Row>> rows = co_await Ask(writers_, sql, ctx);
  if (!rows.ok()) co_return rows.status();
  if (rows->empty()) co_return std::optional<Decision>();
  co_return std::optional<Decision>(ReadDecision(rows->at(0)));
}

Async<absl::StatusOr<Decision>> PostgresTwoPhase::DecideAbort(const std::string& transaction_id, const CallContext& ctx) {
  if (!IsTransactionId(transaction_id)) {
    co_return InvalidField("transaction_id", "is none of a transaction over several shards: take it as it was given");
  }
  const std::string id = Quoted(transaction_id);
  const auto batch = std::make_shared<Batch>();
  const auto add = [&batch](std::string sql) { batch->commands.push_back(Plain(std::move(sql))); };
  add("BEGIN ISOLATION LEVEL READ COMMITTED");
  add(absl::StrCat("SET LOCAL lock_timeout = ", LockTimeoutMs(main_.loop.Now(), ctx.deadline)));
  add(absl::StrCat("INSERT INTO quarry.txn_decision (transaction_id, verdict) VALUES (", id, ", 'abort') ON CONFLICT DO NOTHING"));
  // Where a decision stands already, this commit has written nothing, and yet it must vouch for that one.
  add(absl::StrCat("SELECT ", kWaitForStandbys));
  add("COMMIT");
  add(absl::StrCat("SELECT ", kDecisionColumns, " FROM quarry.txn_decision WHERE transaction_id = ", id));
  const absl::Status status = co_await Run(writers_, batch, ctx);
  if (SqlState(status) == "55P03") {
    co_return MakeError(absl::StatusCode::kUnavailable, reason::kTransactionInDoubt,
                        absl::StrCat("shard ", main_.options.shard, ": the commit of transaction ", transaction_id,
                                     " is still under way; ask again"),
                        {{"shard", main_.options.shard}, {"transaction_id", transaction_id}});
  }
  if (!status.ok()) co_return status;
  const std::vector<Row>& rows = batch->results.back().result.batch.rows;
  if (rows.empty()) {
    co_return Unavailable(main_.options.shard, "the decision was forgotten while it was read", absl::ZeroDuration());
  }
  co_return ReadDecision(rows[0]);
}

Async<absl::StatusOr<std::vector<Decision>>> PostgresTwoPhase::ListDecisions(const DecisionFilter& filter,
                                                                             const CallContext& ctx) {
  const int64_t age_ms = absl::ToInt64Milliseconds(std::min(filter.age_min, absl::Hours(24 * 365 * 10)));
  const std::string sql =
      absl::StrCat("SELECT ", kDecisionColumns, " FROM quarry.txn_decision WHERE created <= clock_timestamp() - interval '",
                   age_ms, " milliseconds'", filter.unfinished_only ? " AND finished IS NULL" : "",
                   filter.newest_first ? " ORDER BY created DESC" : " ORDER BY created", " LIMIT ",
                   std::max<int64_t>(filter.count_max, 0));
  absl::StatusOr<std::vector<Row>> rows = co_await Ask(readers_, sql, ctx);
  if (!rows.ok()) co_return rows.status();
  std::vector<Decision> decisions;
  for (const Row& row : *rows) decisions.push_back(ReadDecision(row));
  co_return decisions;
}

namespace {

// Rows of these transactions that nobody else is at: what one resolver leaves another has.
std::string FreeRows(std::string_view table, const std::vector<std::string>& ids) {
  return absl::StrCat("transaction_id IN (SELECT transaction_id FROM ", std::string(table), " WHERE transaction_id = ANY(",
                   ArrayOf(ids), ") FOR UPDATE SKIP LOCKED)");
}

}  // namespace

Async<absl::Status> PostgresTwoPhase::MarkFinished(const std::vector<std::string>& transaction_ids, const CallContext& ctx) {
  const std::string sql =
      absl::StrCat("UPDATE quarry.txn_decision SET finished = clock_timestamp() WHERE finished IS NULL AND ",
                   FreeRows("quarry.txn_decision", transaction_ids));
  absl::StatusOr<std::vector<Row>> rows = co_await Ask(writers_, sql, ctx);
  co_return rows.status();
}

Async<absl::Status> PostgresTwoPhase::ForgetParts(const std::vector<std::string>& transaction_ids, const CallContext& ctx) {
  const std::string sql =
      absl::StrCat("DELETE FROM quarry.txn_part WHERE ", FreeRows("quarry.txn_part", transaction_ids));
  absl::StatusOr<std::vector<Row>> rows = co_await Ask(writers_, sql, ctx);
  co_return rows.status();
}

Async<absl::Status> PostgresTwoPhase::ForgetDecisions(const std::vector<std::string>& transaction_ids,
                                                      const CallContext& ctx) {
  const std::string sql =
      absl::StrCat("DELETE FROM quarry.txn_decision WHERE ", FreeRows("quarry.txn_decision", transaction_ids));
  absl::StatusOr<std::vector<Row>> rows = co_await Ask(writers_, sql, ctx);
  co_return rows.status();
}

Async<absl::StatusOr<std::unique_ptr<GateHold>>> PostgresTwoPhase::CloseGate(GateWait wait, const CallContext& ctx) {
  absl::StatusOr<std::unique_ptr<GateHold>> hold = co_await postgres::CloseGate(gates_, wait, ctx);
  co_return hold;
}

}  // namespace quarry::postgres
