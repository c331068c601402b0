// PostgreSQL's side of transactions over several shards: prepared transactions, schema quarry, an advisory lock. One loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend/postgres/core.h"
#include "core/backend/two_phase.h"

namespace quarry::postgres {

// Has sessions of its own, apart from those of transactions: these may all wait for what only the end of a branch lets go.
//
// A server fits when max_prepared_transactions is set, the tables of schema quarry are there or may be created, and what it
// acknowledges is kept: synchronous_commit is not off, and where there are standbys synchronous_standby_names says that
// commits wait for them. Without the last a failover may lose one branch of a transaction whose others are committed, so it
// is refused unless PostgresOptions::allow_async_two_phase accepts it.
//
// What is read here is safe to act on: an answer about a decision or a part that is committed is given once the server's
// synchronous standbys have it, whoever gave up waiting for them before.
class PostgresTwoPhase final : public TwoPhase {
 public:
  // `main` is the backend's own and outlives this.
  explicit PostgresTwoPhase(Core& main);

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

  int64_t sessions_open() const { return writers_.leased_open + readers_.leased_open + gates_.leased_open; }

 private:
  // Runs to its end and makes errors those of TwoPhase; results are in the batch.
  Async<absl::Status> Run(Core& core, BatchPtr batch, const CallContext& ctx);
  // One statement's rows.
  Async<absl::StatusOr<std::vector<Row>>> Ask(Core& core, std::string sql, const CallContext& ctx);
  Async<absl::StatusOr<BranchEnd>> FindPart(std::string transaction_id, const CallContext& ctx);

  Core& main_;
  Core writers_;  // Each may wait for a standby.
  Core readers_;
  Core gates_;
};

}  // namespace quarry::postgres
