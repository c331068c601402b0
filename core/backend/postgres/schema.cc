#include "core/backend/postgres/schema.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/requests.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::postgres {
namespace {

// By the catalog, which tells everybody what there is: to_regclass fails where the schema may not be used.
constexpr char kLook[] =
    "WITH s AS (SELECT oid FROM pg_namespace WHERE nspname = 'quarry'), "
    "own AS (SELECT c.relname FROM pg_class c JOIN s ON c.relnamespace = s.oid) "
    "SELECT EXISTS (SELECT FROM s), coalesce((SELECT has_schema_privilege(oid, 'USAGE') FROM s), true), "
    "EXISTS (SELECT FROM own WHERE relname = 'requests'), "
    "(SELECT count(*) = 5 FROM own WHERE relname IN ('txn_decision', 'txn_part', 'locks', 'lock_store', 'lock_fence'))";
// One gateway at a time creates; the number is any fixed one.
constexpr char kCreateLock[] = "SELECT pg_advisory_xact_lock(7823419)";
constexpr char kCreateSchema[] = "CREATE SCHEMA IF NOT EXISTS quarry";
const char* const kCreateTables[] = {
    "CREATE TABLE IF NOT EXISTS quarry.requests (request_id uuid PRIMARY KEY, request_hash bigint NOT NULL, "
    "created timestamptz NOT NULL DEFAULT now(), reply bytea)",
    "CREATE INDEX IF NOT EXISTS requests_created ON quarry.requests (created)",
    "CREATE TABLE IF NOT EXISTS quarry.txn_decision (transaction_id text PRIMARY KEY, "
    "verdict text NOT NULL CHECK (verdict IN ('commit', 'abort')), participants text[] NOT NULL DEFAULT '{}', "
    "created timestamptz NOT NULL DEFAULT clock_timestamp(), finished timestamptz)",
    "CREATE INDEX IF NOT EXISTS txn_decision_unfinished ON quarry.txn_decision (created) WHERE finished IS NULL",
    "CREATE INDEX IF NOT EXISTS txn_decision_created ON quarry.txn_decision (created)",
    "CREATE TABLE IF NOT EXISTS quarry.txn_part (transaction_id text PRIMARY KEY, "
    "created timestamptz NOT NULL DEFAULT clock_timestamp())",
    // Locks: core/lock/lock_sql.h says what they hold.
    "CREATE TABLE IF NOT EXISTS quarry.locks (name text COLLATE \"C\" PRIMARY KEY, version bigint NOT NULL, "
    "token bigint NOT NULL, busy_until bigint NOT NULL, state bytea NOT NULL) WITH (fillfactor = 50)",
    "CREATE TABLE IF NOT EXISTS quarry.lock_store (id integer PRIMARY KEY CHECK (id = 1), token bigint NOT NULL, "
    "locks bigint NOT NULL)",
    "INSERT INTO quarry.lock_store VALUES (1, 0, 0) ON CONFLICT (id) DO NOTHING",
    "CREATE TABLE IF NOT EXISTS quarry.lock_fence (lock_name text COLLATE \"C\" PRIMARY KEY, token bigint NOT NULL) "
    "WITH (fillfactor = 50)",
};

struct Present {
  bool schema = false;
  bool usable = false;  // The schema, by this database user.
  bool requests = false;
  bool rest = false;
  bool Has(OwnTables tables) const { return requests && (rest || tables == OwnTables::kRequests); }
};

absl::Status CannotCreate(const std::string& shard, OwnTables tables) {
  const bool all = tables == OwnTables::kAll;
  const std::string_view needed = all ? "transactions over several shards and locks need the tables requests, txn_decision, "
                                        "txn_part, locks, lock_store and lock_fence of schema quarry, of which some do not exist"
                                      : "writes with a request_id need the table quarry.requests, which does not exist";
  return MakeError(absl::StatusCode::kFailedPrecondition, all ? reason::kTwoPhaseUnavailable : reason::kPermissionDenied,
                   absl::StrCat("shard ", shard, ": ", std::string(needed),
                                " and which the database user may not create; run `quarryctl init-shard` with a user who "
                                "may, and grant SELECT, INSERT, UPDATE and DELETE on them to this one"),
                   {{"shard", shard}});
}

absl::Status CannotUse(const std::string& shard, OwnTables tables) {
  const bool all = tables == OwnTables::kAll;
  return MakeError(absl::StatusCode::kFailedPrecondition, all ? reason::kTwoPhaseUnavailable : reason::kPermissionDenied,
                   absl::StrCat("shard ", shard, ": ",
                                all ? "transactions over several shards and locks" : "writes with a request_id",
                                " need tables of schema quarry, which the database user may not use; grant it USAGE on the "
                                "schema, and SELECT, INSERT, UPDATE and DELETE on all its tables"),
                   {{"shard", shard}, {"setting", "privileges"}});
}

Async<absl::Status> RunOne(const std::string& shard, Connection* connection, BatchPtr batch, absl::Time deadline) {
  const bool in_time = co_await connection->Run(batch, deadline);
  if (!in_time) co_return DeadlineEnded(shard, "query");
  if (batch->lost) co_return Unavailable(shard, batch->lost_cause, absl::Milliseconds(100));
  co_return batch->FirstError();
}

bool NotAllowed(const absl::Status& status) { return absl::IsPermissionDenied(status); }

Async<absl::Status> Create(const std::string& shard, Connection* connection, Present present, OwnTables tables,
                           absl::Time deadline) {
  const auto create = std::make_shared<Batch>();
  create->commands.push_back(Plain("BEGIN"));
  create->commands.push_back(Plain(kCreateLock));
  // It asks for the right to create even where the schema exists.
  if (!present.schema) create->commands.push_back(Plain(kCreateSchema));
  for (const char* sql : kCreateTables) create->commands.push_back(Plain(sql));
  create->commands.push_back(Plain("COMMIT"));
  create->commits = true;
  const absl::Status created = co_await RunOne(shard, connection, create, deadline);
  if (NotAllowed(created)) co_return CannotCreate(shard, tables);
  co_return created;
}

// The look itself, and what it creates.
Async<absl::Status> LookAndCreate(Core& core, OwnTables tables, absl::Time deadline) {
  const std::string shard = core.options.shard;
  QUARRY_CO_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection,
                             co_await core.Connect(ConnectionUse::kLeased, deadline));
  const auto look = std::make_shared<Batch>();
  look->commands.push_back(Plain(kLook));
  const absl::Status looked = co_await RunOne(shard, connection.get(), look, deadline);
  if (!looked.ok()) co_return looked;
  const Row& row = look->results[0].result.batch.rows[0];
  const Present present = {row[0].bool_value(), row[1].bool_value(), row[2].bool_value(), row[3].bool_value()};
  if (!present.usable) co_return CannotUse(shard, tables);
  if (!present.Has(tables)) {
    const absl::Status created = co_await Create(shard, connection.get(), present, tables, deadline);
    if (!created.ok()) co_return created;
  }
  if (!core.requests_ready) {
    core.requests_ready = true;
    core.StartPurge();
  }
  core.tables_ready = core.tables_ready || present.rest || !present.Has(tables);
  co_return absl::OkStatus();
}

}  // namespace

Async<absl::Status> EnsureTables(Core& core, OwnTables tables, absl::Time deadline) {
  const auto ready = [&core, tables] { return core.requests_ready && (core.tables_ready || tables == OwnTables::kRequests); };
  // One looks at a time: after a start every first write asks, and each would open a connection.
  while (!ready() && core.tables_at_work != nullptr) {
    const std::shared_ptr<LookAtTables> others = core.tables_at_work;
    const bool in_time = co_await WaitInLine(core, others->line, deadline);
    if (!in_time) co_return DeadlineEnded(core.options.shard, "pool");
    // A right that is missing is missing for all.
    if (others->tables == tables && absl::IsFailedPrecondition(others->status)) co_return others->status;
  }
  if (ready()) co_return absl::OkStatus();
  const auto own = std::make_shared<LookAtTables>(LookAtTables{tables});
  core.tables_at_work = own;
  const absl::Cleanup wake = [&core, own] {
    core.tables_at_work = nullptr;
    for (Completer<bool> waiter : own->line) waiter.Set(true);
  };
  own->status = co_await LookAndCreate(core, tables, deadline);
  co_return own->status;
}

void ForgetTables(Core& core) {
  core.tables_ready = false;
  core.requests_ready = false;
  core.two_phase_checked = false;
}

absl::Status TablesMissing(const std::string& shard) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kTwoPhaseUnavailable,
                   absl::StrCat("shard ", shard, ": a table of schema quarry is missing, without which there are no "
                                "transactions over several shards; run `quarryctl init-shard`"),
                   {{"shard", shard}});
}

std::string Quoted(std::string_view text) {
  const absl::string_view plain(text.data(), text.size());
  return absl::StrCat("E'", absl::StrReplaceAll(plain, {{"'", "''"}, {"\\", "\\\\"}}), "'");
}

absl::Status Explained(Core& core, const absl::Status& status) {
  const std::string state = DetailOf(status).facts["sqlstate"];
  if (state == "42P01" || state == "3F000") {
    ForgetTables(core);
    return TablesMissing(core.options.shard);
  }
  if (state == "55000" || absl::IsPermissionDenied(status)) core.two_phase_checked = false;
  return status;
}

int64_t LockTimeoutMs(absl::Time now, absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) return 0;
  // PostgreSQL's largest is about 24 days.
  const absl::Duration left = std::min(deadline - now, absl::Hours(24));
  // What is left then must do for the answer.
  const absl::Duration spare = std::max(left / 16, std::min(left / 3, absl::Milliseconds(100)));
  const int64_t ms = std::max<int64_t>(absl::ToInt64Milliseconds(left - spare), 1);
  // The four highest bits.
  int shift = 0;
  while ((ms >> shift) >= 16) ++shift;
  return (ms >> shift) << shift;
}

}  // namespace quarry::postgres
