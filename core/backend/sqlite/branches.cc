#include "core/backend/sqlite/branches.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/backend/sqlite/errors.h"
#include "core/backend/sqlite/outcomes.h"
#include "core/backend/sqlite/replay.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::sqlite {
namespace {

// A deferred foreign key that does not hold yet would fail the commit that has been promised.
absl::Status CheckDeferredKeys(const Connection& connection) {
  int broken = 0;
  int ignored = 0;
  sqlite3_db_status(connection.handle(), SQLITE_DBSTATUS_DEFERRED_FKS, &broken, &ignored, 0);
  if (broken == 0) return absl::OkStatus();
  return ErrorOf(connection.handle(), SQLITE_CONSTRAINT_FOREIGNKEY, connection.shard());
}

// A damaged sidecar or branch is told as what it does to the shard; other errors may pass.
bool IsDamage(const absl::Status& status) { return status.code() == absl::StatusCode::kDataLoss; }

}  // namespace

Branches::Branches(ConnectionOptions connection, std::shared_ptr<Gate> gate, std::shared_ptr<WriterQueue> queue,
                   OnQuarantine on_quarantine)
    : connection_(std::move(connection)),
      gate_(std::move(gate)),
      queue_(std::move(queue)),
      on_quarantine_(std::move(on_quarantine)),
      store_(connection_) {}

void Branches::Adopt(Connection& connection) {
  const absl::StatusOr<std::vector<StoredBranch>> stored = store_.List();
  std::shared_ptr<Lane> lane;
  absl::Status damage = stored.status();
  if (stored.ok()) {
    for (const StoredBranch& branch : *stored) {
      const absl::StatusOr<bool> committed = HasPart(connection, branch.transaction.id);
      if (!committed.ok()) damage = committed.status();
      if (committed.ok() && *committed) {
        store_.Remove(branch.transaction.id).IgnoreError();
        continue;
      }
      if (lane == nullptr) lane = queue_->HoldFromStart();
      Entry entry{branch.transaction, branch.created, State::kStored, lane, {}};
      if (std::optional<Gate::Pass> pass = gate_->TryEnter(Gate::Mode::kShared)) entry.pass = *std::move(pass);
      absl::MutexLock lock(&mutex_);
      entries_.emplace(branch.transaction.id, std::move(entry));
    }
  }
  if (damage.ok()) return;
  if (lane == nullptr) lane = queue_->HoldFromStart();
  {
    absl::MutexLock lock(&mutex_);
    quarantine_lane_ = lane;
  }
  Quarantine(std::string(damage.message())).IgnoreError();
}

void Branches::Close() {
  store_.Close();
  before_.reset();
  std::map<std::string, Entry> dropped;
  std::shared_ptr<Lane> lane;
  absl::MutexLock lock(&mutex_);
  dropped.swap(entries_);
  lane.swap(quarantine_lane_);
}

void Branches::Announce(const GlobalTransaction& transaction, std::shared_ptr<Lane> lane) {
  Entry entry{transaction, absl::Now(), State::kPreparing, std::move(lane), {}};
  absl::MutexLock lock(&mutex_);
  entries_.emplace(transaction.id, std::move(entry));
}

absl::Status Branches::Record(Connection& connection, const GlobalTransaction& transaction, absl::Time now) {
  if (!connection.in_transaction() || connection.recorder() == nullptr) return TransactionEnded(connection.shard());
  Recorder& recorder = *connection.recorder();
  if (before_ == nullptr) {
    QUARRY_ASSIGN_OR_RETURN(before_, Connection::Open(connection_, Connection::Mode::kRead));
  }
  QUARRY_ASSIGN_OR_RETURN(const std::string changeset, recorder.Changeset(*before_, fit_tables_));
  recorder.Pause();
  const absl::Status part = InsertPart(connection, transaction.id, now);
  recorder.Resume();
  QUARRY_RETURN_IF_ERROR(part);
  QUARRY_RETURN_IF_ERROR(CheckDeferredKeys(connection));
  const absl::Status stored = store_.Store(StoredBranch{transaction, now}, changeset);
  if (stored.ok()) return stored;
  return TwoPhaseUnavailable(connection.shard(), absl::StrCat("its branch cannot be stored in ", store_.file(), " (",
                                                              std::string(stored.message()), ")"));
}

absl::Status Branches::Prepare(Connection& connection, const GlobalTransaction& transaction, Gate::Pass pass) {
  const absl::Time now = absl::Now();
  const absl::Status status = Record(connection, transaction, now);
  if (!status.ok()) {
    connection.Rollback();
    Forget(transaction.id);
    return status;
  }
  absl::MutexLock lock(&mutex_);
  Entry& entry = entries_[transaction.id];
  entry.created = now;
  entry.state = State::kOpen;
  entry.pass = std::move(pass);
  return absl::OkStatus();
}

absl::Status Branches::CommitOpen(Connection& connection, const std::string& transaction_id) {
  const int code = connection.in_transaction() ? connection.Commit() : SQLITE_ABORT;
  if (code == SQLITE_OK) return absl::OkStatus();
  absl::Status status = ErrorOf(connection.handle(), code, connection.shard());
  connection.Rollback();
  // From here on its stored changes are all there is.
  SetState(transaction_id, State::kStored);
  return status;
}

absl::Status Branches::CommitStored(Connection& connection, const std::string& transaction_id) {
  QUARRY_RETURN_IF_ERROR(quarantine());
  QUARRY_ASSIGN_OR_RETURN(const bool committed, HasPart(connection, transaction_id));
  if (committed) return absl::OkStatus();
  absl::StatusOr<std::string> changeset = store_.Load(transaction_id);
  absl::Status status = changeset.ok()
                            ? ReplayBranch(connection_, transaction_id, *std::move(changeset), absl::Now())
                            : changeset.status();
  if (!IsDamage(status)) return status;
  return Quarantine(absl::StrCat("the changes of committed transaction ", transaction_id, " cannot be applied: ",
                                 std::string(status.message())));
}

absl::StatusOr<BranchEnd> Branches::Finish(Connection& connection, const std::string& transaction_id, Verdict verdict) {
  const std::optional<State> state = StateOf(transaction_id);
  if (!state.has_value()) {
    // Ended by a call that came before this one.
    QUARRY_ASSIGN_OR_RETURN(const bool committed, HasPart(connection, transaction_id));
    return committed ? BranchEnd::kCommitted : BranchEnd::kAbsent;
  }
  if (*state == State::kStored) {
    QUARRY_ASSIGN_OR_RETURN(const bool committed, HasPart(connection, transaction_id));
    if (committed) verdict = Verdict::kCommit;
  }
  if (verdict == Verdict::kCommit) {
    absl::Status status =
        *state == State::kOpen ? CommitOpen(connection, transaction_id) : CommitStored(connection, transaction_id);
    // The transaction is lost, the branch is not.
    if (!status.ok() && *state == State::kOpen) status = CommitStored(connection, transaction_id);
    QUARRY_RETURN_IF_ERROR(status);
  } else if (*state == State::kOpen) {
    connection.Rollback();
  }
  ended_ = transaction_id;
  Forget(transaction_id);
  return verdict == Verdict::kCommit ? BranchEnd::kCommitted : BranchEnd::kAbsent;
}

void Branches::RemoveEnded() {
  if (!ended_.empty()) store_.Remove(ended_).IgnoreError();
  ended_.clear();
}

std::shared_ptr<Lane> Branches::LaneOf(const std::string& transaction_id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(transaction_id);
  return found == entries_.end() ? nullptr : found->second.lane;
}

std::shared_ptr<Lane> Branches::ClosedLane() const {
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, entry] : entries_) return entry.state == State::kStored ? entry.lane : nullptr;
  return quarantine_lane_;
}

std::vector<Branch> Branches::List(absl::Time now) const {
  std::vector<Branch> branches;
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, entry] : entries_) {
    if (entry.state == State::kPreparing) continue;
    branches.push_back({entry.transaction, std::max(absl::ZeroDuration(), now - entry.created)});
  }
  return branches;
}

std::optional<absl::Status> Branches::Obstacle() const {
  absl::MutexLock lock(&mutex_);
  if (!quarantine_.ok()) return quarantine_;
  for (const auto& [id, entry] : entries_) {
    if (entry.state == State::kPreparing) continue;
    return InDoubt(connection_.shard, entry.transaction.id, entry.transaction.home);
  }
  return std::nullopt;
}

absl::Status Branches::quarantine() const {
  absl::MutexLock lock(&mutex_);
  return quarantine_;
}

std::optional<Branches::State> Branches::StateOf(const std::string& transaction_id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(transaction_id);
  if (found == entries_.end()) return std::nullopt;
  return found->second.state;
}

void Branches::SetState(const std::string& transaction_id, State state) {
  absl::MutexLock lock(&mutex_);
  if (const auto found = entries_.find(transaction_id); found != entries_.end()) found->second.state = state;
}

void Branches::Forget(const std::string& transaction_id) {
  // Lets go of the writer and of the gate after the lock.
  Entry gone;
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(transaction_id);
  if (found == entries_.end()) return;
  gone = std::move(found->second);
  entries_.erase(found);
}

absl::Status Branches::Quarantine(const std::string& why) {
  const absl::Status status = Quarantined(connection_.shard, connection_.file, store_.file(), why);
  {
    absl::MutexLock lock(&mutex_);
    quarantine_ = status;
    if (quarantine_lane_ == nullptr && !entries_.empty()) quarantine_lane_ = entries_.begin()->second.lane;
  }
  queue_->Refuse(status);
  if (on_quarantine_) on_quarantine_(status);
  return status;
}

}  // namespace quarry::sqlite
