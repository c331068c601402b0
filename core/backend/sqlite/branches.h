// The prepared branches of one file, for all loops of the process. A branch holds the writer: its transaction stays open
// there, or, when its process has ended, its changes wait in the sidecar database and nobody may write before them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/backend/sqlite/branch_store.h"
#include "core/backend/sqlite/gate.h"
#include "core/backend/sqlite/lane.h"
#include "core/backend/sqlite/recorder.h"
#include "core/backend/sqlite/writer.h"
#include "core/backend/two_phase.h"

namespace quarry::sqlite {

// Thread-safe, but for what says which thread it is for.
class Branches {
 public:
  using OnQuarantine = std::function<void(const absl::Status&)>;
  Branches(ConnectionOptions connection, std::shared_ptr<Gate> gate, std::shared_ptr<WriterQueue> queue,
           OnQuarantine on_quarantine);

  // Before the writer starts. Drops the branches that `connection` has the parts of; the others keep the writer until they
  // are ended. A sidecar that cannot be read refuses all writes.
  void Adopt(Connection& connection);

  // When the writer has ended: loops may hold this for a while longer.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

  // A session is about to submit Prepare to its lane: whoever ends the branch from now on comes after that.
  void Announce(const GlobalTransaction& transaction, std::shared_ptr<Lane> lane) ABSL_LOCKS_EXCLUDED(mutex_);
  // On the writer's thread, in its open transaction. After an error the transaction is rolled back and nothing is left.
  absl::Status Prepare(Connection& connection, const GlobalTransaction& transaction, Gate::Pass pass)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // On the writer's thread, in a job of LaneOf. An error leaves the branch as it is, to be ended by another call.
  absl::StatusOr<BranchEnd> Finish(Connection& connection, const std::string& transaction_id, Verdict verdict)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The stored changes of the branch that Finish has ended go, on the writer's thread; nobody needs to wait for that. Those that
  // stay are found to have ended when the file is opened again, by their part or by their decision.
  void RemoveEnded();

  // Null when there is no such branch.
  std::shared_ptr<Lane> LaneOf(const std::string& transaction_id) const ABSL_LOCKS_EXCLUDED(mutex_);
  // The writer, outside of any transaction, while nobody else can have it; null otherwise. For Quarry's own rows.
  std::shared_ptr<Lane> ClosedLane() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<Branch> List(absl::Time now) const ABSL_LOCKS_EXCLUDED(mutex_);
  // What keeps others from the writer or the gate; nullopt when it is no branch.
  std::optional<absl::Status> Obstacle() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Not OK once the file admits no writes until someone has looked at it.
  absl::Status quarantine() const ABSL_LOCKS_EXCLUDED(mutex_);
  const std::string& sidecar() const { return store_.file(); }

 private:
  enum class State : uint8_t {
    kPreparing,
    kOpen,    // In the writer's open transaction, and stored.
    kStored,  // Stored alone.
  };
  struct Entry {
    GlobalTransaction transaction;
    absl::Time created;
    State state = State::kPreparing;
    std::shared_ptr<Lane> lane;
    Gate::Pass pass;
  };

  absl::Status Record(Connection& connection, const GlobalTransaction& transaction, absl::Time now);
  absl::Status CommitOpen(Connection& connection, const std::string& transaction_id);
  absl::Status CommitStored(Connection& connection, const std::string& transaction_id);
  std::optional<State> StateOf(const std::string& transaction_id) const ABSL_LOCKS_EXCLUDED(mutex_);
  void SetState(const std::string& transaction_id, State state) ABSL_LOCKS_EXCLUDED(mutex_);
  void Forget(const std::string& transaction_id) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Quarantine(const std::string& why) ABSL_LOCKS_EXCLUDED(mutex_);

  const ConnectionOptions connection_;
  const std::shared_ptr<Gate> gate_;
  const std::shared_ptr<WriterQueue> queue_;
  const OnQuarantine on_quarantine_;
  BranchStore store_;                   // The writer's thread, once that runs.
  std::unique_ptr<Connection> before_;  // The same; reads what is committed.
  FitTables fit_tables_;                // The same.
  std::string ended_;                   // The same; "" when nothing is to be removed.
  mutable absl::Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  absl::Status quarantine_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Lane> quarantine_lane_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quarry::sqlite
