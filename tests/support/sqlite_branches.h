// One SQLite shard with what a test of its branches does to it. Any test binary that links quarry::sqlite.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "core/base/epoll_loop.h"
#include "core/base/status_macros.h"

namespace quarry {

class BranchShard {
 public:
  explicit BranchShard(std::string file) { options.file = std::move(file), options.shard = "s0"; }
  ~BranchShard() { Close(); }

  absl::Status Open() {
    Close();
    QUARRY_ASSIGN_OR_RETURN(database, SqliteDatabase::Open(options));
    backend = MakeSqliteBackend(loop, database, LeasePoolOptions());
    return absl::OkStatus();
  }
  void Close() {
    backend.reset();
    database.reset();
    // Connections that are on their way back to their pool.
    loop.RunOnce(absl::ZeroDuration());
  }

  CallContext Within(absl::Duration timeout) {
    CallContext ctx(loop);
    ctx.deadline = loop.Now() + timeout;
    return ctx;
  }
  static Statement Sql(const std::string& sql, std::vector<Value> params = {}) {
    Statement statement;
    statement.sql = std::make_shared<const std::string>(sql);
    statement.params = std::move(params);
    statement.writes = true;
    return statement;
  }
  static Statement Raw(const std::string& sql) {
    Statement statement = Sql(sql);
    statement.raw = true;
    return statement;
  }

  std::unique_ptr<Session> Lease(SessionOptions session = {}) {
    const CallContext ctx = Within(absl::Seconds(30));
    return *RunOn(loop, backend->Lease(session, ctx));
  }
  absl::StatusOr<StepResult> Execute(Session& session, Statement statement,
                                     absl::Duration timeout = absl::Seconds(30)) {
    Step step;
    step.statements.push_back(std::move(statement));
    const CallContext ctx = Within(timeout);
    return RunOn(loop, session.Execute(step, ctx));
  }
  absl::Status Control(Session& session, const std::string& sql) {
    const CallContext ctx = Within(absl::Seconds(30));
    return RunOn(loop, session.Control(sql, ctx));
  }
  absl::Status Commit(Session& session, const CommitOptions& commit = kPlainCommit) {
    const CallContext ctx = Within(absl::Seconds(30));
    return RunOn(loop, session.Commit(commit, ctx));
  }
  absl::Status Prepare(Session& session, const GlobalTransaction& transaction) {
    const CallContext ctx = Within(absl::Seconds(30));
    return RunOn(loop, session.Prepare(transaction, ctx));
  }
  absl::StatusOr<BranchEnd> Finish(const GlobalTransaction& transaction, Verdict verdict) {
    const CallContext ctx = Within(absl::Seconds(30));
    return RunOn(loop, backend->two_phase().Finish(transaction, verdict, ctx));
  }
  std::vector<Branch> Branches() {
    const CallContext ctx = Within(absl::Seconds(30));
    return *RunOn(loop, backend->two_phase().ListBranches(ctx));
  }
  // A write in a transaction of its own.
  absl::Status Write(const std::string& sql, absl::Duration timeout = absl::Seconds(30)) {
    Task task;
    task.steps.emplace_back().statements.push_back(Sql(sql));
    const CallContext ctx = Within(timeout);
    return RunOn(loop, backend->Execute(task, ctx)).status();
  }
  // The rows of a query, every value as text.
  std::vector<std::string> Rows(const std::string& sql) {
    Task task;
    Statement statement = Sql(sql);
    statement.writes = false;
    task.steps.emplace_back().statements.push_back(std::move(statement));
    const CallContext ctx = Within(absl::Seconds(30));
    const absl::StatusOr<TaskResult> result = RunOn(loop, backend->Execute(task, ctx));
    if (!result.ok()) return {result.status().ToString()};
    std::vector<std::string> rows;
    for (const Row& row : result->steps[0].statements[0].batch.rows) rows.push_back(row[0].text());
    return rows;
  }

  SqliteOptions options;
  EpollLoop loop;
  std::shared_ptr<SqliteDatabase> database;
  std::unique_ptr<Backend> backend;
};

inline GlobalTransaction BranchOf(int number) {
  return {"t2-00c0ffee00c0ffee-00-" + std::to_string(number), "s9"};
}

}  // namespace quarry
