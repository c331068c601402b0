#include "core/backend/postgres/session.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/backend/postgres/checks.h"
#include "core/backend/postgres/ending.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/raw_sql.h"
#include "core/backend/postgres/schema.h"
#include "core/backend/postgres/stream.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::postgres {
namespace {

constexpr char kSavepoint[] = "SAVEPOINT quarry_step";
constexpr char kRollbackTo[] = "ROLLBACK TO SAVEPOINT quarry_step";
constexpr char kRelease[] = "RELEASE SAVEPOINT quarry_step";

std::string BeginSql(const SessionOptions& options) {
  std::string sql = "BEGIN";
  switch (options.isolation) {
    case Isolation::kDefault:
      break;
    case Isolation::kReadCommitted:
      sql += " ISOLATION LEVEL READ COMMITTED";
      break;
    case Isolation::kRepeatableRead:
      sql += " ISOLATION LEVEL REPEATABLE READ";
      break;
    case Isolation::kSerializable:
      sql += " ISOLATION LEVEL SERIALIZABLE";
      break;
  }
  return sql + (options.read_only ? " READ ONLY" : " READ WRITE");
}

bool Writes(const Step& step) {
  return std::any_of(step.statements.begin(), step.statements.end(), [](const Statement& s) { return s.writes; });
}

// A user's own SQL may write whatever it is declared to do.
bool MayWrite(const Step& step) {
  return std::any_of(step.statements.begin(), step.statements.end(),
                     [](const Statement& s) { return s.writes || s.raw; });
}

}  // namespace

PostgresSession::PostgresSession(Core& core, Leased leased, const SessionOptions& options)
    : core_(core), options_(options), leased_(std::move(leased)), begun_(!options.transaction) {}

PostgresSession::~PostgresSession() = default;

absl::Status PostgresSession::Ended() const {
  return MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                   absl::StrCat("shard ", core_.options.shard, ": the transaction has ended; begin another"),
                   {{"shard", core_.options.shard}});
}

absl::Status PostgresSession::End(absl::Status status) {
  if (!options_.transaction) return status;
  ended_ = true;
  // Rolled back at once, for others may wait for its locks.
  const Leased back = std::move(leased_);
  return status;
}

BatchPtr PostgresSession::NewBatch() {
  auto batch = std::make_shared<Batch>();
  if (!begun_) batch->commands.push_back(Plain(BeginSql(options_)));
  begun_ = true;
  if (savepoint_) batch->commands.push_back(Plain(kRelease));
  savepoint_ = false;
  return batch;
}

void PostgresSession::BoundWaits(const BatchPtr& batch, const CallContext& ctx) {
  if (!options_.transaction || options_.read_only) return;
  const int64_t ms = LockTimeoutMs(core_.loop.Now(), ctx.deadline);
  if (ms == 0 || ms == lock_timeout_ms_) return;
  batch->commands.push_back(Plain(absl::StrCat("SET LOCAL lock_timeout = ", ms)));
  lock_timeout_ms_ = ms;
}

void PostgresSession::TakeTransaction(const Batch& batch, size_t position) {
  const std::vector<Row>& rows = batch.results[position].result.batch.rows;
  if (!rows.empty() && !rows[0][0].is_null()) transaction_ = rows[0][0].text();
  writes_untold_ = false;
}

void PostgresSession::OpenSavepoint(const BatchPtr& batch) {
  if (!options_.undo_steps) return;
  batch->commands.push_back(Plain(kSavepoint));
  savepoint_ = true;
  undo_ = true;
}

Async<absl::Status> PostgresSession::Run(BatchPtr batch, const CallContext& ctx, bool writes) {
  ctx.stage = Stage::kQuery;
  // A call that leaves early, by its deadline or dropped, takes its statement with it.
  absl::Cleanup interrupt = [this] { core_.StartInterrupt(leased_.get()); };
  const bool in_time = co_await leased_->Run(batch, ctx.deadline);
  if (!in_time) co_return DeadlineEnded(core_.options.shard, "query");
  std::move(interrupt).Cancel();
  // Only what committed waits for standbys: a statement that stands alone.
  if (batch->weak_commit) co_return NotConfirmed(core_.options.shard, transaction_);
  if (!batch->lost) co_return batch->FirstError();
  // What an open transaction had done is gone with its connection, for certain.
  const bool unknown = writes && !options_.transaction;
  co_return End(Lost(core_.options.shard, unknown, batch->lost_cause));
}

Async<absl::Status> PostgresSession::Undo(const CallContext& ctx) {
  if (!options_.transaction) co_return absl::OkStatus();
  const auto batch = std::make_shared<Batch>();
  batch->commands.push_back(Plain(kRollbackTo));
  const absl::Status status = co_await Run(batch, ctx, false);
  if (absl::IsDeadlineExceeded(status)) co_return status;
  undo_ = false;
  // Without the savepoint the transaction cannot go on.
  if (!status.ok()) co_return End(status);
  co_return absl::OkStatus();
}

Async<absl::Status> PostgresSession::Ready(const CallContext& ctx) {
  if (ended_ || leased_.get() == nullptr) co_return Ended();
  const bool settled = co_await core_.Settle(leased_.get(), ctx.deadline);
  if (!settled) co_return DeadlineEnded(core_.options.shard, "query");
  if (!leased_->usable()) {
    co_return End(Unavailable(core_.options.shard, leased_->lost_cause(), absl::Milliseconds(100)));
  }
  const PGTransactionStatusType state = leased_->transaction();
  if (!options_.transaction && state != PQTRANS_IDLE) {
    const auto batch = std::make_shared<Batch>();
    batch->commands.push_back(Plain("ROLLBACK"));
    const absl::Status rolled_back = co_await Run(batch, ctx, false);
    co_return rolled_back;
  }
  // A stream that ended in an error has failed the transaction up to its savepoint.
  if (savepoint_ && state == PQTRANS_INERROR) undo_ = true;
  if (!undo_) co_return absl::OkStatus();
  const absl::Status undone = co_await Undo(ctx);
  co_return undone;
}

absl::Status PostgresSession::CheckStatements(const Step& step) {
  for (const Statement& statement : step.statements) {
    if (!statement.raw) continue;
    QUARRY_RETURN_IF_ERROR(CheckRawSql(*statement.sql));
    leased_->dirty = true;
  }
  return absl::OkStatus();
}

Async<absl::Status> PostgresSession::PrepareStatements(std::vector<std::string> sql, const CallContext& ctx) {
  bool missing = false;
  for (const std::string& text : sql) missing = missing || leased_->FindPrepared(text) == nullptr;
  if (!missing) co_return absl::OkStatus();
  if (options_.transaction) {
    const BatchPtr batch = NewBatch();
    BoundWaits(batch, ctx);
    OpenSavepoint(batch);
    if (!batch->commands.empty()) QUARRY_CO_RETURN_IF_ERROR(co_await Run(batch, ctx, false));
  }
  absl::Cleanup interrupt = [this] {
    if (leased_.get() != nullptr) core_.StartInterrupt(leased_.get());
  };
  const std::vector<absl::Status> statuses = co_await leased_->Prepare(sql, &core_.type_names, ctx.deadline);
  for (const absl::Status& status : statuses) {
    if (status.ok()) continue;
    if (absl::IsUnavailable(status)) co_return End(status);
    co_return status;
  }
  std::move(interrupt).Cancel();
  co_return absl::OkStatus();
}

Async<absl::StatusOr<StepResult>> PostgresSession::RunStep(const Step& step, const CallContext& ctx) {
  const bool asks = transaction_.empty() && (writes_untold_ || MayWrite(step)) && !options_.read_only;
  std::vector<std::string> texts = Texts(step);
  if (asks) texts.emplace_back(kTransactionIfAny);
  QUARRY_CO_RETURN_IF_ERROR(co_await PrepareStatements(texts, ctx));
  // The savepoint that a Prepare needed serves the step too.
  BatchPtr batch = std::make_shared<Batch>();
  if (!undo_) {
    batch = NewBatch();
    BoundWaits(batch, ctx);
    OpenSavepoint(batch);
  }
  const size_t first = batch->commands.size();
  for (const Statement& statement : step.statements) {
    const PreparedPtr prepared = leased_->FindPrepared(*statement.sql);
    QUARRY_CO_ASSIGN_OR_RETURN(Command command, Bind(prepared, statement.params));
    batch->commands.push_back(std::move(command));
  }
  if (asks) {
    QUARRY_CO_ASSIGN_OR_RETURN(Command ask, Bind(leased_->FindPrepared(kTransactionIfAny), {}));
    batch->commands.push_back(std::move(ask));
  }
  core_.statements += static_cast<int64_t>(step.statements.size());
  QUARRY_CO_RETURN_IF_ERROR(co_await Run(batch, ctx, Writes(step)));
  if (asks) TakeTransaction(*batch, batch->results.size() - 1);
  co_return Results(step, *batch, first);
}

// Without a transaction around it: one Sync makes the step atomic, unless a check must be able to undo it.
Async<absl::StatusOr<StepResult>> PostgresSession::RunAlone(const Step& step, const CallContext& ctx) {
  const std::vector<std::string> texts = Texts(step);
  QUARRY_CO_RETURN_IF_ERROR(co_await PrepareStatements(texts, ctx));
  const bool undoable = NeedsUndo(step);
  const auto batch = std::make_shared<Batch>();
  if (undoable) batch->commands.push_back(Plain("BEGIN"));
  const size_t first = batch->commands.size();
  for (const Statement& statement : step.statements) {
    const PreparedPtr prepared = leased_->FindPrepared(*statement.sql);
    QUARRY_CO_ASSIGN_OR_RETURN(Command command, Bind(prepared, statement.params));
    batch->commands.push_back(std::move(command));
  }
  core_.statements += static_cast<int64_t>(step.statements.size());
  const absl::Status ran = co_await Run(batch, ctx, Writes(step));
  if (!undoable) {
    if (!ran.ok()) co_return ran;
    co_return Results(step, *batch, first);
  }
  if (!ran.ok() && !leased_->idle()) co_return ran;
  absl::StatusOr<StepResult> result(ran);
  if (ran.ok()) result = Results(step, *batch, first);
  const auto end = std::make_shared<Batch>();
  end->commits = result.ok();
  end->commands.push_back(Plain(result.ok() ? "COMMIT" : "ROLLBACK"));
  const absl::Status ended = co_await Run(end, ctx, true);
  if (result.ok() && !ended.ok()) co_return ended;
  co_return result;
}

Async<absl::StatusOr<StepResult>> PostgresSession::Execute(const Step& step, const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(co_await Ready(ctx));
  QUARRY_CO_RETURN_IF_ERROR(CheckStatements(step));
  if (UsesOwnTables(step) && !core_.tables_ready) {
    const absl::Status made = co_await EnsureTables(core_, OwnTables::kAll, ctx.deadline);
    if (!made.ok()) co_return made;
  }
  if (!options_.transaction) {
    absl::StatusOr<StepResult> alone = co_await RunAlone(step, ctx);
    co_return alone;
  }
  absl::StatusOr<StepResult> result = co_await RunStep(step, ctx);
  if (result.ok()) {
    undo_ = false;
    co_return result;
  }
  const bool aborted = absl::IsAborted(result.status()) && ReasonOf(result.status()) != reason::kEtagMismatch;
  if (aborted || !options_.undo_steps) End(result.status()).IgnoreError();
  if (ended_ || !undo_ || !leased_->idle()) co_return result;
  const absl::Status undone = co_await Undo(ctx);
  if (absl::IsUnavailable(undone)) co_return undone;
  co_return result;
}

Async<absl::StatusOr<std::unique_ptr<RowStream>>> PostgresSession::Open(const Statement& statement,
                                                                        const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(co_await Ready(ctx));
  if (statement.raw) {
    QUARRY_CO_RETURN_IF_ERROR(CheckRawSql(*statement.sql));
    leased_->dirty = true;
  }
  const std::vector<std::string> texts = {*statement.sql};
  const absl::Status known = co_await PrepareStatements(texts, ctx);
  if (!known.ok()) {
    if (undo_ && !ended_ && leased_->idle()) (co_await Undo(ctx)).IgnoreError();
    if (options_.transaction && !options_.undo_steps && !ended_) co_return End(known);
    co_return known;
  }
  const PreparedPtr prepared = leased_->FindPrepared(*statement.sql);
  QUARRY_CO_ASSIGN_OR_RETURN(Command command, Bind(prepared, statement.params));
  if (options_.transaction && !undo_) {
    const BatchPtr batch = NewBatch();
    BoundWaits(batch, ctx);
    OpenSavepoint(batch);
    if (!batch->commands.empty()) QUARRY_CO_RETURN_IF_ERROR(co_await Run(batch, ctx, false));
  }
  undo_ = false;
  if (options_.transaction && !options_.read_only && (statement.writes || statement.raw)) writes_untold_ = true;
  ++core_.statements;
  const auto state = std::make_shared<StreamState>();
  leased_->SendStream(std::move(command), state);
  const bool unknown = statement.writes && !options_.transaction;
  co_return std::make_unique<PostgresStream>(core_.options.shard, prepared->header, unknown, state, [this] {
    undo_ = options_.transaction;
    core_.StartInterrupt(leased_.get());
  });
}

Async<absl::Status> PostgresSession::Control(const std::string& sql, const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(co_await Ready(ctx));
  const BatchPtr batch = NewBatch();
  batch->commands.push_back(Plain(sql));
  // A savepoint that is gone back to brings back its settings.
  lock_timeout_ms_ = 0;
  const absl::Status status = co_await Run(batch, ctx, false);
  // PostgreSQL fails the whole transaction for a wrong savepoint name.
  if (!status.ok() && leased_->idle() && leased_->transaction() == PQTRANS_INERROR) co_return End(status);
  co_return status;
}

}  // namespace quarry::postgres
