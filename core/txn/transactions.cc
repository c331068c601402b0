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

absl::Status CannotGoBack(const absl::Status& cause) {
  if (EndsTransaction(cause)) return cause;
  return MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                   absl::StrCat("a failed write could not be undone, so the transaction was rolled back (",
                                std::string(cause.message()), "); run it again"));
}

Async<absl::StatusOr<TaskResult>> RunSteps(Session& session, const Task& task, const CallContext& ctx) {
  TaskResult result;
  for (const Step& step : task.steps) {
    absl::StatusOr<StepResult> answer = co_await session.Execute(step, ctx);
    const bool fails_all = !answer.ok() && (task.atomicity == Atomicity::kAll || EndsTransaction(answer.status()));
    if (fails_all) co_return WithFact(answer.status(), "item", absl::StrCat(step.item));
    StepResult kept;
    if (answer.ok()) {
      kept = *std::move(answer);
    } else {
      kept.status = answer.status();
    }
    result.steps.push_back(std::move(kept));
  }
  co_return result;
}

// Of a write that is atomic nothing remains when one of its steps fails, though the transaction goes on.
Async<absl::StatusOr<TaskResult>> RunWhole(Session& session, const Task& task, const CallContext& ctx) {
  if (task.atomicity == Atomicity::kEach || task.steps.size() < 2 || !task.writes()) {
    co_return co_await RunSteps(session, task, ctx);
  }
  const std::string make = "SAVEPOINT quarry_task";
  const std::string back = "ROLLBACK TO SAVEPOINT quarry_task";
  const std::string release = "RELEASE SAVEPOINT quarry_task";
  const absl::Status made = co_await session.Control(make, ctx);
  QUARRY_CO_RETURN_IF_ERROR(made);
  absl::StatusOr<TaskResult> result = co_await RunSteps(session, task, ctx);
  if (!result.ok() && EndsTransaction(result.status())) co_return result;
  if (!result.ok()) {
    const absl::Status undone = co_await session.Control(back, ctx);
    if (!undone.ok()) co_return CannotGoBack(undone);
  }
  const absl::Status released = co_await session.Control(release, ctx);
  if (!released.ok()) co_return CannotGoBack(released);
  co_return result;
}

}  // namespace

bool EndsTransaction(const absl::Status& status) {
  return absl::IsAborted(status) ? ReasonOf(status) != reason::kEtagMismatch
                                 : absl::IsUnavailable(status) || absl::IsUnknown(status) ||
                                       absl::IsDeadlineExceeded(status) || absl::IsDataLoss(status);
}

struct Transactions::Transaction {
  struct Mark {
    std::string name;
    size_t replies = 0;  // Stored when it was made: going back to it forgets the later ones.
  };
  std::string id;
  SessionOptions options;
  absl::Duration idle_timeout;
  std::optional<ShardId> shard;
  std::unique_ptr<Session> session;
  bool busy = false;
  bool committing = false;
  Timer idle;
  std::vector<Mark> savepoints;  // Oldest first; made on the session once it exists.
  absl::flat_hash_map<std::string, std::pair<uint64_t, TaskResult>> replies;  // By request id.
  std::vector<std::string> reply_order;
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
    : loop_(loop),
      random_(random),
      loop_index_(loop_index),
      options_(options),
      commits_(std::make_shared<CommitJobs>()) {}

Transactions::~Transactions() {
  commits_.reset();
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
  for (const Transaction::Mark& mark : transaction->savepoints) {
    const std::string sql = SavepointSql(SavepointAction::kCreate, mark.name);
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
      ArmIdleTimer(transaction);
      co_return result;
    }
  }
  absl::StatusOr<std::unique_ptr<Lease>> lease = co_await Use(id, task.shard, backend, ctx);
  if (!lease.ok()) co_return lease.status();
  absl::StatusOr<TaskResult> result = co_await RunWhole((*lease)->session(), task, ctx);
  (*lease)->Done(result.status());
  if (result.ok() && task.guard.has_value()) {
    transaction->replies.emplace(task.guard->request_id, std::make_pair(task.guard->request_hash, *result));
    transaction->reply_order.push_back(task.guard->request_id);
  }
  co_return result;
}

Async<absl::Status> Transactions::Savepoint(const std::string& id, SavepointAction action, const std::string& name,
                                            const CallContext& ctx) {
  QUARRY_CO_RETURN_IF_ERROR(CheckSavepointName(name));
  QUARRY_CO_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, FindIdle(id));
  std::vector<Transaction::Mark>& marks = transaction->savepoints;
  // The newest of a name hides older ones.
  const auto newest =
      std::find_if(marks.rbegin(), marks.rend(), [&name](const Transaction::Mark& mark) { return mark.name == name; });
  const size_t upto = static_cast<size_t>(marks.rend() - newest);  // How many there are with it; 0: none of the name.
  if (action != SavepointAction::kCreate && upto == 0) {
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
    Transaction::Mark mark;
    mark.name = name;
    mark.replies = transaction->reply_order.size();
    marks.push_back(std::move(mark));
  } else if (action == SavepointAction::kRelease) {
    marks.resize(upto - 1);
  } else {
    marks.resize(upto);
    while (transaction->reply_order.size() > marks.back().replies) {
      transaction->replies.erase(transaction->reply_order.back());
      transaction->reply_order.pop_back();
    }
  }
  lease.Done(absl::OkStatus());
  co_return absl::OkStatus();
}

Async<absl::Status> Transactions::FinishCommit(std::shared_ptr<Transaction> transaction, CommitJob* job) {
  absl::Status status = absl::OkStatus();
  if (transaction->session != nullptr) status = co_await transaction->session->Commit(job->ctx);
  // A deadline that ends there says nothing of what the database has done.
  if (absl::IsDeadlineExceeded(status)) status = Ended(transaction->id, TransactionState::kInDoubt);
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
  if (ended != ended_.end() && ended->second.state == TransactionState::kCommitted) co_return absl::OkStatus();
  QUARRY_CO_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, FindIdle(id));
  transaction->busy = true;
  transaction->committing = true;
  transaction->idle.Cancel();
  ctx.stage = Stage::kCommit;
  // The job is owned here, not by the caller: a commit is never cancelled.
  const auto job = commits_->insert(commits_->end(), std::make_unique<CommitJob>(loop_));
  CommitJob* const work = job->get();
  work->ctx.deadline = loop_.Now() + options_.commit_timeout;
  work->ctx.call_id = ctx.call_id;
  Completer<absl::Status> done = work->done;
  Future<absl::Status> outcome = done.future();
  work->running = Running(FinishCommit(transaction, work), [this, job, done](absl::Status status) mutable {
    done.Set(std::move(status));
    loop_.Defer([weak = std::weak_ptr<CommitJobs>(commits_), job] {
      if (const std::shared_ptr<CommitJobs> commits = weak.lock()) commits->erase(job);
    });
  });
  const Timer timer(loop_, ctx.deadline, [done, id]() mutable { done.Set(Ended(id, TransactionState::kInDoubt)); });
  co_return co_await outcome;
}

Async<absl::Status> Transactions::Rollback(const std::string& id, const CallContext& ctx) {
  const auto ended = ended_.find(id);
  if (ended != ended_.end() && ended->second.state == TransactionState::kRolledBack) co_return absl::OkStatus();
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
  if (const auto ended = ended_.find(id); ended != ended_.end()) return ended->second.state;
  return MakeError(absl::StatusCode::kNotFound, reason::kTransactionNotFound,
                   absl::StrCat("no transaction ", id, " is known: it never was, or it ended too long ago"),
                   {{"transaction", id}});
}

absl::StatusOr<std::optional<ShardId>> Transactions::ShardEverOf(const std::string& id) const {
  if (const auto open = open_.find(id); open != open_.end()) return open->second->shard;
  if (const auto ended = ended_.find(id); ended != ended_.end()) return ended->second.shard;
  return State(id).status();
}

absl::StatusOr<uint32_t> Transactions::LoopOf(const std::string& id) {
  uint32_t loop = 0;
  const auto hex = [&id](size_t from, size_t count) {
    return std::all_of(id.begin() + static_cast<std::ptrdiff_t>(from),
                       id.begin() + static_cast<std::ptrdiff_t>(from + count),
                       [](unsigned char c) { return absl::ascii_isxdigit(c); });
  };
  if (id.size() != 38 || !absl::StartsWith(id, "t1-") || id[5] != '-' || !hex(3, 2) || !hex(6, 32) ||
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
  ended_.emplace(transaction->id, Fate{state, transaction->shard});
  ended_order_.push_back(transaction->id);
  if (ended_order_.size() > options_.remembered_max) {
    ended_.erase(ended_order_.front());
    ended_order_.pop_front();
  }
}

}  // namespace quarry
