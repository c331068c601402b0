// A leased session: reads on a connection of its own, writes on the writer's, which it then has to itself.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "core/backend/backend.h"
#include "core/backend/sqlite/core.h"

namespace quarry::sqlite {

// Read-only sessions read one snapshot, taken at their first statement. A transaction that may write takes the
// writer with its first statement and keeps it to its end, so it never has to be run again because of another
// writer. Without a transaction each statement stands alone, and takes the writer only if it writes.
class SqliteSession final : public Session {
 public:
  SqliteSession(std::shared_ptr<Core> core, std::unique_ptr<ReaderSlot> slot, SessionOptions options);
  ~SqliteSession() override;

  Async<absl::StatusOr<StepResult>> Execute(const Step& step, const CallContext& ctx) override;
  Async<absl::StatusOr<std::unique_ptr<RowStream>>> Open(const Statement& statement,
                                                         const CallContext& ctx) override;
  Async<absl::Status> Control(const std::string& sql, const CallContext& ctx) override;
  Async<absl::Status> Commit(const CommitOptions& options, const CallContext& ctx) override;
  Async<absl::Status> Rollback(const CallContext& ctx) override;
  bool wrote() const override;
  Async<absl::StatusOr<std::optional<TaskResult>>> Claim(const RequestGuard& guard, const CallContext& ctx) override;
  Async<absl::Status> PassGate(const CallContext& ctx) override;
  Async<absl::Status> Prepare(const GlobalTransaction& transaction, const CallContext& ctx) override;
  Async<PreparedTask> RunAndPrepare(const Task& task, const GlobalTransaction& transaction, const CallContext& ctx) override;

 private:
  bool writes_in_transaction() const { return options_.transaction && !options_.read_only; }
  // The lane of the session's transaction, with the writer acquired if it takes one.
  Async<absl::StatusOr<std::shared_ptr<Lane>>> TransactionLane(const CallContext& ctx);
  // How the next piece of work begins the transaction; it has to be done.
  Begin TakeBegin();
  Async<absl::StatusOr<StepResult>> ExecuteAlone(const Step& step, const CallContext& ctx);
  // Whether all of these leave the database as it is; asks the database about raw ones.
  Async<absl::StatusOr<bool>> OnlyReads(const Step& step, const CallContext& ctx);
  // After an error that may have taken the transaction with it.
  void Note(const absl::Status& status);
  void End();

  std::shared_ptr<Core> core_;
  std::unique_ptr<ReaderSlot> slot_;
  const SessionOptions options_;
  std::shared_ptr<Lane> writer_;  // While the transaction has it.
  Gate::Pass pass_;               // While the transaction is in the gate.
  const std::shared_ptr<std::atomic<bool>> wrote_ = std::make_shared<std::atomic<bool>>(false);  // Set on its lane.
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace quarry::sqlite
