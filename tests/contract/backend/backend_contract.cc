#include "tests/contract/backend/backend_contract.h"

#include <utility>

#include "core/base/gather.h"
#include "tests/support/status_matchers.h"

namespace quarry {

void BackendContract::SetUp() {
  fixture_ = GetParam().make();
  ASSERT_NE(fixture_, nullptr) << "the fixture could not start its database";
}

void BackendContract::TearDown() {
  if (fixture_ == nullptr) return;
  ExpectNothingLeased();
  fixture_.reset();
}

CallContext BackendContract::Within(absl::Duration timeout) {
  CallContext ctx(loop());
  ctx.deadline = loop().Now() + timeout;
  return ctx;
}

void BackendContract::LetPass(absl::Duration time) {
  const absl::Time until = loop().Now() + time;
  while (loop().Now() < until) loop().RunOnce(absl::Milliseconds(10));
}

Task BackendContract::TaskOf(std::vector<Statement> one_step) {
  Task task;
  Step& step = task.steps.emplace_back();
  step.statements = std::move(one_step);
  return task;
}

Task BackendContract::TaskOfSteps(std::vector<Statement> one_each, Atomicity atomicity) {
  Task task;
  task.atomicity = atomicity;
  for (Statement& statement : one_each) {
    Step& step = task.steps.emplace_back();
    step.item = static_cast<uint32_t>(task.steps.size() - 1);
    step.statements.push_back(std::move(statement));
  }
  return task;
}

RequestGuard BackendContract::GuardOf(const std::string& last_digits, uint64_t hash) {
  RequestGuard guard;
  guard.request_id = "00000000-0000-7000-8000-000000000" + last_digits;
  guard.request_hash = hash;
  return guard;
}

SessionOptions BackendContract::Options(bool transaction, bool read_only) {
  SessionOptions options;
  options.transaction = transaction;
  options.read_only = read_only;
  return options;
}

absl::StatusOr<TaskResult> BackendContract::Execute(Task task) {
  const CallContext ctx = AnyCall();
  return RunOn(loop(), backend().Execute(task, ctx));
}

absl::StatusOr<StepResult> BackendContract::Execute(Session& session, Statement statement) {
  const CallContext ctx = AnyCall();
  Step step;
  step.statements.push_back(std::move(statement));
  return RunOn(loop(), session.Execute(step, ctx));
}

absl::StatusOr<std::unique_ptr<Session>> BackendContract::Lease(SessionOptions options) {
  const CallContext ctx = AnyCall();
  return RunOn(loop(), backend().Lease(options, ctx));
}

absl::Status BackendContract::Control(Session& session, const std::string& sql) {
  const CallContext ctx = AnyCall();
  return RunOn(loop(), session.Control(sql, ctx));
}

absl::Status BackendContract::Commit(Session& session) {
  const CallContext ctx = AnyCall();
  return RunOn(loop(), session.Commit(kPlainCommit, ctx));
}

absl::Status BackendContract::Rollback(Session& session) {
  const CallContext ctx = AnyCall();
  return RunOn(loop(), session.Rollback(ctx));
}

void BackendContract::ExpectNothingLeased() {
  const absl::Time until = loop().Now() + absl::Seconds(10);
  while (loop().Now() < until) {
    const BackendStats stats = backend().stats();
    if (stats.sessions_leased == 0 && stats.waiters == 0) return;
    loop().RunOnce(absl::Milliseconds(10));
  }
  ADD_FAILURE() << backend().stats().sessions_leased << " sessions are still leased";
}

}  // namespace quarry
