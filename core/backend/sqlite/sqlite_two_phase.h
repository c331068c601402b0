// Branches, decisions and the gate of one SQLite file as one loop sees them. Reads run on the loop, as short as they are;
// what writes goes to the writer's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend/sqlite/core.h"
#include "core/backend/two_phase.h"

namespace quarry::sqlite {

class SqliteTwoPhase final : public TwoPhase {
 public:
  explicit SqliteTwoPhase(std::shared_ptr<Core> core) : core_(std::move(core)) {}

  Async<absl::Status> Init(const CallContext& ctx) override;
  Async<absl::Status> Check(const CallContext& ctx) override;
  Async<absl::StatusOr<BranchEnd>> Finish(const GlobalTransaction& transaction, Verdict verdict,
                                          const CallContext& ctx) override;
  Async<absl::StatusOr<std::vector<Branch>>> ListBranches(const CallContext& ctx) override;
  Async<absl::StatusOr<std::vector<std::string>>> FindParts(const std::vector<std::string>& transaction_ids,
                                                            const CallContext& ctx) override;
  Async<absl::StatusOr<std::vector<Part>>> ListParts(absl::Duration age_min, int64_t count_max,
                                                     const CallContext& ctx) override;
  Async<absl::StatusOr<std::optional<Decision>>> FindDecision(const std::string& transaction_id,
                                                              const CallContext& ctx) override;
  Async<absl::StatusOr<Decision>> DecideAbort(const std::string& transaction_id, const CallContext& ctx) override;
  Async<absl::StatusOr<std::vector<Decision>>> ListDecisions(const DecisionFilter& filter,
                                                             const CallContext& ctx) override;
  Async<absl::Status> MarkFinished(const std::vector<std::string>& transaction_ids, const CallContext& ctx) override;
  Async<absl::Status> ForgetParts(const std::vector<std::string>& transaction_ids, const CallContext& ctx) override;
  Async<absl::Status> ForgetDecisions(const std::vector<std::string>& transaction_ids, const CallContext& ctx) override;
  Async<absl::StatusOr<std::unique_ptr<GateHold>>> CloseGate(GateWait wait, const CallContext& ctx) override;

 private:
  absl::StatusOr<StatementResult> Read(const Statement& statement, absl::Time deadline);
  absl::StatusOr<BranchEnd> EndOf(const std::string& transaction_id, absl::Time deadline);
  absl::StatusOr<std::vector<Decision>> ReadDecisions(const Statement& statement, absl::Time deadline);
  Async<absl::Status> WriteAlone(Statement statement, absl::Time deadline);

  std::shared_ptr<Core> core_;
  std::unique_ptr<Connection> reader_;
};

}  // namespace quarry::sqlite
