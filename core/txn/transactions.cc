#include "core/txn/transactions.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

constexpr size_t kSavepointNameMax = 63;

absl::Status Ended(const std::string& id, TransactionState state) {
  switch (state) {
    case TransactionState::kCommitted:
      return MakeError(absl::StatusCode::kFailedPrecondition, reason::kTransactionCommitted,
                       absl::StrCat("transaction ", id, " is committed"), {{"transaction", id}});
    case TransactionState::kInDoubt:
      return MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
                       absl::StrCat("the commit of transaction ", id, " has no known outcome yet; ask GetTransaction"),
                       {{"transaction", id}});
    default:
      return MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                       absl::StrCat("transaction ", id,
                                    " was rolled back (an error, its idle timeout, or a lost call); run it again"),
                       {{"transaction", id}});
  }
}

bool EndsTransaction(const absl::Status& status) {
  return absl::IsAborted(status) ? ReasonOf(status) != reason::kEtagMismatch
                                 : absl::IsUnavailable(status) || absl::IsUnknown(status) ||
                                       absl::IsDeadlineExceeded(status) || absl::IsDataLoss(status);
}

absl::Status CheckSavepointName(const std::string& name) {
  const bool starts = !name.empty() && (absl::ascii_isalpha(static_cast<unsigned char>(name[0])) || name[0] == '_');
  const bool rest = std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  });
  if (starts && rest && name.size() <= kSavepointNameMax) return absl::OkStatus();
  return InvalidField("name", "is a letter or _, then letters, digits or _, at most 63 in all");
}

// The prefix keeps users' names apart from those that backends use for their own steps.
std::string SavepointSql(SavepointAction action, const std::string& name) {
  switch (action) {
    case SavepointAction::kCreate:
      return absl::StrCat("SAVEPOINT \"user_", name, "\"");
    case SavepointAction::kRollbackTo:
      return absl::StrCat("ROLLBACK TO SAVEPOINT \"user_", name, "\"");
    case SavepointAction::kRelease:
      return absl::StrCat("RELEASE SAVEPOINT \"user_", name, "\"");
  }
  return "";
}

}  // namespace

struct Transactions::Transaction {
  std::string id;
  SessionOptions options;
  absl::Duration idle_timeout;
  std::optional<ShardId> shard;
  std::unique_ptr<Session> session;
  bool busy = false;
  bool committing = false;
  Timer idle;
  std::vector<std::string> savepoints;  // Oldest first; made on the session once it exists.
  absl::flat_hash_map<std::string, std::pair<uint64_t, TaskResult>> replies;  // By request id.
};

struct Transactions::CommitJob {
  explicit CommitJob(Loop& loop) : ctx(loop), done(loop) {}
  CallContext ctx;
  Completer<absl::Status> done;
  Running running;
};

Transactions::Lease::Lease(Transactions& owner, std::shared_ptr<Transaction> transaction)
    : owner_(owner), transaction_(std::move(transaction)) {
  transaction_->busy = true;
  transaction_->idle.Cancel();
}

Transactions::Lease::~Lease() {
  if (!done_) owner_.End(transaction_, TransactionState::kRolledBack);
}

Session& Transactions::Lease::session() { return *transaction_->session; }

void Transactions::Lease::Done(const absl::Status& status) {
  if (done_) return;
  done_ = true;
  transaction_->busy = false;
  if (EndsTransaction(status)) {
    owner_.End(transaction_, TransactionState::kRolledBack);
  } else {
    owner_.ArmIdleTimer(transaction_);
  }
}

Transactions::Transactions(Loop& loop, Random& random, uint32_t loop_index, TransactionOptions options)
    : loop_(loop), random_(random), loop_index_(loop_index), options_(options) {}

Transactions::~Transactions() {
  commits_.clear();
  // Sessions roll back as they go.
  open_.clear();
}

absl::StatusOr<std::string> Transactions::Begin(const BeginOptions& options) {
  if (open_.size() >= options_.open_max) {
    ErrorDetail detail;
    detail.reason = reason::kLimitExceeded;
    detail.facts = {{"open", absl::StrCat(open_.size())}};
    detail.retry_after = absl::Seconds(1);
    return MakeError(absl::StatusCode::kResourceExhausted,
                     absl::StrCat(open_.size(), " transactions are open on this loop already (transactions.open_max); "
                                  "commit or roll back some"),
                     detail);
  }
  if (options.idle_timeout < absl::ZeroDuration() || options.idle_timeout > options_.idle_timeout_max) {
    return InvalidField("idle_timeout", absl::StrCat("is between 0 and ",
                                                     absl::FormatDuration(options_.idle_timeout_max)));
  }
  auto transaction = std::make_shared<Transaction>();
  transaction->id = absl::StrFormat("t1-%02x-%016x%016x", loop_index_, random_.Next(), random_.Next());
  transaction->options.transaction = true;
  transaction->options.read_only = options.read_only;
  transaction->options.isolation = options.isolation;
  transaction->idle_timeout =
      options.idle_timeout == absl::ZeroDuration() ? options_.idle_timeout_default : options.idle_timeout;
  open_.emplace(transaction->id, transaction);
  ArmIdleTimer(transaction);
  return transaction->id;
}

absl::StatusOr<absl::Duration> Transactions::IdleTimeoutOf(const std::string& id) const {
  QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, Find(id));
  return transaction->idle_timeout;
}

absl::StatusOr<bool> Transactions::ReadOnly(const std::string& id) const {
  QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, Find(id));
  return transaction->options.read_only;
}

absl::StatusOr<std::optional<ShardId>> Transactions::ShardOf(const std::string& id) const {
  QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, Find(id));
  return transaction->shard;
}

Async<absl::StatusOr<std::unique_ptr<Transactions::Lease>>> Transactions::Use(const std::string& id, ShardId shard,
                                                                              Backend& backend,
                                                                              const CallContext& ctx) {
  QUARRY_CO_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, FindIdle(id));
  if (transaction->shard.value_or(shard) != shard) {
    co_return MakeError(absl::StatusCode::kFailedPrecondition, reason::kCrossShardTransaction,
                        absl::StrCat("transaction ", id, " works on another shard than this statement's; a transaction "
                                     "takes one shard, so keep to keys of one shard"),
                        {{"transaction", id}});
  }
  auto lease = std::make_unique<Lease>(*this, transaction);
  if (transaction->session != nullptr) co_return lease;
  absl::StatusOr<std::unique_ptr<Session>> session = co_await backend.Lease(transaction->options, ctx);
  if (!session.ok()) {
    lease->Done(absl::OkStatus());  // Nothing has happened yet: the transaction may try again.
    co_return session.status();
  }
  transaction->session = *std::move(session);
  transaction->shard = shard;
  for (const std::string& name : transaction->savepoints) {
    const std::string sql = SavepointSql(SavepointAction::kCreate, name);
    const absl::Status made = co_await transaction->session->Control(sql, ctx);
    if (!made.ok()) {
      lease->Done(made);
      co_return made;
    }
  }
  co_return lease;
}

Async<absl::StatusOr<TaskResult>> Transactions::Execute(const std::string& id, const Task& task, Backend& backend,
                                                        const CallContext& ctx) {
  QUARRY_CO_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, FindIdle(id));
  if (task.guard.has_value()) {
    const auto stored = transaction->replies.find(task.guard->request_id);
    if (stored != transaction->replies.end()) {
      if (stored->second.first != task.guard->request_hash) {
        co_return MakeError(absl::StatusCode::kInvalidArgument, reason::kRequestIdReused,
                            "this request_id was used for another request; every request needs its own",
                            {{"request_id", task.guard->request_id}});
      }
      TaskResult result = stored->second.second;
      result.replayed = true;
      co_return result;
    }
  }
  absl::StatusOr<std::unique_ptr<Lease>> lease = co_await Use(id, task.shard, backend, ctx);
  if (!lease.ok()) co_return lease.status();
  TaskResult result;
  for (const Step& step : task.steps) {
    absl::StatusOr<StepResult> answer = co_await (*lease)->session().Execute(step, ctx);
    const bool ends = !answer.ok() && EndsTransaction(answer.status());
    if (!answer.ok() && (ends || task.atomicity == Atomicity::kAll)) {
      (*lease)->Done(answer.status());
      co_return WithFact(answer.status(), "item", absl::StrCat(step.item));
    }
    StepResult kept;
    if (answer.ok()) {
      kept = *std::move(answer);
    } else {
      kept.status = answer.status();
    }
    result.steps.push_back(std::move(kept));
  }
  (*lease)->Done(absl::OkStatus());
  if (task.guard.has_value()) {
    transaction->replies.emplace(task.guard->request_id, std::make_pair(task.guard->request_hash, result));
  }
  co_return result;
}

Async<absl::Status> Transactions::Savepoint(const std::string& id, SavepointAction action, const std::string& name,
                                            const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(CheckSavepointName(name));
  QUARRY_CO_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, FindIdle(id));
  std::vector<std::string>& names = transaction->savepoints;
  // The newest of a name hides older ones.
  const auto newest = std::find(names.rbegin(), names.rend(), name);
  if (action != SavepointAction::kCreate && newest == names.rend()) {
    co_return MakeError(absl::StatusCode::kNotFound, reason::kSavepointNotFound,
                        absl::StrCat("transaction ", id, " has no savepoint named ", name), {{"savepoint", name}});
  }
  Lease lease(*this, transaction);
  if (transaction->session != nullptr) {
    const std::string sql = SavepointSql(action, name);
    const absl::Status status = co_await transaction->session->Control(sql, ctx);
    if (!status.ok()) {
      lease.Done(status);
      co_return status;
    }
  }
  if (action == SavepointAction::kCreate) {
    names.push_back(name);
  } else {
    const auto position = names.size() - 1 - static_cast<size_t>(std::find(names.rbegin(), names.rend(), name) -
                                                                 names.rbegin());
    names.resize(action == SavepointAction::kRollbackTo ? position + 1 : position);
  }
  lease.Done(absl::OkStatus());
  co_return absl::OkStatus();
}

Async<absl::Status> Transactions::FinishCommit(std::shared_ptr<Transaction> transaction, CommitJob* job) {
  absl::Status status = absl::OkStatus();
  if (transaction->session != nullptr) status = co_await transaction->session->Commit(job->ctx);
  if (status.ok()) {
    End(transaction, TransactionState::kCommitted);
  } else if (absl::IsUnknown(status)) {
    status = WithFact(status, "transaction", transaction->id);
    End(transaction, TransactionState::kInDoubt);
  } else {
    End(transaction, TransactionState::kRolledBack);
  }
  co_return status;
}

Async<absl::Status> Transactions::Commit(const std::string& id, const CallContext& ctx) {
  const auto ended = ended_.find(id);
  if (ended != ended_.end() && ended->second == TransactionState::kCommitted) co_return absl::OkStatus();
  QUARRY_CO_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, FindIdle(id));
  transaction->busy = true;
  transaction->committing = true;
  transaction->idle.Cancel();
  ctx.stage = Stage::kCommit;
  // The job is owned here, not by the caller: a commit is never cancelled.
  const auto job = commits_.insert(commits_.end(), std::make_unique<CommitJob>(loop_));
  CommitJob* const work = job->get();
  work->ctx.deadline = loop_.Now() + options_.commit_timeout;
  work->ctx.call_id = ctx.call_id;
  Completer<absl::Status> done = work->done;
  Future<absl::Status> outcome = done.future();
  work->running = Running(FinishCommit(transaction, work), [this, job, done](absl::Status status) mutable {
    done.Set(std::move(status));
    loop_.Defer([this, job] { commits_.erase(job); });
  });
  const Timer timer(loop_, ctx.deadline, [done, id]() mutable { done.Set(Ended(id, TransactionState::kInDoubt)); });
  co_return co_await outcome;
}

Async<absl::Status> Transactions::Rollback(const std::string& id, const CallContext& ctx) {
  const auto ended = ended_.find(id);
  if (ended != ended_.end() && ended->second == TransactionState::kRolledBack) co_return absl::OkStatus();
  QUARRY_CO_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, FindIdle(id));
  Lease lease(*this, transaction);
  if (transaction->session != nullptr) {
    // Whatever it answers, the transaction is gone: a session that fails to roll back is closed.
    const absl::Status ignored = co_await transaction->session->Rollback(ctx);
  }
  co_return absl::OkStatus();
}

absl::StatusOr<TransactionState> Transactions::State(const std::string& id) const {
  if (const auto open = open_.find(id); open != open_.end()) {
    return open->second->committing ? TransactionState::kInDoubt : TransactionState::kActive;
  }
  if (const auto ended = ended_.find(id); ended != ended_.end()) return ended->second;
  return MakeError(absl::StatusCode::kNotFound, reason::kTransactionNotFound,
                   absl::StrCat("no transaction ", id, " is known: it never was, or it ended too long ago"),
                   {{"transaction", id}});
}

absl::StatusOr<uint32_t> Transactions::LoopOf(const std::string& id) {
  uint32_t loop = 0;
  if (id.size() != 38 || !absl::StartsWith(id, "t1-") || id[5] != '-' ||
      !absl::SimpleHexAtoi(id.substr(3, 2), &loop)) {
    return InvalidField("transaction_id", "is not an id that Begin has given");
  }
  return loop;
}

absl::StatusOr<std::shared_ptr<Transactions::Transaction>> Transactions::Find(const std::string& id) const {
  if (const auto open = open_.find(id); open != open_.end()) return open->second;
  QUARRY_ASSIGN_OR_RETURN(const TransactionState state, State(id));
  return Ended(id, state);
}

absl::StatusOr<std::shared_ptr<Transactions::Transaction>> Transactions::FindIdle(const std::string& id) const {
  QUARRY_ASSIGN_OR_RETURN(std::shared_ptr<Transaction> transaction, Find(id));
  if (transaction->committing) return Ended(id, TransactionState::kInDoubt);
  if (transaction->busy) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kTransactionBusy,
                     absl::StrCat("another call uses transaction ", id, "; send its calls one after the other"),
                     {{"transaction", id}});
  }
  return transaction;
}

void Transactions::ArmIdleTimer(const std::shared_ptr<Transaction>& transaction) {
  transaction->idle = Timer(loop_, loop_.Now() + transaction->idle_timeout,
                            [this, weak = std::weak_ptr<Transaction>(transaction)] {
                              const std::shared_ptr<Transaction> idle = weak.lock();
                              if (idle != nullptr && !idle->busy) End(idle, TransactionState::kRolledBack);
                            });
}

void Transactions::End(const std::shared_ptr<Transaction>& transaction, TransactionState state) {
  if (open_.erase(transaction->id) == 0) return;
  transaction->idle.Cancel();
  transaction->session.reset();  // Rolls back what is open.
  ended_.emplace(transaction->id, state);
  ended_order_.push_back(transaction->id);
  if (ended_order_.size() > options_.remembered_max) {
    ended_.erase(ended_order_.front());
    ended_order_.pop_front();
  }
}

}  // namespace quarry
