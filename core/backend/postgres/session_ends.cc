// How a session's transaction ends, and what it does for transactions over several shards.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/backend/postgres/branch_gid.h"
#include "core/backend/postgres/ending.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/gate.h"
#include "core/backend/postgres/requests.h"
#include "core/backend/postgres/schema.h"
#include "core/backend/postgres/session.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/codec.h"

namespace quarry::postgres {
namespace {

constexpr char kTransaction[] = "SELECT pg_current_xact_id()::text";

std::string InsertDecisionSql(const Decision& decision) {
  const std::string participants =
      absl::StrJoin(decision.participants, ", ", [](std::string* out, const std::string& name) { *out += Quoted(name); });
  return absl::StrCat("INSERT INTO quarry.txn_decision (transaction_id, verdict, participants) VALUES (",
                      Quoted(decision.transaction_id), decision.verdict == Verdict::kCommit ? ", 'commit'" : ", 'abort'",
                      ", ARRAY[", participants, "]::text[])");
}

absl::Status RolledBackByRecovery(const std::string& shard, const std::string& transaction) {
  return MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                   absl::StrCat("shard ", shard, ": transaction ", transaction,
                                " was rolled back by recovery before it could be committed; run it again"),
                   {{"shard", shard}, {"transaction_id", transaction}});
}

}  // namespace

bool PostgresSession::wrote() const { return writes_untold_ || !transaction_.empty(); }

Async<absl::Status> PostgresSession::AskTransaction(bool needed, const CallContext& ctx) {
  const BatchPtr asks = NewBatch();
  asks->commands.push_back(Plain(needed ? kTransaction : kTransactionIfAny));
  QUARRY_CO_RETURN_IF_ERROR(co_await Run(asks, ctx, false));
  TakeTransaction(*asks, asks->results.size() - 1);
  co_return absl::OkStatus();
}

bool PostgresSession::PassesGate(const CommitOptions& options) const {
  return options.pass_gate || (core_.options.strict_snapshots && wrote());
}

absl::Status PostgresSession::AddToCommit(const BatchPtr& batch, const CommitOptions& options, const CallContext& ctx) {
  const bool pass_gate = PassesGate(options);
  if (pass_gate || options.decision.has_value()) BoundWaits(batch, ctx);
  if (pass_gate && !options.decision.has_value()) batch->commands.push_back(Plain(PassGateSql(core_.options.deployment)));
  if (options.guard.has_value() && options.reply != nullptr) {
    const std::vector<Value> params = {Value::Uuid(options.guard->request_id),
                                       Value::Bytes(EncodeTaskResult(*options.reply))};
    QUARRY_ASSIGN_OR_RETURN(Command command, Bind(leased_->FindPrepared(kStoreReply), params));
    batch->commands.push_back(std::move(command));
  }
  if (!options.decision.has_value()) return absl::OkStatus();
  if (!pass_gate) {
    batch->commands.push_back(Plain(InsertDecisionSql(*options.decision)));
    return absl::OkStatus();
  }
  std::vector<Value> participants;
  for (const std::string& name : options.decision->participants) participants.push_back(Value::Text(name));
  const std::vector<Value> params = {Value::Text(options.decision->transaction_id),
                                     Value::Text(options.decision->verdict == Verdict::kCommit ? "commit" : "abort"),
                                     Value::Array(std::move(participants)), Value::Int64(GateKey(core_.options.deployment))};
  QUARRY_ASSIGN_OR_RETURN(Command command, Bind(leased_->FindPrepared(kInsertDecision), params));
  batch->commands.push_back(std::move(command));
  return absl::OkStatus();
}

Async<absl::Status> PostgresSession::Commit(const CommitOptions& options, const CallContext& ctx) {
  if (!options_.transaction) co_return absl::OkStatus();
  QUARRY_CO_RETURN_IF_ERROR(co_await Ready(ctx));
  const bool decides = options.decision.has_value();
  const bool stores = options.guard.has_value() && options.reply != nullptr;
  if (decides && !IsTransactionId(options.decision->transaction_id)) {
    co_return InvalidField("transaction_id", "is none of a transaction over several shards");
  }
  std::vector<std::string> texts;
  if (stores) texts.emplace_back(kStoreReply);
  if (decides && PassesGate(options)) texts.emplace_back(kInsertDecision);
  if (!texts.empty()) {
    const absl::Status known = co_await PrepareStatements(texts, ctx);
    if (!known.ok()) co_return End(Explained(core_, known));
    undo_ = false;
  }
  if (transaction_.empty() && (writes_untold_ || decides || stores)) {
    QUARRY_CO_RETURN_IF_ERROR(co_await AskTransaction(decides || stores, ctx));
  }
  ended_ = true;
  if (!begun_ && !options.pass_gate) co_return absl::OkStatus();
  savepoint_ = false;  // COMMIT ends it too.
  const BatchPtr batch = NewBatch();
  QUARRY_CO_RETURN_IF_ERROR(AddToCommit(batch, options, ctx));
  batch->commands.push_back(Plain("COMMIT"));
  ctx.stage = Stage::kCommit;
  Leased leased = std::move(leased_);
  Ending ending = {batch, transaction_, ""};
  const absl::Status status = co_await EndInBackground(core_, std::move(leased), std::move(ending), ctx.deadline);
  if (status.ok() || !decides) co_return status;
  std::map<std::string, std::string> facts = DetailOf(status).facts;
  if (facts["sqlstate"] == "23505" && facts["table"] == "txn_decision") {
    co_return RolledBackByRecovery(core_.options.shard, options.decision->transaction_id);
  }
  co_return WithFact(Explained(core_, status), "transaction_id", options.decision->transaction_id);
}

Async<absl::Status> PostgresSession::Rollback(const CallContext& ctx) {
  if (!options_.transaction || leased_.get() == nullptr) co_return absl::OkStatus();
  ended_ = true;
  if (!leased_->usable() || !begun_) co_return absl::OkStatus();
  const bool settled = co_await core_.Settle(leased_.get(), ctx.deadline);
  // What cannot be rolled back in time is closed, which comes to the same.
  if (!settled || !leased_->usable()) co_return absl::OkStatus();
  const auto batch = std::make_shared<Batch>();
  batch->commands.push_back(Plain("ROLLBACK"));
  (co_await Run(batch, ctx, false)).IgnoreError();
  co_return absl::OkStatus();
}

Async<absl::StatusOr<std::optional<TaskResult>>> PostgresSession::RunClaim(const RequestGuard& guard,
                                                                           const CallContext& ctx) {
  const std::vector<std::string> texts = {kInsertRequest, kFindReply, kStoreReply};
  const absl::Status known = co_await PrepareStatements(texts, ctx);
  if (!known.ok()) co_return known;
  undo_ = false;
  const BatchPtr batch = NewBatch();
  BoundWaits(batch, ctx);
  const size_t first = batch->commands.size();
  const std::vector<Value> insert = {Value::Uuid(guard.request_id),
                                     Value::Int64(static_cast<int64_t>(guard.request_hash))};
  const std::vector<Value> find = {Value::Uuid(guard.request_id)};
  QUARRY_CO_ASSIGN_OR_RETURN(Command inserts, Bind(leased_->FindPrepared(kInsertRequest), insert));
  QUARRY_CO_ASSIGN_OR_RETURN(Command finds, Bind(leased_->FindPrepared(kFindReply), find));
  batch->commands.push_back(std::move(inserts));
  batch->commands.push_back(std::move(finds));
  batch->commands.push_back(Plain(kTransactionIfAny));
  QUARRY_CO_RETURN_IF_ERROR(co_await Run(batch, ctx, true));
  TakeTransaction(*batch, first + 2);
  if (batch->results[first].result.affected > 0) co_return std::optional<TaskResult>();
  absl::StatusOr<std::optional<TaskResult>> stored =
      ReadReply(core_.options.shard, batch->results[first + 1].result.batch.rows, guard);
  if (!stored.ok() || stored->has_value()) co_return stored;
  co_return Unavailable(core_.options.shard, "the request_id was let go while it was looked up", absl::ZeroDuration());
}

Async<absl::StatusOr<std::optional<TaskResult>>> PostgresSession::Claim(const RequestGuard& guard,
                                                                        const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(co_await Ready(ctx));
  QUARRY_CO_RETURN_IF_ERROR(co_await EnsureTables(core_, OwnTables::kRequests, ctx.deadline));
  absl::StatusOr<std::optional<TaskResult>> claimed = co_await RunClaim(guard, ctx);
  if (claimed.ok()) co_return claimed;
  // Whatever it was, the transaction cannot go on without its claim.
  co_return End(Explained(core_, claimed.status()));
}

Async<absl::Status> PostgresSession::PassGate(const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(co_await Ready(ctx));
  const BatchPtr batch = NewBatch();
  BoundWaits(batch, ctx);
  batch->commands.push_back(Plain(PassGateSql(core_.options.deployment)));
  const absl::Status passed = co_await Run(batch, ctx, false);
  if (passed.ok()) co_return passed;
  co_return End(passed);
}

absl::Status PostgresSession::AddPrepare(const BatchPtr& batch, const std::string& id, const std::string& gid,
                                         int64_t age_max_ms) {
  if (const PreparedPtr insert = leased_->FindPrepared(kInsertPart); insert != nullptr) {
    const std::vector<Value> params = {Value::Text(id), Value::Int64(GateKey(core_.options.deployment)), Value::Int64(age_max_ms)};
    QUARRY_ASSIGN_OR_RETURN(Command command, Bind(insert, params));
    batch->commands.push_back(std::move(command));
  } else {
    batch->commands.push_back(Plain(PassGateSql(core_.options.deployment)));
    batch->commands.push_back(Plain(absl::StrCat("INSERT INTO quarry.txn_part (transaction_id) VALUES (", Quoted(id), ")")));
  }
  batch->commands.push_back(Plain(absl::StrCat("PREPARE TRANSACTION ", Quoted(gid))));
  return absl::OkStatus();
}

Async<absl::Status> PostgresSession::Prepare(const GlobalTransaction& transaction, const CallContext& ctx) {
  const BranchOwner owner = {core_.options.deployment, core_.options.shard};
  QUARRY_CO_ASSIGN_OR_RETURN(const std::string gid, BranchGid(owner, transaction));
  const std::string id = transaction.id;
  if (!options_.transaction) co_return Ended();
  QUARRY_CO_RETURN_IF_ERROR(co_await Ready(ctx));
  // Without it a lost answer could not be looked up for certain.
  if (transaction_.empty()) QUARRY_CO_RETURN_IF_ERROR(co_await AskTransaction(true, ctx));
  ended_ = true;
  const BatchPtr batch = NewBatch();
  BoundWaits(batch, ctx);
  const absl::Status added = AddPrepare(batch, id, gid, kAnyAgeMs);
  QUARRY_CO_RETURN_IF_ERROR(added);
  ctx.stage = Stage::kCommit;
  Leased leased = std::move(leased_);
  Ending ending = {batch, transaction_, gid};
  const absl::Status status = co_await EndInBackground(core_, std::move(leased), std::move(ending), ctx.deadline);
  if (status.ok()) co_return status;
  co_return WithFact(Explained(core_, status), "transaction_id", id);
}

}  // namespace quarry::postgres
