// A database as a shard that takes part in transactions over several, for tests of what is PostgreSQL's own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/backend/postgres/backend.h"
#include "core/base/epoll_loop.h"
#include "gtest/gtest.h"
#include "tests/support/postgres/postgres_cluster.h"
#include "tests/support/status_matchers.h"

namespace quarry {

class TwoPhaseTest : public testing::Test {
 protected:
  void Use(PostgresCluster& cluster) {
    cluster_ = &cluster;
    ASSERT_OK_AND_ASSIGN(options_.conninfo, cluster.CreateDatabase("shard"));
    options_.shard = "s1";
    options_.deployment = "test";
    options_.sessions_max = 8;
    Schema("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)");
    Open();
  }
  void Open() { backend_ = MakePostgresBackend(loop_, options_); }
  void Init() {
    const CallContext ctx = Within(absl::Seconds(20));
    ASSERT_THAT(RunOn(loop_, backend_->two_phase().Init(ctx)), IsOk());
  }
  void TearDown() override {
    backend_.reset();
    if (cluster_ == nullptr) return;
    const absl::StatusOr<std::string> left = cluster_->QueryOne(
        "shard", "SELECT coalesce(string_agg(format('ROLLBACK PREPARED %L', gid), ';'), '') FROM pg_prepared_xacts");
    // One at a time: they do not go together.
    for (std::string rest = left.value_or(""); !rest.empty();) {
      const size_t end = rest.find(';');
      cluster_->Run("shard", rest.substr(0, end)).IgnoreError();
      rest = end == std::string::npos ? "" : rest.substr(end + 1);
    }
  }

  static Statement Sql(const std::string& sql, bool writes) {
    Statement statement;
    statement.sql = std::make_shared<const std::string>(sql);
    statement.returns_rows = !writes;
    statement.writes = writes;
    return statement;
  }
  static Step StepOf(const std::string& sql, bool writes) {
    Step step;
    step.statements.push_back(Sql(sql, writes));
    return step;
  }
  static Step Insert(int64_t id) { return StepOf(absl::StrCat("INSERT INTO t VALUES (", id, ", 0)"), true); }
  static GlobalTransaction TransactionOf(int64_t number) { return {absl::StrFormat("t2-0-00-%032x", number), "s9"}; }
  static CommitOptions Deciding(int64_t number) {
    CommitOptions options;
    options.decision.emplace();
    options.decision->transaction_id = TransactionOf(number).id;
    options.decision->verdict = Verdict::kCommit;
    options.decision->participants = {"s1", "s2"};
    options.pass_gate = true;
    return options;
  }
  CallContext Within(absl::Duration timeout) {
    CallContext ctx(loop_);
    ctx.deadline = loop_.Now() + timeout;
    return ctx;
  }
  std::unique_ptr<Session> Lease(bool transaction = true, bool undo_steps = true) {
    const CallContext ctx = Within(absl::Seconds(20));
    SessionOptions options;
    options.transaction = transaction;
    options.undo_steps = undo_steps;
    absl::StatusOr<std::unique_ptr<Session>> session = RunOn(loop_, backend_->Lease(options, ctx));
    EXPECT_THAT(session, IsOk());
    return session.ok() ? *std::move(session) : nullptr;
  }
  absl::StatusOr<StepResult> Execute(Session& session, const Step& step, absl::Duration timeout = absl::Seconds(20)) {
    const CallContext ctx = Within(timeout);
    return RunOn(loop_, session.Execute(step, ctx));
  }
  std::unique_ptr<Session> Writer(int64_t id) {
    std::unique_ptr<Session> session = Lease();
    EXPECT_THAT(Execute(*session, Insert(id)), IsOk());
    return session;
  }
  absl::Status Prepare(Session& session, int64_t number, absl::Duration timeout = absl::Seconds(20)) {
    const CallContext ctx = Within(timeout);
    return RunOn(loop_, session.Prepare(TransactionOf(number), ctx));
  }
  absl::Status Commit(Session& session, const CommitOptions& options = kPlainCommit) {
    const CallContext ctx = Within(absl::Seconds(20));
    return RunOn(loop_, session.Commit(options, ctx));
  }
  absl::Status Check() {
    const CallContext ctx = Within(absl::Seconds(20));
    return RunOn(loop_, backend_->two_phase().Check(ctx));
  }
  bool Eventually(const std::function<bool()>& done, absl::Duration max = absl::Seconds(20)) {
    const absl::Time until = loop_.Now() + max;
    while (!done()) {
      if (loop_.Now() >= until) return false;
      loop_.RunOnce(absl::Milliseconds(5));
    }
    return true;
  }
  void Schema(const std::string& sql) { ASSERT_THAT(cluster_->Run("shard", sql), IsOk()); }
  std::string Query(const std::string& sql) { return cluster_->QueryOne("shard", sql).value_or("failed"); }

  PostgresCluster* cluster_ = nullptr;
  EpollLoop loop_;
  PostgresOptions options_;
  std::unique_ptr<Backend> backend_;
};

}  // namespace quarry
