#include "core/backend/fake_two_phase.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

class FakeHold final : public GateHold {
 public:
  explicit FakeHold(std::shared_ptr<FakeTwoPhase::State> state) : state_(std::move(state)) {}
  ~FakeHold() override {
    if (state_ != nullptr) state_->gate_closed = false;
  }
  Async<absl::StatusOr<bool>> Release(const CallContext&) override {
    const std::shared_ptr<FakeTwoPhase::State> state = std::exchange(state_, nullptr);
    state->gate_closed = false;
    const absl::Status after = state->After("Release");
    QUARRY_CO_RETURN_IF_ERROR(after);
    co_return true;
  }

 private:
  std::shared_ptr<FakeTwoPhase::State> state_;
};

}  // namespace

void FakeTwoPhase::State::ReleaseFinish() {
  hold_finish = false;
  for (Completer<bool>& waiter : std::exchange(held, {})) waiter.Set(true);
}

absl::Status FakeTwoPhase::State::Before(const std::string& name) {
  log.push_back(name);
  if (auto other = meanwhile.extract(name)) other.mapped()();
  const auto failure = fail.find(name);
  return failure == fail.end() ? absl::OkStatus() : failure->second;
}

absl::Status FakeTwoPhase::State::After(const std::string& name) const {
  const auto lost = lose.find(name);
  return lost == lose.end() ? absl::OkStatus() : lost->second;
}

absl::Status FakeTwoPhase::State::Prepare(const GlobalTransaction& transaction) {
  QUARRY_RETURN_IF_ERROR(Before("Prepare"));
  branches.emplace(transaction.id, transaction);
  return After("Prepare");
}

absl::Status FakeTwoPhase::State::Commit(const CommitOptions& options) {
  QUARRY_RETURN_IF_ERROR(Before("Commit"));
  if (options.decision.has_value()) {
    const auto [stands, stored] = decisions.emplace(options.decision->transaction_id, *options.decision);
    if (!stored) {
      return MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                       absl::StrCat("transaction ", stands->first, " was rolled back by recovery; run it again"));
    }
  }
  if (options.guard.has_value() && options.reply != nullptr) {
    replies[options.guard->request_id] = std::make_pair(options.guard->request_hash, *options.reply);
  }
  return After("Commit");
}

absl::StatusOr<std::optional<TaskResult>> FakeTwoPhase::State::Claim(const RequestGuard& guard) {
  QUARRY_RETURN_IF_ERROR(Before("Claim"));
  const auto stored = replies.find(guard.request_id);
  if (stored == replies.end()) return std::nullopt;
  if (stored->second.first != guard.request_hash) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kRequestIdReused,
                     "this request id belongs to another request");
  }
  TaskResult replay = stored->second.second;
  replay.replayed = true;
  return std::optional<TaskResult>(std::move(replay));
}

Async<absl::Status> FakeTwoPhase::Entered(const char* name, const CallContext& ctx) {
  const absl::Status before = state_->Before(name);
  QUARRY_CO_RETURN_IF_ERROR(before);
  if (state_->hang.count(name) > 0) {
    SleepUntil deadline(ctx.loop, ctx.deadline);
    co_await deadline;
  }
  if (ctx.loop.Now() < ctx.deadline) co_return absl::OkStatus();
  co_return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "deadline");
}

Async<absl::Status> FakeTwoPhase::Init(const CallContext&) { co_return state_->Before("Init"); }
Async<absl::Status> FakeTwoPhase::Check(const CallContext&) { co_return state_->Before("Check"); }

Async<absl::StatusOr<BranchEnd>> FakeTwoPhase::Finish(const GlobalTransaction& transaction, Verdict verdict,
                                                      const CallContext& ctx) {
  const absl::Status before = state_->Before("Finish");
  QUARRY_CO_RETURN_IF_ERROR(before);
  if (state_->hold_finish) {
    Completer<bool> released(ctx.loop);
    state_->held.push_back(released);
    const Timer timer(ctx.loop, ctx.deadline, [released]() mutable { released.Set(false); });
    Future<bool> future = released.future();
    const bool in_time = co_await future;
    if (!in_time) co_return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "deadline");
  }
  if (state_->branches.erase(transaction.id) > 0 && verdict == Verdict::kCommit) state_->parts.insert(transaction.id);
  const absl::Status after = state_->After("Finish");
  QUARRY_CO_RETURN_IF_ERROR(after);
  co_return state_->parts.count(transaction.id) > 0 ? BranchEnd::kCommitted : BranchEnd::kAbsent;
}

Async<absl::StatusOr<std::vector<Branch>>> FakeTwoPhase::ListBranches(const CallContext& ctx) {
  const absl::Status before = co_await Entered("ListBranches", ctx);
  QUARRY_CO_RETURN_IF_ERROR(before);
  std::vector<Branch> branches;
  for (const auto& [id, transaction] : state_->branches) branches.push_back({transaction, absl::Hours(1)});
  co_return branches;
}

Async<absl::StatusOr<std::vector<std::string>>> FakeTwoPhase::FindParts(const std::vector<std::string>& transaction_ids,
                                                                        const CallContext&) {
  const absl::Status before = state_->Before("FindParts");
  QUARRY_CO_RETURN_IF_ERROR(before);
  std::vector<std::string> found;
  for (const std::string& id : transaction_ids) {
    if (state_->parts.count(id) > 0) found.push_back(id);
  }
  co_return found;
}

Async<absl::StatusOr<std::vector<Part>>> FakeTwoPhase::ListParts(absl::Duration, int64_t count_max, const CallContext&) {
  const absl::Status before = state_->Before("ListParts");
  QUARRY_CO_RETURN_IF_ERROR(before);
  std::vector<Part> parts;
  for (const std::string& id : state_->parts) {
    if (static_cast<int64_t>(parts.size()) < count_max) parts.push_back({id, absl::Hours(1)});
  }
  co_return parts;
}

Async<absl::StatusOr<std::optional<Decision>>> FakeTwoPhase::FindDecision(const std::string& transaction_id,
                                                                          const CallContext& ctx) {
  const absl::Status before = co_await Entered("FindDecision", ctx);
  QUARRY_CO_RETURN_IF_ERROR(before);
  const auto found = state_->decisions.find(transaction_id);
  if (found == state_->decisions.end()) co_return std::optional<Decision>();
  co_return std::optional<Decision>(found->second);
}

Async<absl::StatusOr<Decision>> FakeTwoPhase::DecideAbort(const std::string& transaction_id, const CallContext& ctx) {
  const absl::Status before = co_await Entered("DecideAbort", ctx);
  QUARRY_CO_RETURN_IF_ERROR(before);
  Decision abort;
  abort.transaction_id = transaction_id;
  const Decision stands = state_->decisions.emplace(transaction_id, abort).first->second;
  const absl::Status after = state_->After("DecideAbort");
  QUARRY_CO_RETURN_IF_ERROR(after);
  co_return stands;
}

Async<absl::StatusOr<std::vector<Decision>>> FakeTwoPhase::ListDecisions(const DecisionFilter& filter, const CallContext& ctx) {
  const absl::Status before = co_await Entered("ListDecisions", ctx);
  QUARRY_CO_RETURN_IF_ERROR(before);
  std::vector<Decision> decisions;  // By id, which tests count up.
  for (const auto& [id, decision] : state_->decisions) {
    if (!(filter.unfinished_only && decision.finished) && decision.age >= filter.age_min) decisions.push_back(decision);
  }
  if (filter.newest_first) std::reverse(decisions.begin(), decisions.end());
  if (static_cast<int64_t>(decisions.size()) > filter.count_max) decisions.resize(static_cast<size_t>(filter.count_max));
  co_return decisions;
}

Async<absl::Status> FakeTwoPhase::MarkFinished(const std::vector<std::string>& transaction_ids, const CallContext&) {
  const absl::Status before = state_->Before("MarkFinished");
  QUARRY_CO_RETURN_IF_ERROR(before);
  for (const std::string& id : transaction_ids) {
    const auto found = state_->decisions.find(id);
    if (found != state_->decisions.end()) found->second.finished = true;
  }
  co_return absl::OkStatus();
}

Async<absl::Status> FakeTwoPhase::ForgetParts(const std::vector<std::string>& transaction_ids, const CallContext&) {
  const absl::Status before = state_->Before("ForgetParts");
  QUARRY_CO_RETURN_IF_ERROR(before);
  for (const std::string& id : transaction_ids) state_->parts.erase(id);
  co_return absl::OkStatus();
}

Async<absl::Status> FakeTwoPhase::ForgetDecisions(const std::vector<std::string>& transaction_ids, const CallContext&) {
  const absl::Status before = state_->Before("ForgetDecisions");
  QUARRY_CO_RETURN_IF_ERROR(before);
  for (const std::string& id : transaction_ids) state_->decisions.erase(id);
  co_return absl::OkStatus();
}

Async<absl::StatusOr<std::unique_ptr<GateHold>>> FakeTwoPhase::CloseGate(GateWait wait, const CallContext& ctx) {
  const absl::Status before = state_->Before("CloseGate");
  QUARRY_CO_RETURN_IF_ERROR(before);
  while (state_->gate_closed || !state_->branches.empty()) {
    if (wait == GateWait::kTry) co_return nullptr;
    if (ctx.loop.Now() >= ctx.deadline) {
      co_return MakeError(absl::StatusCode::kUnavailable, reason::kTransactionInDoubt, "the gate stays occupied");
    }
    SleepUntil pause(ctx.loop, std::min(ctx.deadline, ctx.loop.Now() + absl::Milliseconds(1)));
    co_await pause;
  }
  state_->gate_closed = true;
  co_return std::make_unique<FakeHold>(state_);
}

}  // namespace quarry
