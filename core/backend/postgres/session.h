// A leased connection as a Session: a transaction from its first statement on, or statements that stand alone.
#pragma once

#include <memory>
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
  Async<absl::Status> Commit(const CallContext& ctx) override;
  Async<absl::Status> Rollback(const CallContext& ctx) override;

 private:
  // What one batch of commands of this session came to.
  Async<absl::Status> Run(BatchPtr batch, const CallContext& ctx, bool writes);
  // Makes the session ready: what an earlier call left under way is stopped and undone.
  Async<absl::Status> Ready(const CallContext& ctx);
  // Prepares, and undoes what a failed Prepare did to the transaction.
  Async<absl::Status> Prepare(std::vector<std::string> sql, const CallContext& ctx);
  Async<absl::Status> Undo(const CallContext& ctx);
  Async<absl::StatusOr<StepResult>> RunStep(const Step& step, const CallContext& ctx);
  Async<absl::StatusOr<StepResult>> RunAlone(const Step& step, const CallContext& ctx);
  absl::Status CheckStatements(const Step& step);
  // A batch that starts with what the session owes the server.
  BatchPtr NewBatch();
  void OpenSavepoint(const BatchPtr& batch);
  absl::Status Ended() const;
  absl::Status End(absl::Status status);

  Core& core_;
  const SessionOptions options_;
  Leased leased_;
  bool ended_ = false;
  bool begun_ = false;           // BEGIN was sent, or this is no transaction.
  bool savepoint_ = false;       // The step's savepoint stands.
  bool undo_ = false;            // It must be rolled back to before anything else.
  bool writes_untold_ = false;   // Something was written since the transaction's id was asked.
  std::string transaction_;      // PostgreSQL's id, once anything was written.
};

}  // namespace quarry::postgres
