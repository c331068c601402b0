#include "core/backend/sqlite/sqlite_two_phase.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/backend/sqlite/errors.h"
#include "core/backend/sqlite/outcomes.h"
#include "core/backend/sqlite/steps.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::sqlite {
namespace {

class SqliteGateHold final : public GateHold {
 public:
  explicit SqliteGateHold(Gate::Pass pass) : pass_(std::move(pass)) {}
  Async<absl::StatusOr<bool>> Release(const CallContext&) override {
    pass_ = Gate::Pass();
    // It is held by the process itself: nothing can take it away.
    co_return true;
  }

 private:
  Gate::Pass pass_;
};

// Whoever asks cannot tell a slow shard from one that is away.
absl::Status AsUnavailable(const absl::Status& status, const std::string& shard) {
  if (status.code() != absl::StatusCode::kDeadlineExceeded && status.code() != absl::StatusCode::kUnknown) return status;
  return MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable,
                   absl::StrCat("shard ", shard, " did not answer in time (", std::string(status.message()),
                                "); what was asked may still be done: ask again"),
                   {{"shard", shard}});
}

// Whether the sidecar database can be written. A try would have to wait for the writer.
absl::Status CheckSidecar(const std::string& shard, const std::string& file) {
  std::string path = file;
  if (access(path.c_str(), F_OK) == 0 && access(path.c_str(), R_OK | W_OK) != 0) {
    return TwoPhaseUnavailable(shard, absl::StrCat(path, " cannot be written (", std::strerror(errno),
                                                   "); give this process the rights to it"));
  }
  path = std::filesystem::path(file).parent_path().string();
  if (path.empty()) path = ".";
  if (access(path.c_str(), R_OK | W_OK | X_OK) == 0) return absl::OkStatus();
  return TwoPhaseUnavailable(shard, absl::StrCat("no file can be created in ", path, " (", std::strerror(errno),
                                                 "); give this process the rights to it"));
}

absl::StatusOr<TaskResult> RunOwnTask(Connection& connection, const Task& task, const JobControl& control) {
  QUARRY_RETURN_IF_ERROR(connection.BeginAs(Begin::kWrite));
  absl::StatusOr<TaskResult> result = RunWrites(connection, task, control, absl::Now());
  if (result.ok()) {
    const int code = connection.Commit();
    if (code != SQLITE_OK) {
      result = CommitErrorOf(connection.handle(), code, connection.shard(), reason::kWriteOutcomeUnknown);
    }
  }
  connection.Rollback();
  return result;
}

// Also while nobody else may write. Of any loop; the coroutine keeps what it needs.
Async<absl::StatusOr<TaskResult>> RunOwnWrite(std::shared_ptr<Core> core, Task task, absl::Time deadline) {
  const std::shared_ptr<Lane> lane = core->branches->ClosedLane();
  absl::StatusOr<TaskResult> result = absl::InternalError("");
  if (lane != nullptr) {
    LaneWork<TaskResult> work = [task = std::move(task)](Connection& connection, const JobControl& control) {
      return RunOwnTask(connection, task, control);
    };
    Async<absl::StatusOr<TaskResult>> run = RunOnLane<TaskResult>(core, lane, deadline, std::move(work));
    result = co_await run;
  } else {
    Async<absl::StatusOr<TaskResult>> run = RunAutocommit(core, std::move(task), /*alone=*/false, deadline);
    result = co_await run;
  }
  if (!result.ok()) co_return AsUnavailable(result.status(), core->connection.shard);
  co_return result;
}

}  // namespace

absl::StatusOr<StatementResult> SqliteTwoPhase::Read(const Statement& statement, absl::Time deadline) {
  if (reader_ == nullptr) {
    QUARRY_ASSIGN_OR_RETURN(reader_, Connection::Open(core_->connection, Connection::Mode::kRead));
  }
  const JobControl control(deadline);
  absl::StatusOr<StatementResult> result = reader_->Run(statement, control);
  if (!result.ok()) return AsUnavailable(result.status(), core_->connection.shard);
  return result;
}

absl::StatusOr<BranchEnd> SqliteTwoPhase::EndOf(const std::string& transaction_id, absl::Time deadline) {
  const std::vector<std::string> ids{transaction_id};
  QUARRY_ASSIGN_OR_RETURN(const StatementResult found, Read(FindPartsStatement(ids), deadline));
  return found.batch.rows.empty() ? BranchEnd::kAbsent : BranchEnd::kCommitted;
}

absl::StatusOr<std::vector<Decision>> SqliteTwoPhase::ReadDecisions(const Statement& statement, absl::Time deadline) {
  QUARRY_ASSIGN_OR_RETURN(const StatementResult found, Read(statement, deadline));
  std::vector<Decision> decisions;
  const absl::Time now = absl::Now();
  for (const Row& row : found.batch.rows) {
    QUARRY_ASSIGN_OR_RETURN(Decision decision, DecisionOf(row, now, core_->connection.shard));
    decisions.push_back(std::move(decision));
  }
  return decisions;
}

Async<absl::Status> SqliteTwoPhase::WriteAlone(Statement statement, absl::Time deadline) {
  Task task;
  task.steps.emplace_back().statements.push_back(std::move(statement));
  Async<absl::StatusOr<TaskResult>> run = RunOwnWrite(core_, std::move(task), deadline);
  const absl::StatusOr<TaskResult> result = co_await run;
  co_return result.status();
}

Async<absl::Status> SqliteTwoPhase::Init(const CallContext& ctx) {
  // Opening the file has created them; a file that lost them since is told here.
  const absl::StatusOr<std::vector<Decision>> decisions =
      ReadDecisions(FindDecisionStatement(std::string()), ctx.deadline);
  QUARRY_CO_RETURN_IF_ERROR(decisions.status());
  const absl::StatusOr<BranchEnd> part = EndOf(std::string(), ctx.deadline);
  co_return part.status();
}

Async<absl::Status> SqliteTwoPhase::Check(const CallContext& ctx) {
  Async<absl::Status> init = Init(ctx);
  const absl::Status tables = co_await init;
  QUARRY_CO_RETURN_IF_ERROR(tables);
  const absl::Status quarantine = core_->branches->quarantine();
  if (!quarantine.ok()) {
    co_return TwoPhaseUnavailable(core_->connection.shard, std::string(quarantine.message()));
  }
  co_return CheckSidecar(core_->connection.shard, core_->branches->sidecar());
}

Async<absl::StatusOr<BranchEnd>> SqliteTwoPhase::Finish(const GlobalTransaction& transaction, Verdict verdict,
                                                        const CallContext& ctx) {
  using Result = absl::StatusOr<BranchEnd>;
  const std::shared_ptr<Lane> lane = core_->branches->LaneOf(transaction.id);
  if (lane == nullptr) co_return EndOf(transaction.id, ctx.deadline);
  const std::shared_ptr<Core> core = core_;
  Completer<Result> done(core->loop);
  Future<Result> future = done.future();
  const Timer timer(core->loop, ctx.deadline + kDeadlineGrace, [done, shard = core->connection.shard]() mutable {
    done.Set(AsUnavailable(DeadlineEnded(shard, "commit"), shard));
  });
  // Not cancelled: what has been decided is to be done.
  lane->Submit([done, id = transaction.id, verdict, branches = core->branches, port = core->port](
                   Connection& connection) mutable {
    Result result = branches->Finish(connection, id, verdict);
    port->Post([done, result = std::move(result)]() mutable { done.Set(std::move(result)); });
    branches->RemoveEnded();
  });
  Result result = co_await future;
  if (!result.ok()) co_return AsUnavailable(result.status(), core->connection.shard);
  co_return result;
}

Async<absl::StatusOr<std::vector<Branch>>> SqliteTwoPhase::ListBranches(const CallContext&) {
  co_return core_->branches->List(absl::Now());
}

Async<absl::StatusOr<std::vector<std::string>>> SqliteTwoPhase::FindParts(
    const std::vector<std::string>& transaction_ids, const CallContext& ctx) {
  const absl::StatusOr<StatementResult> found = Read(FindPartsStatement(transaction_ids), ctx.deadline);
  QUARRY_CO_RETURN_IF_ERROR(found.status());
  std::vector<std::string> parts;
  for (const Row& row : found->batch.rows) parts.push_back(row[0].text());
  co_return parts;
}

Async<absl::StatusOr<std::vector<Part>>> SqliteTwoPhase::ListParts(absl::Duration age_min, int64_t count_max,
                                                                  const CallContext& ctx) {
  const absl::Time now = absl::Now();
  const absl::StatusOr<StatementResult> found = Read(ListPartsStatement(age_min, count_max, now), ctx.deadline);
  QUARRY_CO_RETURN_IF_ERROR(found.status());
  std::vector<Part> parts;
  for (const Row& row : found->batch.rows) {
    parts.push_back({row[0].text(), now - absl::FromUnixMicros(row[1].int64_value())});
  }
  co_return parts;
}

Async<absl::StatusOr<std::optional<Decision>>> SqliteTwoPhase::FindDecision(const std::string& transaction_id,
                                                                            const CallContext& ctx) {
  absl::StatusOr<std::vector<Decision>> found = ReadDecisions(FindDecisionStatement(transaction_id), ctx.deadline);
  QUARRY_CO_RETURN_IF_ERROR(found.status());
  std::optional<Decision> decision;
  if (!found->empty()) decision = std::move(found->front());
  co_return decision;
}

Async<absl::StatusOr<Decision>> SqliteTwoPhase::DecideAbort(const std::string& transaction_id, const CallContext& ctx) {
  Task task;
  Step& step = task.steps.emplace_back();
  step.statements.push_back(AbortUnlessDecidedStatement(transaction_id, absl::Now()));
  step.statements.push_back(FindDecisionStatement(transaction_id));
  Async<absl::StatusOr<TaskResult>> run = RunOwnWrite(core_, std::move(task), ctx.deadline);
  const absl::StatusOr<TaskResult> result = co_await run;
  QUARRY_CO_RETURN_IF_ERROR(result.status());
  co_return DecisionOf(result->steps.at(0).statements.at(1).batch.rows.at(0), absl::Now(), core_->connection.shard);
}

Async<absl::StatusOr<std::vector<Decision>>> SqliteTwoPhase::ListDecisions(const DecisionFilter& filter,
                                                                           const CallContext& ctx) {
  co_return ReadDecisions(ListDecisionsStatement(filter, absl::Now()), ctx.deadline);
}

Async<absl::Status> SqliteTwoPhase::MarkFinished(const std::vector<std::string>& transaction_ids,
                                                 const CallContext& ctx) {
  return WriteAlone(MarkFinishedStatement(transaction_ids, absl::Now()), ctx.deadline);
}

Async<absl::Status> SqliteTwoPhase::ForgetParts(const std::vector<std::string>& transaction_ids,
                                                const CallContext& ctx) {
  return WriteAlone(ForgetPartsStatement(transaction_ids), ctx.deadline);
}

Async<absl::Status> SqliteTwoPhase::ForgetDecisions(const std::vector<std::string>& transaction_ids,
                                                    const CallContext& ctx) {
  return WriteAlone(ForgetDecisionsStatement(transaction_ids), ctx.deadline);
}

Async<absl::StatusOr<std::unique_ptr<GateHold>>> SqliteTwoPhase::CloseGate(GateWait wait, const CallContext& ctx) {
  std::unique_ptr<GateHold> hold;
  if (wait == GateWait::kTry) {
    std::optional<Gate::Pass> pass = core_->gate->TryEnter(Gate::Mode::kExclusive);
    if (pass.has_value()) hold = std::make_unique<SqliteGateHold>(*std::move(pass));
    co_return hold;
  }
  Async<absl::StatusOr<Gate::Pass>> enter = EnterGate(core_, Gate::Mode::kExclusive, ctx.deadline);
  absl::StatusOr<Gate::Pass> pass = co_await enter;
  QUARRY_CO_RETURN_IF_ERROR(pass.status());
  hold = std::make_unique<SqliteGateHold>(*std::move(pass));
  co_return hold;
}

}  // namespace quarry::sqlite
