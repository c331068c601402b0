#include "core/backend/postgres/gate.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/postgres/branch_gid.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/schema.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::postgres {
namespace {

// How much longer than its deadline a wait may take to say who was in the way.
constexpr absl::Duration kNamingMax = absl::Milliseconds(200);

class PostgresGateHold final : public GateHold {
 public:
  // The connection is marked as dirty: one that is given back without Release lets go with all that a session holds.
  PostgresGateHold(Core& core, Leased leased) : core_(core), leased_(std::move(leased)) {}

  Async<absl::StatusOr<bool>> Release(const CallContext& ctx) override {
    if (leased_.get() == nullptr || !leased_->usable()) co_return false;
    const auto batch = std::make_shared<Batch>();
    batch->commands.push_back(Plain(absl::StrCat("SELECT pg_advisory_unlock(", GateKey(core_.options.deployment), ")")));
    Leased leased = std::move(leased_);
    const bool in_time = co_await leased->Run(batch, ctx.deadline);
    if (!in_time) co_return DeadlineEnded(core_.options.shard, "query");
    // With its session the lock went, who knows when.
    if (batch->lost) co_return false;
    const absl::Status status = batch->FirstError();
    if (!status.ok()) co_return status;
    const bool held = batch->results[0].result.batch.rows[0][0].bool_value();
    leased->dirty = !held;
    co_return held;
  }

 private:
  Core& core_;
  Leased leased_;
};

// The branch that has passed the gate, by its transaction's id; "" when it is none of ours.
Async<std::string> WhoIsIn(Core& core, Connection* connection, absl::Time deadline) {
  const auto key = static_cast<uint64_t>(GateKey(core.options.deployment));
  const auto batch = std::make_shared<Batch>();
  batch->commands.push_back(Plain("ROLLBACK"));
  // A prepared transaction has no process any more; its locks go by the virtual id that they share.
  batch->commands.push_back(Plain(absl::StrCat(
      "SELECT p.gid FROM pg_locks l JOIN pg_locks x ON x.virtualtransaction = l.virtualtransaction AND x.pid IS NULL AND "
      "x.locktype = 'transactionid' JOIN pg_prepared_xacts p ON p.transaction = x.transactionid "
      "WHERE l.locktype = 'advisory' AND l.granted AND l.pid IS NULL AND l.objsubid = 1 AND l.classid::bigint = ",
      key >> 32, " AND l.objid::bigint = ", key & 0xFFFFFFFFU, " AND p.database = current_database() ORDER BY p.prepared")));
  const bool in_time = co_await connection->Run(batch, deadline);
  if (!in_time || batch->lost || !batch->FirstError().ok()) co_return std::string();
  const BranchOwner owner = {core.options.deployment, core.options.shard};
  for (const Row& row : batch->results[1].result.batch.rows) {
    const std::optional<GlobalTransaction> branch = ParseBranchGid(owner, row[0].text());
    if (branch.has_value()) co_return branch->id;
  }
  co_return std::string();
}

absl::Status Occupied(const std::string& shard, const std::string& transaction) {
  ErrorDetail detail;
  detail.reason = reason::kTransactionInDoubt;
  detail.facts = {{"shard", shard}};
  if (!transaction.empty()) detail.facts.emplace("transaction_id", transaction);
  detail.retry_after = absl::Milliseconds(100);
  const std::string who = transaction.empty() ? "a commit" : absl::StrCat("transaction ", transaction, ", which is prepared,");
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("shard ", shard, ": no snapshot could be taken in time, for ", who,
                                " has not ended here; recovery ends it, so try again"),
                   detail);
}

}  // namespace

int64_t GateKey(const std::string& deployment) {
  // FNV-1a.
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (const unsigned char c : absl::StrCat("quarry gate:", deployment)) hash = (hash ^ c) * 0x100000001B3ULL;
  return static_cast<int64_t>(hash);
}

std::string PassGateSql(const std::string& deployment) {
  return absl::StrCat("SELECT pg_advisory_xact_lock_shared(", GateKey(deployment), ")");
}

Async<absl::StatusOr<std::unique_ptr<GateHold>>> CloseGate(Core& core, GateWait wait, const CallContext& ctx) {
  absl::StatusOr<Leased> acquired = co_await Lease(core, ctx);
  if (!acquired.ok()) co_return acquired.status();
  Leased leased = *std::move(acquired);
  const int64_t key = GateKey(core.options.deployment);
  const auto batch = std::make_shared<Batch>();
  const bool tries = wait == GateWait::kTry;
  if (tries) {
    batch->commands.push_back(Plain(absl::StrCat("SELECT pg_try_advisory_lock(", key, ")")));
  } else {
    // The lock is the session's and outlives this transaction, whose setting ends the wait.
    batch->commands.push_back(Plain("BEGIN"));
    batch->commands.push_back(Plain(absl::StrCat("SET LOCAL lock_timeout = ", LockTimeoutMs(core.loop.Now(), ctx.deadline))));
    batch->commands.push_back(Plain(absl::StrCat("SELECT pg_advisory_lock(", key, ")")));
    batch->commands.push_back(Plain("COMMIT"));
  }
  // Whenever this call is left from here on, the session may hold the lock.
  leased->dirty = true;
  const bool in_time = co_await leased->Run(batch, ctx.deadline);
  if (!in_time) co_return DeadlineEnded(core.options.shard, "query");
  if (batch->lost) co_return Unavailable(core.options.shard, batch->lost_cause, absl::Milliseconds(100));
  const absl::Status status = batch->FirstError();
  if (!status.ok()) {
    if (DetailOf(status).facts["sqlstate"] != "55P03") co_return status;
    const absl::Time last = std::max(ctx.deadline, core.loop.Now()) + kNamingMax;
    const std::string who = co_await WhoIsIn(core, leased.get(), last);
    co_return Occupied(core.options.shard, who);
  }
  if (tries && !batch->results[0].result.batch.rows[0][0].bool_value()) {
    leased->dirty = false;
    co_return nullptr;
  }
  co_return std::make_unique<PostgresGateHold>(core, std::move(leased));
}

}  // namespace quarry::postgres
