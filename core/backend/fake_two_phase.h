// Branches, decisions, stored replies and the gate of one fake shard, in memory. For tests. One loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/two_phase.h"
#include "core/base/loop.h"

namespace quarry {

class FakeTwoPhase final : public TwoPhase {
 public:
  struct State {
    std::map<std::string, GlobalTransaction> branches;
    std::map<std::string, Decision> decisions;
    std::set<std::string> parts;
    std::map<std::string, std::pair<uint64_t, TaskResult>> replies;  // By request id.
    int gate_shared = 0;     // Passed and not ended.
    bool gate_closed = false;
    // Errors by name of the function ("Prepare", "Commit", "Finish", "FindDecision", …), before it does anything.
    std::map<std::string, absl::Status> fail;
    // The same, after it has happened: the answer is lost.
    std::map<std::string, absl::Status> lose;
    // Runs once, before the function does anything: what somebody else does just then.
    std::map<std::string, std::function<void()>> meanwhile;
    // Names of functions that do nothing until their deadline. Of those that recovery asks: ListBranches, ListDecisions,
    // FindDecision, DecideAbort.
    std::set<std::string> hang;
    bool hold_finish = false;  // Calls of Finish wait for ReleaseFinish, or for their deadline.
    std::vector<Completer<bool>> held;
    std::vector<std::string> log;  // Names of the functions, in order.

    void ReleaseFinish();
    absl::Status Before(const std::string& name);
    absl::Status After(const std::string& name) const;
    // A session's ends. Neither knows the session's own rows.
    absl::Status Prepare(const GlobalTransaction& transaction);
    absl::Status Commit(const CommitOptions& options);
    absl::StatusOr<std::optional<TaskResult>> Claim(const RequestGuard& guard);
  };

  FakeTwoPhase() = default;
  State& state() const { return *state_; }
  const std::shared_ptr<State>& shared() const { return state_; }

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
  Async<absl::StatusOr<std::vector<Decision>>> ListDecisions(const DecisionFilter& filter, const CallContext& ctx) override;
  Async<absl::Status> MarkFinished(const std::vector<std::string>& transaction_ids, const CallContext& ctx) override;
  Async<absl::Status> ForgetParts(const std::vector<std::string>& transaction_ids, const CallContext& ctx) override;
  Async<absl::Status> ForgetDecisions(const std::vector<std::string>& transaction_ids, const CallContext& ctx) override;
  Async<absl::StatusOr<std::unique_ptr<GateHold>>> CloseGate(GateWait wait, const CallContext& ctx) override;

 private:
  // Before(), or the deadline's error when that is over or the function hangs.
  Async<absl::Status> Entered(const char* name, const CallContext& ctx);

  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace quarry
