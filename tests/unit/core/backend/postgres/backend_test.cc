// What is PostgreSQL's own; what any backend does is in the contract suite.
#include "core/backend/postgres/backend.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/epoll_loop.h"
#include "core/base/gather.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/postgres/postgres_cluster.h"
#include "tests/support/postgres/tcp_gate.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

Statement Sql(const std::string& sql, std::vector<Value> params = {}, bool writes = false) {
  Statement statement;
  statement.sql = std::make_shared<const std::string>(sql);
  statement.params = std::move(params);
  statement.returns_rows = !writes;
  statement.writes = writes;
  return statement;
}

Task OneStep(Statement statement) {
  Task task;
  Step step;
  step.statements.push_back(std::move(statement));
  task.steps.push_back(std::move(step));
  return task;
}

class PostgresBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(const std::string conninfo, PostgresCluster::Shared().CreateDatabase("backend"));
    options_.shard = "s0";
    options_.conninfo = conninfo;
    backend_ = MakePostgresBackend(loop_, options_);
    Schema("CREATE TABLE t (id bigint PRIMARY KEY, n int, note text)");
  }
  void Schema(const std::string& sql) { ASSERT_THAT(PostgresCluster::Shared().Run("backend", sql), IsOk()); }
  CallContext Within(absl::Duration timeout) {
    CallContext ctx(loop_);
    ctx.deadline = loop_.Now() + timeout;
    return ctx;
  }
  absl::StatusOr<TaskResult> Execute(const Task& task, absl::Duration timeout = absl::Seconds(20)) {
    const CallContext ctx = Within(timeout);
    return RunOn(loop_, backend_->Execute(task, ctx));
  }
  std::vector<absl::StatusOr<TaskResult>> ExecuteAll(const std::vector<Task>& tasks, absl::Duration timeout = absl::Seconds(20)) {
    const CallContext ctx = Within(timeout);
    std::vector<Async<absl::StatusOr<TaskResult>>> work;
    for (const Task& task : tasks) work.push_back(backend_->Execute(task, ctx));
    GatherOptions options;
    options.width = tasks.size();
    options.stop_at_first_error = false;
    return RunOn(loop_, Gather(loop_, std::move(work), options));
  }
  std::string Query(const std::string& sql) {
    return PostgresCluster::Shared().QueryOne("backend", sql).value_or("failed");
  }
  void ExpectNothingLeased() {
    const absl::Time last = loop_.Now() + absl::Seconds(10);
    while (backend_->stats().sessions_leased > 0 && loop_.Now() < last) loop_.RunOnce(absl::Milliseconds(10));
    EXPECT_EQ(backend_->stats().sessions_leased, 0);
  }

  EpollLoop loop_;
  PostgresOptions options_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(PostgresBackendTest, WritesThatWaitTogetherShareOneCommit) {
  std::vector<Task> tasks;
  for (int64_t i = 0; i < 50; ++i) tasks.push_back(OneStep(Sql("INSERT INTO t VALUES ($1)", {Value::Int64(i)}, true)));
  for (const auto& result : ExecuteAll(tasks)) EXPECT_THAT(result, IsOk());
  EXPECT_EQ(Query("SELECT count(*) FROM t"), "50");
  EXPECT_GE(backend_->stats().groups, 1);
  EXPECT_EQ(Query("SELECT count(DISTINCT xmin::text) < 50 FROM t"), "t");
}

TEST_F(PostgresBackendTest, AFailingMemberOfAGroupHurtsNoOther) {
  Schema("INSERT INTO t VALUES (7)");
  std::vector<Task> tasks;
  for (int64_t i = 0; i < 20; ++i) tasks.push_back(OneStep(Sql("INSERT INTO t VALUES ($1)", {Value::Int64(i)}, true)));
  const std::vector<absl::StatusOr<TaskResult>> results = ExecuteAll(tasks);
  for (size_t i = 0; i < results.size(); ++i) {
    if (i == 7) {
      EXPECT_THAT(results[i], HasReason(reason::kUniqueViolation));
    } else {
      EXPECT_THAT(results[i], IsOk()) << i;
    }
  }
  EXPECT_EQ(Query("SELECT count(*) FROM t"), "20");
}

// A read of table t by key, in the form that may be joined with others.
Statement PointRead(const std::shared_ptr<const ManyKeysForm>& many, Value key) {
  static const auto sql = std::make_shared<const std::string>("SELECT note, id FROM t WHERE id = $1");
  Statement statement;
  statement.sql = sql;
  statement.params.push_back(std::move(key));
  statement.returns_rows = true;
  statement.many = many;
  return statement;
}

std::shared_ptr<const ManyKeysForm> ManyNotes() {
  ManyKeysForm many;
  many.sql = std::make_shared<const std::string>("SELECT note, id FROM t WHERE id = ANY($1)");
  many.key_positions = {1};
  return std::make_shared<const ManyKeysForm>(std::move(many));
}

TEST_F(PostgresBackendTest, ReadsThatWaitTogetherAreJoinedAndEachGetsItsOwnRow) {
  Schema("INSERT INTO t SELECT i, 0, 'note ' || i FROM generate_series(0, 98, 2) AS i");
  const std::shared_ptr<const ManyKeysForm> many = ManyNotes();
  std::vector<Task> tasks;
  // Every other key has no row; each is asked for twice.
  for (int64_t i = 0; i < 200; ++i) tasks.push_back(OneStep(PointRead(many, Value::Int64(i % 100))));
  const std::vector<absl::StatusOr<TaskResult>> results = ExecuteAll(tasks);
  for (size_t i = 0; i < results.size(); ++i) {
    ASSERT_THAT(results[i], IsOk());
    const std::vector<Row>& rows = results[i]->steps[0].statements[0].batch.rows;
    const size_t key = i % 100;
    if (key % 2 == 1) {
      EXPECT_TRUE(rows.empty()) << key;
    } else {
      ASSERT_EQ(rows.size(), 1u) << key;
      EXPECT_EQ(rows[0][0], Value::Text(absl::StrCat("note ", key)));
    }
  }
  EXPECT_GT(backend_->stats().joined_reads, 100);
}

TEST_F(PostgresBackendTest, TwoReadsAreJoinedAndOneIsNot) {
  Schema("INSERT INTO t SELECT i, 0, 'note ' || i FROM generate_series(0, 9) AS i");
  const std::shared_ptr<const ManyKeysForm> many = ManyNotes();
  std::vector<Task> tasks = {OneStep(PointRead(many, Value::Int64(3)))};
  EXPECT_THAT(ExecuteAll(tasks)[0], IsOk());
  EXPECT_EQ(backend_->stats().joined_reads, 0);
  tasks.push_back(OneStep(PointRead(many, Value::Int64(4))));
  const std::vector<absl::StatusOr<TaskResult>> results = ExecuteAll(tasks);
  for (size_t i = 0; i < results.size(); ++i) {
    ASSERT_THAT(results[i], IsOk());
    ASSERT_EQ(results[i]->steps[0].statements[0].batch.rows.size(), 1u);
    EXPECT_EQ(results[i]->steps[0].statements[0].batch.rows[0][0], Value::Text(absl::StrCat("note ", 3 + i)));
  }
  EXPECT_EQ(backend_->stats().joined_reads, 2);
}

TEST_F(PostgresBackendTest, SpreadsReadsOverConnectionsOnlyWhereOneHasMany) {
  Schema("INSERT INTO t SELECT i, 0, 'x' FROM generate_series(0, 9) AS i");
  const std::shared_ptr<const ManyKeysForm> many = ManyNotes();
  std::vector<Task> tasks;
  for (int64_t i = 0; i < 8; ++i) tasks.push_back(OneStep(PointRead(many, Value::Int64(i))));
  for (const auto& result : ExecuteAll(tasks)) EXPECT_THAT(result, IsOk());
  EXPECT_EQ(backend_->stats().sessions_open, 1);
  for (int64_t i = 0; i < 200; ++i) tasks.push_back(OneStep(PointRead(many, Value::Int64(i))));
  for (const auto& result : ExecuteAll(tasks)) EXPECT_THAT(result, IsOk());
  EXPECT_EQ(backend_->stats().sessions_open, 2);
}

TEST_F(PostgresBackendTest, AReadThatCannotBeJoinedIsToldAloneAndHurtsNoOther) {
  Schema("INSERT INTO t SELECT i, 0, 'x' FROM generate_series(0, 19) AS i");
  const std::shared_ptr<const ManyKeysForm> many = ManyNotes();
  std::vector<Task> tasks;
  for (int64_t i = 0; i < 20; ++i) {
    Value key = i == 7 ? Value::Text("no number") : Value::Int64(i);
    tasks.push_back(OneStep(PointRead(many, std::move(key))));
  }
  const std::vector<absl::StatusOr<TaskResult>> results = ExecuteAll(tasks);
  for (size_t i = 0; i < results.size(); ++i) {
    if (i == 7) {
      EXPECT_THAT(results[i], StatusIs(absl::StatusCode::kInvalidArgument));
    } else {
      ASSERT_THAT(results[i], IsOk()) << i;
      EXPECT_EQ(results[i]->steps[0].statements[0].batch.rows.size(), 1u) << i;
    }
  }
}

TEST_F(PostgresBackendTest, CallersThatGoWhileTheyWaitLeaveTheOthersOfAJoinedReadTheirRows) {
  Schema("INSERT INTO t SELECT i, 0, 'x' FROM generate_series(0, 19) AS i");
  const std::shared_ptr<const ManyKeysForm> many = ManyNotes();
  const CallContext ctx = Within(absl::Seconds(20));
  for (size_t turns = 0; turns < 12; ++turns) {
    std::vector<std::unique_ptr<Task>> tasks;
    std::vector<std::optional<absl::StatusOr<TaskResult>>> results(20);
    std::vector<Running> running;
    for (size_t i = 0; i < results.size(); ++i) {
      tasks.push_back(std::make_unique<Task>(OneStep(PointRead(many, Value::Int64(static_cast<int64_t>(i))))));
      running.emplace_back(backend_->Execute(*tasks[i], ctx),
                           [&results, i](absl::StatusOr<TaskResult> r) { results[i].emplace(std::move(r)); });
    }
    for (size_t turn = 0; turn < turns; ++turn) loop_.RunOnce(absl::ZeroDuration());
    for (size_t i = 0; i < results.size(); i += 3) {
      running[i] = Running();
      tasks[i].reset();
    }
    for (size_t i = 0; i < results.size(); ++i) {
      while (i % 3 != 0 && !results[i].has_value()) loop_.RunOnce(absl::Milliseconds(100));
      if (i % 3 != 0) {
        ASSERT_THAT(*results[i], IsOk());
        EXPECT_EQ((*results[i])->steps[0].statements[0].batch.rows[0][1], Value::Int64(static_cast<int64_t>(i)));
      }
    }
  }
}

TEST_F(PostgresBackendTest, ADeferredConstraintFailsItsWriteAtTheCommit) {
  Schema("CREATE TABLE child (id bigint PRIMARY KEY, t bigint REFERENCES t DEFERRABLE INITIALLY DEFERRED)");
  std::vector<Task> tasks;
  tasks.push_back(OneStep(Sql("INSERT INTO child VALUES ($1, $2)", {Value::Int64(1), Value::Int64(99)}, true)));
  tasks.push_back(OneStep(Sql("INSERT INTO t VALUES ($1)", {Value::Int64(1)}, true)));
  const std::vector<absl::StatusOr<TaskResult>> results = ExecuteAll(tasks);
  EXPECT_THAT(results[0], HasReason(reason::kConstraintViolation));
  EXPECT_THAT(results[1], IsOk());
  EXPECT_EQ(Query("SELECT count(*) FROM child"), "0");
}

TEST_F(PostgresBackendTest, AWriteBehindALockedRowHoldsUpNobodyElse) {
  Schema("INSERT INTO t VALUES (1, 0), (2, 0)");
  const CallContext ctx = Within(absl::Seconds(20));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> holder, RunOn(loop_, backend_->Lease(SessionOptions(), ctx)));
  Step lock;
  lock.statements.push_back(Sql("UPDATE t SET n = n + 1 WHERE id = 1", {}, true));
  ASSERT_THAT(RunOn(loop_, holder->Execute(lock, ctx)), IsOk());

  const Task blocked = OneStep(Sql("UPDATE t SET n = n + 10 WHERE id = $1", {Value::Int64(1)}, true));
  absl::optional<absl::Status> ended;
  const Running waiting(backend_->Execute(blocked, ctx), [&ended](absl::StatusOr<TaskResult> r) { ended = r.status(); });
  EXPECT_THAT(Execute(OneStep(Sql("UPDATE t SET n = n + 10 WHERE id = $1", {Value::Int64(2)}, true))), IsOk());
  EXPECT_FALSE(ended.has_value());
  ASSERT_THAT(RunOn(loop_, holder->Commit(kPlainCommit, ctx)), IsOk());
  while (!ended.has_value()) loop_.RunOnce(absl::Milliseconds(100));
  EXPECT_THAT(*ended, IsOk());
  EXPECT_EQ(Query("SELECT n FROM t WHERE id = 1"), "11");
}

TEST_F(PostgresBackendTest, PreparesAnewWhenATablesDefinitionChanges) {
  Schema("INSERT INTO t VALUES (1, 5)");
  const Task read = OneStep(Sql("SELECT * FROM t"));
  ASSERT_THAT(Execute(read), IsOk());
  Schema("ALTER TABLE t ADD COLUMN added text DEFAULT 'x'");
  ASSERT_OK_AND_ASSIGN(const TaskResult result, Execute(read));
  EXPECT_EQ(result.steps[0].statements[0].batch.rows[0].size(), 4U);
}

TEST_F(PostgresBackendTest, ReadsTypesThatAreNotBuiltInAsNatives) {
  Schema("CREATE TYPE mood AS ENUM ('calm', 'glad')");
  ASSERT_OK_AND_ASSIGN(const TaskResult result,
                       Execute(OneStep(Sql("SELECT 'glad'::mood, 7::bigint, '10.0.0.1'::inet, 1.50::numeric, "
                                           "'infinity'::timestamptz, ARRAY[1,NULL]::int4[]"))));
  const StatementResult& read = result.steps[0].statements[0];
  EXPECT_EQ(read.batch.rows[0],
            (Row{Value::Native("mood", "glad"), Value::Int64(7), Value::Native("inet", "10.0.0.1"), Value::Decimal("1.50"),
                 Value::Native("timestamptz", "infinity"), Value::Array({Value::Int64(1), Value::Null()})}));
  EXPECT_EQ((*read.batch.header)[0].type.native_name, "mood");
}

TEST_F(PostgresBackendTest, GivesTheSameValuesInTextAndInBinaryForm) {
  const std::string values =
      "(-32768)::int2, 9223372036854775807::int8, 'NaN'::float8, '-Infinity'::float4, 0.1::float4, 'a''b'::text, "
      "'\\x00ff'::bytea, '2026-01-31 23:59:59.000001'::timestamp, '0001-01-01 00:00:00+00'::timestamptz, "
      "'0044-03-15 BC'::date, '23:59:59.5'::time, '1 year -3 days 04:05:06.7'::interval, '-0.00012'::numeric, "
      "'NaN'::numeric, 'Infinity'::numeric, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '{\"a\": 1}'::jsonb, "
      "'{}'::int8[], '{{1,2},{3,NULL}}'::int4[], '{\"a,b\",NULL,\"NULL\"}'::text[], true, "
      "'20000-01-01 00:00:00'::timestamp, '-infinity'::date, 1e100::numeric, "
      "ARRAY['2026-01-31 01:02:03'::timestamptz], ARRAY['\\x01'::bytea]";
  ASSERT_OK_AND_ASSIGN(const TaskResult binary, Execute(OneStep(Sql("SELECT " + values))));
  ASSERT_OK_AND_ASSIGN(const TaskResult text, Execute(OneStep(Sql("SELECT " + values + ", '::1'::inet"))));
  Row expected = binary.steps[0].statements[0].batch.rows[0];
  expected.push_back(Value::Native("inet", "::1"));
  const Row& got = text.steps[0].statements[0].batch.rows[0];
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i], expected[i]) << i << ": " << DebugString(got[i]) << " and " << DebugString(expected[i]);
  }
}

// How many connections it opens: they go through a gate that counts them.
class PostgresConnectionsTest : public PostgresBackendTest {
 protected:
  void SetUp() override {
    PostgresBackendTest::SetUp();
    options_.conninfo += absl::StrCat(" host=127.0.0.1 port=", gate_.port());
    options_.sessions_max = 6;
    backend_ = MakePostgresBackend(loop_, options_);
  }
  void TearDown() override { backend_ = nullptr; }
  // Each takes a session.
  static std::vector<Task> GuardedWrites(const std::string& sql, int64_t count) {
    std::vector<Task> tasks;
    for (int64_t i = 10; i < 10 + count; ++i) {
      tasks.push_back(OneStep(Sql(sql, {Value::Int64(i)}, true)));
      tasks.back().guard = RequestGuard{absl::StrCat("018f3a70-0000-7000-8000-0000000000", i), 1};
    }
    return tasks;
  }

  TcpGate gate_{PostgresCluster::Shared().port()};
};

TEST_F(PostgresConnectionsTest, OneLooksForQuarrysTablesForAllFirstWrites) {
  for (const auto& result : ExecuteAll(GuardedWrites("INSERT INTO t VALUES ($1)", 50))) EXPECT_THAT(result, IsOk());
  EXPECT_EQ(Query("SELECT count(*) FROM t"), "50");
  EXPECT_LE(gate_.accepted(), options_.sessions_max + 1);
}

TEST_F(PostgresConnectionsTest, ARightThatIsMissingIsToldToAllWhoWaitForTheLook) {
  Schema("CREATE SCHEMA quarry; DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; GRANT INSERT ON t TO reader");
  options_.conninfo += " user=reader";
  backend_ = MakePostgresBackend(loop_, options_);
  const int64_t before = gate_.accepted();
  for (const auto& result : ExecuteAll(GuardedWrites("INSERT INTO t VALUES ($1)", 50))) {
    EXPECT_THAT(result, HasReason(reason::kPermissionDenied));
  }
  EXPECT_EQ(gate_.accepted(), before + 1);
}

TEST_F(PostgresConnectionsTest, StatementsThatAreCancelledTogetherUseOneConnectionForIt) {
  const auto results =
      ExecuteAll(GuardedWrites("INSERT INTO t SELECT $1 FROM pg_sleep(60)", options_.sessions_max), absl::Seconds(2));
  for (const auto& result : results) EXPECT_THAT(result, StatusIs(absl::StatusCode::kDeadlineExceeded));
  ExpectNothingLeased();
  EXPECT_EQ(Query("SELECT count(*) FROM t"), "0");
  EXPECT_LE(gate_.accepted(), options_.sessions_max + 2);  // That, and the one that looked for Quarry's tables.
}

TEST_F(PostgresBackendTest, AGuardedWriteWithoutTheRightToCreateSaysWhatIsMissing) {
  Schema("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN; GRANT ALL ON t TO plain");
  options_.conninfo += " user=plain";
  const auto limited = MakePostgresBackend(loop_, options_);
  Task task = OneStep(Sql("INSERT INTO t VALUES (1)", {}, true));
  task.guard = RequestGuard{"018f3a70-0000-7000-8000-000000000001", 1};
  const CallContext ctx = Within(absl::Seconds(10));
  const absl::StatusOr<TaskResult> refused = RunOn(loop_, limited->Execute(task, ctx));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_NE(std::string(refused.status().message()).find("quarry.requests"), std::string::npos);
  task.guard.reset();
  EXPECT_THAT(RunOn(loop_, limited->Execute(task, ctx)), IsOk());
  Schema("DROP OWNED BY plain; DROP ROLE plain");
}

TEST_F(PostgresBackendTest, ARightThatIsMissingIsToldWithItsObject) {
  Schema("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN");
  const CallContext ctx = Within(absl::Seconds(20));
  ASSERT_THAT(RunOn(loop_, backend_->two_phase().Init(ctx)), IsOk());
  options_.conninfo += " user=stranger";
  const auto limited = MakePostgresBackend(loop_, options_);
  Task task = OneStep(Sql("INSERT INTO t VALUES (1)", {}, true));
  const absl::StatusOr<TaskResult> refused = RunOn(loop_, limited->Execute(task, ctx));
  EXPECT_THAT(refused, HasReason(reason::kPermissionDenied));
  EXPECT_THAT(std::string(refused.status().message()), testing::HasSubstr("permission denied for table t;"));

  Schema("GRANT ALL ON t TO stranger");
  task.guard = RequestGuard{"018f3a70-0000-7000-8000-000000000001", 1};
  const std::string unusable(RunOn(loop_, limited->Execute(task, ctx)).status().message());
  EXPECT_THAT(unusable, testing::HasSubstr("grant it USAGE on the schema"));
  EXPECT_THAT(unusable, testing::Not(testing::HasSubstr("does not exist"))) << "the table is there";
  Schema("GRANT USAGE ON SCHEMA quarry TO stranger");
  EXPECT_THAT(std::string(RunOn(loop_, limited->Execute(task, ctx)).status().message()),
              testing::HasSubstr("permission denied for table requests;"));
  Schema("DROP OWNED BY stranger; DROP ROLE stranger");
}

TEST_F(PostgresBackendTest, WhatATriggerSaysOfRightsIsNotPassedOn) {
  Schema("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
         "$$ BEGIN RAISE insufficient_privilege USING MESSAGE = 'not for ' || NEW.note; END $$; "
         "CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse()");
  const absl::StatusOr<TaskResult> refused = Execute(OneStep(Sql("INSERT INTO t VALUES (1, 0, 'secret')", {}, true)));
  EXPECT_THAT(refused, HasReason(reason::kPermissionDenied));
  EXPECT_THAT(std::string(refused.status().message()), testing::Not(testing::HasSubstr("secret")));
}

TEST_F(PostgresBackendTest, ForgetsRequestIdsThatAreOldEnough) {
  Task task = OneStep(Sql("INSERT INTO t VALUES (1)", {}, true));
  task.guard = RequestGuard{"018f3a70-0000-7000-8000-000000000002", 1};
  ASSERT_THAT(Execute(task), IsOk());
  EXPECT_EQ(Query("SELECT count(*) FROM quarry.requests"), "1");
  options_.request_keep = absl::ZeroDuration();
  options_.purge_interval = absl::Milliseconds(20);
  const auto eager = MakePostgresBackend(loop_, options_);
  task.steps[0].statements[0] = Sql("INSERT INTO t VALUES (2)", {}, true);
  task.guard->request_id = "018f3a70-0000-7000-8000-000000000003";
  const CallContext ctx = Within(absl::Seconds(10));
  ASSERT_THAT(RunOn(loop_, eager->Execute(task, ctx)), IsOk());
  const absl::Time last = loop_.Now() + absl::Seconds(10);
  while (Query("SELECT count(*) FROM quarry.requests") != "0" && loop_.Now() < last) {
    loop_.RunOnce(absl::Milliseconds(20));
  }
  EXPECT_EQ(Query("SELECT count(*) FROM quarry.requests"), "0");
}

TEST_F(PostgresBackendTest, RawSqlLeavesNoTraceInTheSession) {
  options_.sessions_max = 1;
  const auto single = MakePostgresBackend(loop_, options_);
  Statement change = Sql("SELECT set_config('work_mem', '77MB', false), pg_advisory_lock(5)");
  change.raw = true;
  const CallContext ctx = Within(absl::Seconds(10));
  const Task dirty = OneStep(change);
  ASSERT_THAT(RunOn(loop_, single->Execute(dirty, ctx)), IsOk());
  Statement look = Sql("SELECT current_setting('work_mem') = '77MB', count(*) FROM pg_locks WHERE locktype = 'advisory'");
  look.raw = true;
  const Task after = OneStep(look);
  ASSERT_OK_AND_ASSIGN(const TaskResult seen, RunOn(loop_, single->Execute(after, ctx)));
  EXPECT_EQ(seen.steps[0].statements[0].batch.rows[0], (Row{Value::Bool(false), Value::Int64(0)}));
}

TEST_F(PostgresBackendTest, StopsTheStatementWhenItsDeadlineEndsAndKeepsTheSession) {
  Statement sleep = Sql("SELECT pg_sleep(30)");
  sleep.raw = true;
  Statement connects = Sql("SELECT 1");
  connects.raw = true;
  ASSERT_THAT(Execute(OneStep(connects), absl::Seconds(20)), IsOk());
  EXPECT_THAT(Execute(OneStep(sleep), absl::Milliseconds(200)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  ExpectNothingLeased();
  EXPECT_EQ(Query("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(30)' "
                  "AND pid <> pg_backend_pid()"),
            "0");
}

TEST_F(PostgresBackendTest, SaysThatNothingListensWithoutThePassword) {
  options_.conninfo = "host=127.0.0.1 port=1 user=u password=hush dbname=d";
  const auto down = MakePostgresBackend(loop_, options_);
  const CallContext ctx = Within(absl::Seconds(5));
  const absl::Status status = RunOn(loop_, down->Ping(ctx));
  EXPECT_THAT(status, HasReason(reason::kShardUnavailable));
  EXPECT_TRUE(DetailOf(status).retry_after.has_value());
  EXPECT_EQ(std::string(status.message()).find("hush"), std::string::npos);
}

}  // namespace
}  // namespace quarry
