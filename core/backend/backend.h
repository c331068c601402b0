// What any database must do. A Backend is one shard's database as one loop sees it: a pool of sessions, or a wrapper
// around another Backend. It belongs to one loop: called and completed on that loop's thread only.
// Arguments that are references outlive the returned Async (the call's root frame owns them).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/two_phase.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/model/statement.h"

namespace quarry {

// Rows of one statement as they come. One user; Next is not called again before it has answered.
class RowStream {
 public:
  // Dropping it stops the statement in the database.
  virtual ~RowStream() = default;
  // Known once Open has answered.
  virtual RowHeader header() const = 0;
  // The next rows; an empty batch is the end. The database is not read ahead by more than one batch.
  virtual Async<absl::StatusOr<RowBatch>> Next(const CallContext& ctx) = 0;
  // After the end: rows written by the statement, 0 for reads.
  virtual int64_t affected() const = 0;
};

enum class Isolation : uint8_t { kDefault, kReadCommitted, kRepeatableRead, kSerializable };

struct SessionOptions {
  // True opens a transaction at once; false leaves each statement on its own (autocommit).
  bool transaction = true;
  bool read_only = false;  // Enforced by the database.
  Isolation isolation = Isolation::kDefault;  // SQLite is serializable whatever is asked.
  // False: the caller ends the transaction when a step fails, so that none needs to be undone by itself. After a failed
  // step the session may have ended.
  bool undo_steps = true;
};

// What Session::RunAndPrepare came to.
struct PreparedTask {
  // As Prepare's. That of a step which failed (fact `item`) leaves nothing behind.
  absl::Status status;
  // With `status` OK. An error (fact `item`) is that of a step which ran and did not do what it should: the branch is there, and
  // must be rolled back.
  absl::StatusOr<TaskResult> result = TaskResult();
};

// One connection, leased to one user. Dropping it rolls back what is open and gives the connection back to its pool
// when that is known to be clean; otherwise the connection is closed.
class Session {
 public:
  virtual ~Session() = default;
  // All statements of `step` in order in the open transaction; each step is atomic (an error undoes the step, and the
  // transaction can go on, except after kAborted, kUnavailable and kUnknown, which end it).
  virtual Async<absl::StatusOr<StepResult>> Execute(const Step& step, const CallContext& ctx) = 0;
  // One statement, streamed. The session is busy until the stream is dropped.
  virtual Async<absl::StatusOr<std::unique_ptr<RowStream>>> Open(const Statement& statement,
                                                                const CallContext& ctx) = 0;
  // Control statements without parameters or rows: SAVEPOINT, ROLLBACK TO, RELEASE.
  virtual Async<absl::Status> Control(const std::string& sql, const CallContext& ctx) = 0;
  // Never cancelled: dropped while it runs, it finishes in the background. kUnknown COMMIT_OUTCOME_UNKNOWN when the
  // outcome could not be looked up within the deadline, or when a server notice says that a standby has not confirmed it.
  virtual Async<absl::Status> Commit(const CommitOptions& options, const CallContext& ctx) = 0;
  virtual Async<absl::Status> Rollback(const CallContext& ctx) = 0;

  // ---- Several shards ----
  // Whether the open transaction has written anything, or may have by a user's own SQL.
  virtual bool wrote() const = 0;
  // Claims a request id in the open transaction, before its other statements: nullopt, or the reply that is stored
  // already, which waits for a transaction that holds the id now. kInvalidArgument REQUEST_ID_REUSED.
  virtual Async<absl::StatusOr<std::optional<TaskResult>>> Claim(const RequestGuard& guard, const CallContext& ctx) = 0;
  // Waits at the gate and passes it, shared, until the transaction ends. Prepare does so itself.
  virtual Async<absl::Status> PassGate(const CallContext& ctx) = 0;
  // Makes what was written a branch of `transaction`: durable, not visible, to be ended by TwoPhase::Finish. The session
  // is over. Never cancelled. kUnknown: it may be prepared. Any other error: it is not, and nothing remains.
  virtual Async<absl::Status> Prepare(const GlobalTransaction& transaction, const CallContext& ctx) = 0;
  // The steps of `task`, all or nothing, and Prepare, in one round trip where the backend can.
  virtual Async<PreparedTask> RunAndPrepare(const Task& task, const GlobalTransaction& transaction,
                                            const CallContext& ctx) = 0;
};

// For health, metrics and `shards list`.
struct BackendStats {
  int64_t sessions_open = 0;
  int64_t sessions_leased = 0;
  int64_t waiters = 0;
  int64_t sessions_max = 0;
  int64_t statements = 0;   // Since start.
  int64_t prepared_hits = 0;
  int64_t prepared_misses = 0;
  int64_t groups = 0;        // Commits that carried more than one autocommit write.
  int64_t grouped_writes = 0;
  int64_t joined_reads = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  // Runs `task` whole: reads as they come, writes in a transaction of their own (or sharing a durable commit with
  // others), with the task's guard. Acknowledges a write only after its durable commit.
  // kUnavailable: nothing was applied, another attempt is safe. kUnknown: a write may have been applied.
  // kDeadlineExceeded: as kUnknown for writes, as kUnavailable for reads. kResourceExhausted: pool full, nothing done.
  virtual Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) = 0;
  // Leases a session, waiting for a free one within the deadline.
  virtual Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options,
                                                                const CallContext& ctx) = 0;
  // A cheap proof that the database answers.
  virtual Async<absl::Status> Ping(const CallContext& ctx) = 0;
  virtual TwoPhase& two_phase() = 0;
  virtual BackendStats stats() const = 0;
};

}  // namespace quarry
