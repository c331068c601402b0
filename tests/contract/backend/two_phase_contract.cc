#include "tests/contract/backend/two_phase_contract.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/support/status_matchers.h"

namespace quarry {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TwoPhaseRowsContract);

void TwoPhaseContract::SetUp() {
  fixture_ = GetParam().make();
  ASSERT_NE(fixture_, nullptr) << "the fixture could not start its database";
  ASSERT_THAT(fixture_->Schema("CREATE TABLE note(id BIGINT PRIMARY KEY, body TEXT);"
                               "CREATE TABLE parent(id BIGINT PRIMARY KEY);"
                               "CREATE TABLE child(id BIGINT PRIMARY KEY, parent_id BIGINT REFERENCES parent(id) "
                               "DEFERRABLE INITIALLY DEFERRED)"),
              IsOk());
  const CallContext ctx = AnyCall();
  ASSERT_THAT(RunOn(loop(), two_phase().Init(ctx)), IsOk());
}

CallContext TwoPhaseContract::Within(absl::Duration timeout) {
  CallContext ctx(loop());
  ctx.deadline = loop().Now() + timeout;
  return ctx;
}

void TwoPhaseContract::LetPass(absl::Duration time) {
  const absl::Time until = loop().Now() + time;
  while (loop().Now() < until) loop().RunOnce(absl::Milliseconds(5));
}

bool TwoPhaseContract::Eventually(const std::function<bool()>& done) {
  const absl::Time until = loop().Now() + absl::Seconds(10);
  while (!done()) {
    if (loop().Now() >= until) return false;
    loop().RunOnce(absl::Milliseconds(5));
  }
  return true;
}

Statement TwoPhaseContract::Sql(const std::string& sql, bool writes) {
  Statement statement;
  statement.sql = std::make_shared<const std::string>(sql);
  statement.returns_rows = !writes;
  statement.writes = writes;
  return statement;
}

Statement TwoPhaseContract::InsertNote(int64_t id) {
  return Sql(absl::StrCat("INSERT INTO note(id, body) VALUES (", id, ", 'x')"), true);
}

std::unique_ptr<Session> TwoPhaseContract::Lease(SessionOptions options) {
  const CallContext ctx = AnyCall();
  absl::StatusOr<std::unique_ptr<Session>> session = RunOn(loop(), backend().Lease(options, ctx));
  EXPECT_THAT(session, IsOk());
  return session.ok() ? *std::move(session) : nullptr;
}

absl::Status TwoPhaseContract::Execute(Session& session, Statement statement, absl::Duration timeout) {
  const CallContext ctx = Within(timeout);
  Step step;
  step.statements.push_back(std::move(statement));
  return RunOn(loop(), session.Execute(step, ctx)).status();
}

std::unique_ptr<Session> TwoPhaseContract::Writer(int64_t note) {
  std::unique_ptr<Session> session = Lease();
  EXPECT_THAT(Execute(*session, InsertNote(note)), IsOk());
  return session;
}

absl::Status TwoPhaseContract::Prepare(Session& session, const GlobalTransaction& transaction, absl::Duration timeout) {
  const CallContext ctx = Within(timeout);
  return RunOn(loop(), session.Prepare(transaction, ctx));
}

PreparedTask TwoPhaseContract::RunAndPrepare(Session& session, const Task& task, const GlobalTransaction& transaction,
                                             absl::Duration timeout) {
  const CallContext ctx = Within(timeout);
  return RunOn(loop(), session.RunAndPrepare(task, transaction, ctx));
}

void TwoPhaseContract::PrepareNote(const GlobalTransaction& transaction, int64_t note) {
  const std::unique_ptr<Session> session = Writer(note);
  EXPECT_THAT(Prepare(*session, transaction), IsOk());
}

absl::Status TwoPhaseContract::Commit(Session& session, const CommitOptions& options, absl::Duration timeout) {
  const CallContext ctx = Within(timeout);
  return RunOn(loop(), session.Commit(options, ctx));
}

absl::StatusOr<std::optional<TaskResult>> TwoPhaseContract::Claim(Session& session, const RequestGuard& guard) {
  const CallContext ctx = AnyCall();
  return RunOn(loop(), session.Claim(guard, ctx));
}

absl::StatusOr<TaskResult> TwoPhaseContract::ExecuteAlone(Statement statement, absl::Duration timeout) {
  const CallContext ctx = Within(timeout);
  Task task;
  task.steps.emplace_back().statements.push_back(std::move(statement));
  return RunOn(loop(), backend().Execute(task, ctx));
}

int64_t TwoPhaseContract::Notes() {
  const absl::StatusOr<TaskResult> result = ExecuteAlone(Sql("SELECT count(*) FROM note", false));
  EXPECT_THAT(result, IsOk());
  return result.ok() ? result->steps.at(0).statements.at(0).batch.rows.at(0).at(0).int64_value() : -1;
}

absl::StatusOr<BranchEnd> TwoPhaseContract::Finish(const GlobalTransaction& transaction, Verdict verdict) {
  const CallContext ctx = AnyCall();
  return RunOn(loop(), two_phase().Finish(transaction, verdict, ctx));
}

std::vector<Branch> TwoPhaseContract::Branches() {
  const CallContext ctx = AnyCall();
  absl::StatusOr<std::vector<Branch>> branches = RunOn(loop(), two_phase().ListBranches(ctx));
  EXPECT_THAT(branches, IsOk());
  return branches.ok() ? *std::move(branches) : std::vector<Branch>();
}

std::vector<std::string> TwoPhaseContract::Parts(const std::vector<std::string>& ids) {
  const CallContext ctx = AnyCall();
  absl::StatusOr<std::vector<std::string>> parts = RunOn(loop(), two_phase().FindParts(ids, ctx));
  EXPECT_THAT(parts, IsOk());
  return parts.ok() ? *std::move(parts) : std::vector<std::string>();
}

std::optional<Decision> TwoPhaseContract::FindDecision(const std::string& id) {
  const CallContext ctx = AnyCall();
  absl::StatusOr<std::optional<Decision>> decision = RunOn(loop(), two_phase().FindDecision(id, ctx));
  EXPECT_THAT(decision, IsOk());
  return decision.ok() ? *std::move(decision) : std::nullopt;
}

absl::StatusOr<Decision> TwoPhaseContract::DecideAbort(const std::string& id) {
  const CallContext ctx = AnyCall();
  return RunOn(loop(), two_phase().DecideAbort(id, ctx));
}

std::vector<std::string> TwoPhaseContract::DecisionIds(const DecisionFilter& filter) {
  const CallContext ctx = AnyCall();
  const absl::StatusOr<std::vector<Decision>> decisions = RunOn(loop(), two_phase().ListDecisions(filter, ctx));
  EXPECT_THAT(decisions, IsOk());
  std::vector<std::string> ids;
  if (!decisions.ok()) return ids;
  for (const Decision& decision : *decisions) ids.push_back(decision.transaction_id);
  return ids;
}

absl::StatusOr<std::unique_ptr<GateHold>> TwoPhaseContract::CloseGate(GateWait wait, absl::Duration timeout) {
  const CallContext ctx = Within(timeout);
  return RunOn(loop(), two_phase().CloseGate(wait, ctx));
}

absl::StatusOr<bool> TwoPhaseContract::Release(GateHold& hold) {
  const CallContext ctx = AnyCall();
  return RunOn(loop(), hold.Release(ctx));
}

GlobalTransaction TransactionOf(int number) {
  return {absl::StrFormat("t2-00c0ffee00c0ffee-01-%032x", number), "s9"};
}

CommitOptions Deciding(int number) {
  Decision decision;
  decision.transaction_id = TransactionOf(number).id;
  decision.verdict = Verdict::kCommit;
  decision.participants = {"s0", kTwoPhaseShard};
  CommitOptions options;
  options.pass_gate = true;
  options.decision = std::move(decision);
  return options;
}

}  // namespace quarry
