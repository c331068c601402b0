// A leased connection as a Session: a transaction from its first statement on, or statements that stand alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/postgres/connection.h"
#include "core/backend/postgres/core.h"

namespace quarry::postgres {

class PostgresSession final : public Session {
 public:
  // `core` outlives this.
  PostgresSession(Core& core, Leased leased, const SessionOptions& options);
  ~PostgresSession() override;

  Async<absl::StatusOr<StepResult>> Execute(const Step& step, const CallContext& ctx) override;
  Async<absl::StatusOr<std::unique_ptr<RowStream>>> Open(const Statement& statement, const CallContext& ctx) override;
  Async<absl::Status> Control(const std::string& sql, const CallContext& ctx) override;
  Async<absl::Status> Commit(const CommitOptions& options, const CallContext& ctx) override;
  Async<absl::Status> Rollback(const CallContext& ctx) override;
  bool wrote() const override;
  Async<absl::StatusOr<std::optional<TaskResult>>> Claim(const RequestGuard& guard, const CallContext& ctx) override;
  Async<absl::Status> PassGate(const CallContext& ctx) override;
  Async<absl::Status> Prepare(const GlobalTransaction& transaction, const CallContext& ctx) override;
  Async<PreparedTask> RunAndPrepare(const Task& task, const GlobalTransaction& transaction, const CallContext& ctx) override;

 private:
  // What one batch of commands of this session came to.
  Async<absl::Status> Run(BatchPtr batch, const CallContext& ctx, bool writes);
  // Makes the session ready: what an earlier call left under way is stopped and undone.
  Async<absl::Status> Ready(const CallContext& ctx);
  // Makes statements known to the server, in a savepoint, which a failure leaves to be undone.
  Async<absl::Status> PrepareStatements(std::vector<std::string> sql, const CallContext& ctx);
  Async<absl::Status> Undo(const CallContext& ctx);
  Async<absl::StatusOr<StepResult>> RunStep(const Step& step, const CallContext& ctx);
  Async<absl::StatusOr<StepResult>> RunAlone(const Step& step, const CallContext& ctx);
  // Makes the statements of all steps known to the server; false when they are too many to be known at once.
  Async<absl::StatusOr<bool>> PrepareTask(const Task& task, const CallContext& ctx);
  absl::Status AddBound(const BatchPtr& batch, int64_t ms);
  absl::Status AddTask(const BatchPtr& batch, const Task& task);
  // What makes a branch of what the batch has done before: the gate, the branch's row and the PREPARE. `age_max_ms` holds where
  // the server knows kInsertPart, which nobody waits for here: a prepare is never cancelled.
  absl::Status AddPrepare(const BatchPtr& batch, const std::string& id, const std::string& gid, int64_t age_max_ms);
  absl::Status CheckStatements(const Step& step);
  // A batch that starts with what the session owes the server.
  BatchPtr NewBatch();
  void OpenSavepoint(const BatchPtr& batch);
  // Waits for locks in this transaction end before the call does, so that two shards that wait for each other go on.
  void BoundWaits(const BatchPtr& batch, const CallContext& ctx);
  // Learns the transaction's id; one is given to it when it is `needed`.
  Async<absl::Status> AskTransaction(bool needed, const CallContext& ctx);
  // Takes the answer of an id asked for at this place of the batch.
  void TakeTransaction(const Batch& batch, size_t position);
  bool PassesGate(const CommitOptions& options) const;
  // Adds what goes with a commit.
  absl::Status AddToCommit(const BatchPtr& batch, const CommitOptions& options, const CallContext& ctx);
  Async<absl::StatusOr<std::optional<TaskResult>>> RunClaim(const RequestGuard& guard, const CallContext& ctx);
  absl::Status Ended() const;
  absl::Status End(absl::Status status);

  static constexpr int64_t kAnyAgeMs = int64_t{365} * 24 * 3'600'000;

  Core& core_;
  const SessionOptions options_;
  Leased leased_;
  bool ended_ = false;
  bool begun_ = false;           // BEGIN was sent, or this is no transaction.
  bool savepoint_ = false;       // The step's savepoint stands.
  bool undo_ = false;            // It must be rolled back to before anything else.
  bool writes_untold_ = false;   // Something may have been written since the transaction's id was asked.
  int64_t lock_timeout_ms_ = 0;  // As it was set last; 0: not known.
  std::string transaction_;      // PostgreSQL's id, once anything was written.
};

}  // namespace quarry::postgres
