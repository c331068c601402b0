#include "tests/contract/backend/backend_contract.h"

#include <regex>
#include <utility>

#include "absl/strings/str_cat.h"
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

std::string BackendContract::Sql(const std::string& postgres_sql) const {
  if (!sqlite()) return postgres_sql;
  std::string sql = std::regex_replace(postgres_sql, std::regex(R"(\$(\d+))"), "?$1");
  sql = std::regex_replace(sql, std::regex(R"(\bNUMERIC\b)"), "DECIMAL_TEXT");
  sql = std::regex_replace(sql, std::regex(R"(\bJSONB?\b)"), "JSON_TEXT");
  return std::regex_replace(sql, std::regex(R"(\bBYTEA\b)"), "BLOB");
}

void BackendContract::CreateTables(const std::string& ddl) {
  ASSERT_THAT(fixture_->Schema(Sql(ddl)), IsOk());
}

Statement BackendContract::Read(const std::string& sql, std::vector<Value> params) const {
  Statement statement;
  statement.sql = std::make_shared<const std::string>(Sql(sql));
  statement.params = std::move(params);
  statement.returns_rows = true;
  return statement;
}

Statement BackendContract::Write(const std::string& sql, std::vector<Value> params) const {
  Statement statement = Read(sql, std::move(params));
  statement.returns_rows = false;
  statement.writes = true;
  return statement;
}

Statement BackendContract::WriteReturning(const std::string& sql, std::vector<Value> params) const {
  Statement statement = Write(sql, std::move(params));
  statement.returns_rows = true;
  return statement;
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

absl::StatusOr<std::vector<Row>> BackendContract::Rows(const std::string& sql, std::vector<Value> params) {
  absl::StatusOr<TaskResult> result = Execute(TaskOf({Read(sql, std::move(params))}));
  if (!result.ok()) return result.status();
  return std::move(result->steps.at(0).statements.at(0).batch.rows);
}

int64_t BackendContract::Count(const std::string& table) {
  const absl::StatusOr<std::vector<Row>> rows = Rows("SELECT count(*) FROM " + table);
  EXPECT_THAT(rows, IsOk());
  return rows.ok() ? rows->at(0).at(0).int64_value() : -1;
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
