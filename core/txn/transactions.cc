#include "core/txn/transactions.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/gather.h"
#include "core/base/status_macros.h"
#include "core/txn/transaction_id.h"

namespace quarry {
namespace {

constexpr size_t kSavepointNameMax = 63;
// Around a call whose writes stay or go together.
constexpr char kMakeMark[] = "SAVEPOINT quarry_task";
constexpr char kBackToMark[] = "ROLLBACK TO SAVEPOINT quarry_task";
constexpr char kReleaseMark[] = "RELEASE SAVEPOINT quarry_task";

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
      break;
  }
  return absl::StrCat("RELEASE SAVEPOINT \"user_", name, "\"");
}

absl::Status CannotGoBack(const absl::Status& cause) {
  if (EndsTransaction(cause)) return cause;
  return MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                   absl::StrCat("a failed write could not be undone, so the transaction was rolled back (",
                                std::string(cause.message()), "); run it again"));
}

bool LocksRows(const Task& task) {
  return std::any_of(task.steps.begin(), task.steps.end(), [](const Step& step) {
    return std::any_of(step.statements.begin(), step.statements.end(), [](const Statement& one) { return one.locks; });
  });
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
  const std::string make = kMakeMark;
  const std::string back = kBackToMark;
  const std::string release = kReleaseMark;
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
  bool single_shard = false;
  bool snapshot = false;
  absl::Duration idle_timeout;
  std::map<ShardId, std::unique_ptr<Session>> sessions;
  bool busy = false;
  bool committing = false;
  Timer idle;
  std::vector<Mark> savepoints;  // Oldest first; made on a session once it exists.
  absl::flat_hash_map<std::string, std::pair<uint64_t, TaskResult>> replies;  // By request id.
  std::vector<std::string> reply_order;

  std::vector<ShardId> shards() const {
    std::vector<ShardId> taken;
    for (const auto& [shard, session] : sessions) taken.push_back(shard);
    return taken;
  }
};

Transactions::Lease::Lease(Transactions& owner, std::shared_ptr<Transaction> transaction)
    : owner_(owner), transaction_(std::move(transaction)) {
  transaction_->busy = true;
  transaction_->idle.Cancel();
}

Transactions::Lease::~Lease() {
  if (!done_) owner_.End(transaction_, TransactionState::kRolledBack);
}

Session& Transactions::Lease::session(ShardId shard) { return *transaction_->sessions.at(shard); }

Async<absl::Status> Transactions::Lease::Mark(std::vector<ShardId> shards, const CallContext& ctx) {
  const std::string make = kMakeMark;
  for (const ShardId shard : shards) {
    const absl::Status made = co_await session(shard).Control(make, ctx);
    QUARRY_CO_RETURN_IF_ERROR(made);
  }
  co_return absl::OkStatus();
}

Async<absl::Status> Transactions::Lease::Unmark(std::vector<ShardId> shards, bool undo, const CallContext& ctx) {
  const std::string back = kBackToMark;
  const std::string release = kReleaseMark;
  for (const ShardId shard : shards) {
    absl::Status status;
    if (undo) status = co_await session(shard).Control(back, ctx);
    if (status.ok()) status = co_await session(shard).Control(release, ctx);
    if (!status.ok()) co_return CannotGoBack(status);
  }
  co_return absl::OkStatus();
}

absl::StatusOr<std::optional<TaskResult>> Transactions::Lease::StoredReply(const RequestGuard& guard) const {
  const auto stored = transaction_->replies.find(guard.request_id);
  if (stored == transaction_->replies.end()) return std::nullopt;
  if (stored->second.first != guard.request_hash) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kRequestIdReused,
                     "this request_id was used for another request; every request needs its own",
                     {{"request_id", guard.request_id}});
  }
  TaskResult result = stored->second.second;
  result.replayed = true;
  return std::optional<TaskResult>(std::move(result));
}

void Transactions::Lease::StoreReply(const RequestGuard& guard, const TaskResult& reply) {
  transaction_->replies.emplace(guard.request_id, std::make_pair(guard.request_hash, reply));
  transaction_->reply_order.push_back(guard.request_id);
}

void Transactions::Lease::Done(const absl::Status& status) {
  if (done_) return;
  done_ = true;
  transaction_->busy = false;
  if (EndsTransaction(status)) {
    owner_.End(transaction_, TransactionState::kRolledBack);
  } else if (ends_) {
    owner_.End(transaction_, TransactionState::kCommitted);
  } else {
    owner_.ArmIdleTimer(transaction_);
  }
}

Transactions::Transactions(Loop& loop, Random& random, uint32_t loop_index, TransactionOptions options,
                           std::function<std::vector<ShardParty>()> parties, Commits& commits, SnapshotCuts& cuts)
    : loop_(loop),
      random_(random),
      loop_index_(loop_index),
      options_(options),
      parties_(std::move(parties)),
      commits_(commits),
      cuts_(cuts) {}

Transactions::~Transactions() {
  alive_.reset();
  // Sessions roll back as they go.
  open_.clear();
}

std::string Transactions::NewId() {
  return MakeTransactionId({options_.instance, loop_index_}, random_);
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
    return InvalidField("idle_timeout", absl::StrCat("is more than 0 and at most ",
                                                     absl::FormatDuration(options_.idle_timeout_max)));
  }
  auto transaction = std::make_shared<Transaction>();
  transaction->id = NewId();
  transaction->single_shard = options.single_shard;
  transaction->snapshot = options.snapshot;
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

absl::StatusOr<std::vector<ShardId>> Transactions::ShardsOf(const std::string& id) const {
  QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, Find(id));
  return transaction->shards();
}

absl::StatusOr<bool> Transactions::IsSnapshot(const std::string& id) const {
  QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, Find(id));
  return transaction->snapshot;
}

Async<absl::Status> Transactions::Cut(const std::string& id, std::vector<ShardId> shards, const CallContext& ctx) {
  QUARRY_CO_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, FindIdle(id));
  if (!transaction->snapshot || !transaction->sessions.empty() || shards.empty()) co_return absl::OkStatus();
  Lease lease(*this, transaction);
  std::vector<ShardParty> parties = parties_();
  absl::StatusOr<CutSessions> sessions = co_await cuts_.Open(std::move(shards), std::move(parties), ctx);
  if (!sessions.ok()) co_return sessions.status();
  transaction->sessions = *std::move(sessions);
  lease.Done(absl::OkStatus());
  co_return absl::OkStatus();
}

void Transactions::Forget(const std::string& id) {
  const auto open = open_.find(id);
  if (open != open_.end()) End(std::shared_ptr<Transaction>(open->second), TransactionState::kCommitted);
}

absl::Status Transactions::CheckShards(const Transaction& transaction, const std::vector<ShardId>& shards) const {
  for (const ShardId shard : shards) {
    if (!transaction.snapshot || transaction.sessions.contains(shard)) continue;
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kCrossShardTransaction,
                     absl::StrCat("the cut of snapshot transaction ", transaction.id, " does not hold the shard that this call "
                                  "needs: the topology has changed since; begin another"),
                     {{"transaction", transaction.id}});
  }
  if (!transaction.single_shard) return absl::OkStatus();
  std::vector<ShardId> all = transaction.shards();
  all.insert(all.end(), shards.begin(), shards.end());
  std::sort(all.begin(), all.end());
  if (std::unique(all.begin(), all.end()) - all.begin() < 2) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kCrossShardTransaction,
                   absl::StrCat("transaction ", transaction.id, " was begun with single_shard, and this call needs another "
                                "shard than it has; keep to keys of one shard, or begin without single_shard"),
                   {{"transaction", transaction.id}});
}

Async<absl::Status> Transactions::CheckWriters(std::shared_ptr<Transaction> transaction, std::vector<ShardId> shards,
                                               const CallContext& ctx) {
  std::vector<ShardId> writers = std::move(shards);
  for (const auto& [shard, session] : transaction->sessions) {
    if (session->wrote()) writers.push_back(shard);
  }
  std::sort(writers.begin(), writers.end());
  writers.erase(std::unique(writers.begin(), writers.end()), writers.end());
  if (writers.size() < 2) co_return absl::OkStatus();
  const std::vector<ShardParty> all = parties_();
  std::vector<ShardParty> asked;
  for (const ShardId shard : writers) asked.push_back(all[Index(shard)]);
  const absl::Status able = co_await CheckTwoPhase(std::move(asked), ctx);
  co_return able;
}

Async<absl::Status> Transactions::Open(std::shared_ptr<Transaction> transaction, ShardId shard, const CallContext& ctx) {
  Backend& backend = *parties_()[Index(shard)].backend;
  absl::StatusOr<std::unique_ptr<Session>> session = co_await backend.Lease(transaction->options, ctx);
  if (!session.ok()) co_return session.status();
  for (const Transaction::Mark& mark : transaction->savepoints) {
    const std::string sql = SavepointSql(SavepointAction::kCreate, mark.name);
    const absl::Status made = co_await (*session)->Control(sql, ctx);
    if (!made.ok()) co_return made;
  }
  transaction->sessions.emplace(shard, *std::move(session));
  co_return absl::OkStatus();
}

Async<absl::StatusOr<std::unique_ptr<Transactions::Lease>>> Transactions::Use(const std::string& id,
                                                                              std::vector<ShardId> shards, bool writes,
                                                                              const CallContext& ctx) {
  QUARRY_CO_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, FindIdle(id));
  QUARRY_CO_RETURN_IF_ERROR(CheckShards(*transaction, shards));
  auto lease = std::make_unique<Lease>(*this, transaction);
  if (writes) {
    const absl::Status able = co_await CheckWriters(transaction, shards, ctx);
    if (!able.ok()) {
      lease->Done(absl::OkStatus());  // Nothing has happened: the transaction goes on without.
      co_return able;
    }
  }
  // Ascending, as all do, so that nobody waits for a place in a pool in a circle.
  std::sort(shards.begin(), shards.end());
  for (const ShardId shard : shards) {
    if (transaction->sessions.contains(shard)) continue;
    const absl::Status opened = co_await Open(transaction, shard, ctx);
    if (opened.ok()) continue;
    lease->Done(absl::OkStatus());  // What is not open there cannot be lost: the transaction may try again.
    co_return opened;
  }
  co_return lease;
}

Async<absl::StatusOr<TaskResult>> Transactions::Execute(const std::string& id, const Task& task, const CallContext& ctx) {
  const std::vector<ShardId> shards = {task.shard};
  absl::StatusOr<std::unique_ptr<Lease>> lease = co_await Use(id, shards, task.writes(), ctx);
  if (!lease.ok()) co_return lease.status();
  if (task.guard.has_value()) {
    absl::StatusOr<std::optional<TaskResult>> stored = (*lease)->StoredReply(*task.guard);
    if (!stored.ok() || stored->has_value()) {
      (*lease)->Done(absl::OkStatus());
      if (!stored.ok()) co_return stored.status();
      co_return **std::move(stored);
    }
  }
  absl::StatusOr<TaskResult> result = co_await RunWhole((*lease)->session(task.shard), task, ctx);
  (*lease)->Done(result.status());
  if (result.ok() && task.guard.has_value()) (*lease)->StoreReply(*task.guard, *result);
  co_return result;
}

Async<std::vector<absl::StatusOr<TaskResult>>> Transactions::ExecuteReads(const std::string& id,
                                                                          const std::vector<Task>& tasks,
                                                                          const CallContext& ctx) {
  std::vector<absl::StatusOr<TaskResult>> results;
  std::vector<ShardId> shards;
  for (const Task& task : tasks) shards.push_back(task.shard);
  absl::StatusOr<std::unique_ptr<Lease>> lease = co_await Use(id, shards, false, ctx);
  if (!lease.ok()) {
    results.push_back(lease.status());
    co_return results;
  }
  std::vector<Async<absl::StatusOr<TaskResult>>> work;
  for (const Task& task : tasks) work.push_back(RunSteps((*lease)->session(task.shard), task, ctx));
  // None is dropped half way: the transaction goes on after an error.
  GatherOptions options;
  options.stop_at_first_error = false;
  // Locks are taken in one order by all, so that nobody waits in a circle.
  if (std::any_of(tasks.begin(), tasks.end(), LocksRows)) options.width = 1;
  results = co_await Gather(ctx.loop, std::move(work), options);
  absl::Status worst;
  for (const absl::StatusOr<TaskResult>& result : results) {
    if (EndsTransaction(result.status())) worst = result.status();
  }
  (*lease)->Done(worst);
  co_return results;
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
  const std::string sql = SavepointSql(action, name);
  for (const auto& [shard, session] : transaction->sessions) {
    absl::Status status = co_await session->Control(sql, ctx);
    if (status.ok()) continue;
    // Made on some shards and not on others, it would mean nothing.
    if (transaction->sessions.size() > 1 && !EndsTransaction(status)) status = CannotGoBack(status);
    lease.Done(status);
    co_return status;
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

Async<CommitEnd> Transactions::Commit(const std::string& id, bool keep_decision, const CallContext& ctx) {
  CommitEnd end;
  end.outcome = CommitOutcome::kCommitted;
  const auto ended = ended_.find(id);
  if (ended != ended_.end() && ended->second.state == TransactionState::kCommitted) co_return end;
  const absl::StatusOr<std::shared_ptr<Transaction>> found = FindIdle(id);
  if (!found.ok()) {
    end.outcome = CommitOutcome::kRolledBack;
    end.status = found.status();
    co_return end;
  }
  const std::shared_ptr<Transaction>& transaction = *found;
  transaction->busy = true;
  transaction->committing = true;
  transaction->idle.Cancel();
  CommitWork work;
  work.transaction_id = id;
  work.keep_decision = keep_decision;
  for (auto& [shard, session] : transaction->sessions) work.parts.push_back({shard, std::move(session)});
  work.on_end = [this, transaction, weak = std::weak_ptr<bool>(alive_)](const CommitEnd& known) {
    if (weak.expired()) return;
    TransactionState state = TransactionState::kCommitted;
    if (known.outcome == CommitOutcome::kRolledBack) state = TransactionState::kRolledBack;
    if (known.outcome == CommitOutcome::kInDoubt) state = TransactionState::kInDoubt;
    End(transaction, state);
  };
  std::vector<ShardParty> parties = parties_();
  co_return co_await commits_.Run(std::move(work), std::move(parties), ctx);
}

Async<absl::Status> Transactions::Rollback(const std::string& id, const CallContext& ctx) {
  const auto ended = ended_.find(id);
  if (ended != ended_.end() && ended->second.state == TransactionState::kRolledBack) co_return absl::OkStatus();
  QUARRY_CO_ASSIGN_OR_RETURN(const std::shared_ptr<Transaction> transaction, FindIdle(id));
  Lease lease(*this, transaction);
  for (const auto& [shard, session] : transaction->sessions) {
    // Whatever it answers, the transaction is gone: a session that fails to roll back is closed.
    const absl::Status ignored = co_await session->Rollback(ctx);
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

absl::StatusOr<std::vector<ShardId>> Transactions::ShardsEverOf(const std::string& id) const {
  if (const auto open = open_.find(id); open != open_.end()) return open->second->shards();
  if (const auto ended = ended_.find(id); ended != ended_.end()) return ended->second.shards;
  return State(id).status();
}

absl::StatusOr<uint32_t> Transactions::LoopOf(const std::string& id) {
  QUARRY_ASSIGN_OR_RETURN(const TransactionOwner owner, ParseTransactionId(id));
  return owner.loop;
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
  ended_.emplace(transaction->id, Fate{state, transaction->shards()});
  transaction->sessions.clear();  // Rolls back what is open.
  ended_order_.push_back(transaction->id);
  if (ended_order_.size() > options_.remembered_max) {
    ended_.erase(ended_order_.front());
    ended_order_.pop_front();
  }
}

}  // namespace quarry
