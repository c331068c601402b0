#include "core/backend/sqlite/sqlite_database.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/sqlite/writer.h"
#include "core/base/epoll_loop.h"
#include "core/base/gather.h"
#include "core/routing/stable_hash.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace quarry {
namespace {

using sqlite::JobControl;
using sqlite::Lane;
using sqlite::LeaseRequest;
using sqlite::WriterQueue;

class SqliteDatabaseTest : public testing::Test {
 protected:
  void SetUp() override { Open({}); }
  void TearDown() override { backend_.reset(); }

  void Open(SqliteOptions options) {
    backend_.reset();
    database_.reset();
    options.file = directory_.path() + "/s0.db";
    options.shard = "s0";
    ASSERT_OK_AND_ASSIGN(database_, SqliteDatabase::Open(options));
    backend_ = MakeSqliteBackend(loop_, database_, LeasePoolOptions());
  }
  static Task TaskOf(const std::string& sql, std::vector<Value> params, bool writes, bool raw) {
    Task task;
    Statement& statement = task.steps.emplace_back().statements.emplace_back();
    statement.sql = std::make_shared<const std::string>(sql);
    statement.params = std::move(params);
    statement.writes = writes;
    statement.raw = raw;
    return task;
  }
  absl::StatusOr<TaskResult> Execute(const Task& task) {
    CallContext ctx(loop_);
    ctx.deadline = loop_.Now() + absl::Seconds(30);
    return RunOn(loop_, backend_->Execute(task, ctx));
  }
  absl::StatusOr<Value> One(const std::string& sql, std::vector<Value> params = {}) {
    absl::StatusOr<TaskResult> result = Execute(TaskOf(sql, std::move(params), false, false));
    if (!result.ok()) return result.status();
    return result->steps.at(0).statements.at(0).batch.rows.at(0).at(0);
  }

  TempDirectory directory_;
  EpollLoop loop_;
  std::shared_ptr<SqliteDatabase> database_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(SqliteDatabaseTest, RawSqlIsHeldToItsOwnTablesAndTransaction) {
  ASSERT_THAT(database_->RunScript("CREATE TABLE t(id BIGINT PRIMARY KEY)"), IsOk());
  const std::string attach = "ATTACH '" + directory_.path() + "/other.db' AS other";
  const std::string vacuum = "VACUUM INTO '" + directory_.path() + "/copy.db'";
  for (const std::string& sql :
       {attach, vacuum, std::string("COMMIT"), std::string("BEGIN"), std::string("SAVEPOINT a"),
        std::string("PRAGMA synchronous=OFF"), std::string("PRAGMA foreign_keys=OFF"),
        std::string("DETACH main"), std::string("PRAGMA journal_mode=DELETE"),
        std::string("PRAGMA writable_schema=ON"), std::string("DELETE FROM quarry_requests"),
        std::string("DROP TABLE quarry_requests"), std::string("ALTER TABLE quarry_requests RENAME TO x"),
        std::string("CREATE TABLE Quarry_mine(x)"),
        std::string("CREATE TRIGGER x AFTER INSERT ON quarry_requests BEGIN SELECT 1; END"),
        std::string("CREATE TEMP TABLE x(y)"), std::string("SELECT load_extension('x')"),
        std::string("VACUUM"), std::string("UPDATE sqlite_schema SET sql = ''")}) {
    for (const bool writes : {true, false}) {
      const absl::Status status = Execute(TaskOf(sql, {}, writes, true)).status();
      EXPECT_FALSE(status.ok()) << sql;
      EXPECT_TRUE(status.code() == absl::StatusCode::kInvalidArgument ||
                  status.code() == absl::StatusCode::kFailedPrecondition)
          << sql << ": " << status;
    }
  }
  EXPECT_THAT(Execute(TaskOf("PRAGMA table_info(t)", {}, false, true)), IsOk());
  EXPECT_THAT(Execute(TaskOf("CREATE TABLE mine(x TEXT)", {}, true, true)), IsOk());
  EXPECT_THAT(Execute(TaskOf("INSERT INTO mine VALUES ('a')", {}, true, true)), IsOk());
  EXPECT_THAT(One("SELECT count(*) FROM mine"), IsOk());
}

TEST_F(SqliteDatabaseTest, AMemberThatRollsBackTheGroupFailsAlone) {
  ASSERT_THAT(database_->RunScript("CREATE TABLE t(id BIGINT PRIMARY KEY);"
                                   "CREATE TRIGGER bad BEFORE INSERT ON t WHEN new.id % 10 = 3 "
                                   "BEGIN SELECT RAISE(ROLLBACK, 'no'); END"),
              IsOk());
  std::vector<Task> tasks;
  for (int64_t id = 0; id < 100; ++id)
    tasks.push_back(TaskOf("INSERT INTO t VALUES (?1)", {Value::Int64(id)}, true, false));
  CallContext ctx(loop_);
  std::vector<Async<absl::StatusOr<TaskResult>>> calls;
  for (const Task& task : tasks) calls.push_back(backend_->Execute(task, ctx));
  GatherOptions options;
  options.width = calls.size();
  options.stop_at_first_error = false;
  const auto results = RunOn(loop_, Gather(loop_, std::move(calls), options));
  for (size_t i = 0; i < results.size(); ++i)
    EXPECT_EQ(results[i].ok(), i % 10 != 3) << i << results[i].status();
  ASSERT_OK_AND_ASSIGN(const Value count, One("SELECT count(*) FROM t"));
  EXPECT_EQ(count, Value::Int64(90));
}

TEST_F(SqliteDatabaseTest, AWriterThatIsTakenMakesOthersWaitWithinTheirDeadline) {
  ASSERT_THAT(database_->RunScript("CREATE TABLE t(id BIGINT PRIMARY KEY)"), IsOk());
  CallContext ctx(loop_);
  const SessionOptions options;
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Session> holder, RunOn(loop_, backend_->Lease(options, ctx)));
  const Task insert = TaskOf("INSERT INTO t VALUES (1)", {}, true, false);
  ASSERT_THAT(RunOn(loop_, holder->Execute(insert.steps[0], ctx)), IsOk());
  CallContext soon(loop_);
  soon.deadline = loop_.Now() + absl::Milliseconds(50);
  const absl::Status write = RunOn(loop_, backend_->Execute(insert, soon)).status();
  EXPECT_THAT(write, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(DetailOf(write).facts["stage"], "pool");
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> second, RunOn(loop_, backend_->Lease(options, ctx)));
  soon.deadline = loop_.Now() + absl::Milliseconds(50);
  const absl::Status step = RunOn(loop_, second->Execute(insert.steps[0], soon)).status();
  EXPECT_EQ(DetailOf(step).facts["stage"], "pool");
  // Readers do not wait.
  EXPECT_THAT(One("SELECT count(*) FROM t"), IsOk());
  holder.reset();
  EXPECT_THAT(Execute(insert), IsOk());
}

TEST(WriterQueueTest, IsTakenAtOnceByOneWhoMeetsNobody) {
  const auto queue = std::make_shared<WriterQueue>("s1", 4);
  std::shared_ptr<Lane> lane = queue->TryHold();
  ASSERT_NE(lane, nullptr);
  EXPECT_EQ(queue->TryHold(), nullptr) << "somebody has it";
  lane.reset();
  EXPECT_EQ(queue->TryHold(), nullptr) << "what the holder has left open is not undone yet";
  EXPECT_TRUE(std::holds_alternative<WriterQueue::Released>(queue->Take(absl::ZeroDuration())));
  queue->EndLease();
  LeaseRequest waits;
  waits.control = std::make_shared<JobControl>(absl::InfiniteFuture());
  waits.granted = [](absl::StatusOr<std::shared_ptr<Lane>>) {};
  ASSERT_THAT(queue->Push(std::move(waits)), IsOk());
  EXPECT_EQ(queue->TryHold(), nullptr) << "somebody waits";
  EXPECT_TRUE(std::holds_alternative<LeaseRequest>(queue->Take(absl::ZeroDuration())));
  queue->EndLease();
  queue->Refuse(absl::UnavailableError("quarantined"));
  EXPECT_EQ(queue->TryHold(), nullptr);
}

TEST_F(SqliteDatabaseTest, AFullWriterQueueRefusesAtOnce) {
  SqliteOptions small;
  small.waiters_max = 2;
  Open(small);
  ASSERT_THAT(database_->RunScript("CREATE TABLE t(id BIGINT PRIMARY KEY)"), IsOk());
  CallContext ctx(loop_);
  const SessionOptions options;
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Session> holder, RunOn(loop_, backend_->Lease(options, ctx)));
  const Task insert = TaskOf("INSERT INTO t VALUES (1)", {}, true, false);
  ASSERT_THAT(RunOn(loop_, holder->Execute(insert.steps[0], ctx)), IsOk());
  {
    std::vector<Running> waiting;
    for (int i = 0; i < 2; ++i) {
      waiting.emplace_back(backend_->Execute(insert, ctx), [](const absl::StatusOr<TaskResult>&) {});
    }
    EXPECT_THAT(Execute(insert), HasReason("POOL_EXHAUSTED"));
  }
  // Those who have gone make room, and are never run.
  const Running waiting(backend_->Execute(TaskOf("SELECT 1", {}, true, false), ctx),
                        [](const absl::StatusOr<TaskResult>&) {});
  holder.reset();
  EXPECT_THAT(One("SELECT count(*) FROM t"), IsOk());
  EXPECT_THAT(Execute(insert), IsOk());
}

TEST_F(SqliteDatabaseTest, OldRepliesArePurged) {
  SqliteOptions options;
  options.request_keep = absl::ZeroDuration() - absl::Hours(1);
  Open(options);
  ASSERT_THAT(database_->RunScript("CREATE TABLE t(id BIGINT PRIMARY KEY)"), IsOk());
  Task task = TaskOf("INSERT INTO t VALUES (1)", {}, true, false);
  task.guard = RequestGuard{"00000000-0000-7000-8000-000000000001", 1};
  ASSERT_THAT(Execute(task), IsOk());
  // Opening purges before it is a second old.
  Open(options);
  const absl::Time until = loop_.Now() + absl::Seconds(10);
  int64_t left = 1;
  while (left != 0 && loop_.Now() < until) {
    ASSERT_THAT(Execute(TaskOf("UPDATE t SET id = id", {}, true, false)), IsOk());
    ASSERT_OK_AND_ASSIGN(const Value count, One("SELECT count(*) FROM quarry_requests"));
    left = count.int64_value();
  }
  EXPECT_EQ(left, 0);
}

TEST_F(SqliteDatabaseTest, IntrospectionRefusesTypesThatWouldLoseDigits) {
  ASSERT_THAT(database_->RunScript(
                  "CREATE TABLE bad(id BIGINT PRIMARY KEY, price DECIMAL(10,2), doc JSON, odd MONEY);"
                  "CREATE VIEW seen AS SELECT 1 AS one"),
              IsOk());
  const absl::Status status = database_->Introspect({"bad", "seen"}).status();
  EXPECT_THAT(status, HasReason("SCHEMA_MISMATCH"));
  for (const char* part :
       {"bad.price", "DECIMAL_TEXT", "bad.doc", "JSON_TEXT", "bad.odd", "seen is a view"}) {
    EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << part << " in " << status;
  }
}

TEST_F(SqliteDatabaseTest, IntrospectionRefusesDecimalsInAPrimaryKey) {
  ASSERT_THAT(database_->RunScript("CREATE TABLE rates(id BIGINT, rate DECIMAL_TEXT, v TEXT, PRIMARY KEY (id, rate))"), IsOk());
  const absl::Status status = database_->Introspect({"rates"}).status();
  EXPECT_THAT(status, HasReason("SCHEMA_MISMATCH"));
  EXPECT_NE(std::string(status.message()).find("rates.rate"), std::string::npos) << status;
}

TEST_F(SqliteDatabaseTest, TimesAndUuidsInAnotherFormAreRefusedWhereTheyWouldBeCompared) {
  ASSERT_THAT(database_->RunScript("CREATE TABLE t(at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP, wall TIMESTAMP DEFAULT (datetime('now')), "
                                   "same TIMESTAMP DEFAULT '2026-01-02 03:04:05.000006', id UUID, none TIMESTAMP)"),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const ShardSchema schema, database_->Introspect({"t"}));
  const std::vector<Column>& columns = schema.tables.at("t").columns;
  for (const size_t own : {2, 3, 4}) EXPECT_EQ(columns[own].default_in_form, "");
  const auto types = std::make_shared<const std::vector<ColumnType>>(
      std::vector<ColumnType>{columns[0].type, columns[1].type, columns[3].type});
  const auto read = [&](bool typed) {
    Task task = TaskOf("SELECT at, wall, id FROM t", {}, false, false);
    if (typed) task.steps[0].statements[0].result_types = types;
    return Execute(task).status();
  };
  ASSERT_THAT(database_->RunScript(absl::StrCat("INSERT INTO t(at, wall) VALUES (", columns[0].default_in_form, ", ",
                                                columns[1].default_in_form, ")")),
              IsOk());
  EXPECT_THAT(read(true), IsOk());
  const std::string good = "'2026-01-02 03:04:05.000006";
  for (const std::string& row : {"'2026-01-02T03:04:05Z', " + good + "', NULL", good + "Z', '2026-01-02 03:04:05', NULL",
                                 good + "', NULL, NULL", good + "Z', NULL, '0190163D86947000AEA5966C26F8AD91'"}) {
    ASSERT_THAT(database_->RunScript(absl::StrCat("DELETE FROM t; INSERT INTO t(at, wall, id) VALUES (", row, ")")), IsOk());
    const absl::Status refused = read(true);
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition)) << row;
    EXPECT_THAT(refused, HasReason(reason::kSchemaMismatch)) << row;
    EXPECT_THAT(read(false), IsOk()) << "a user's own SQL shows what is there";
  }
  // What the message says mends it.
  ASSERT_THAT(database_->RunScript("DELETE FROM t; INSERT INTO t(at) VALUES ('2026-01-02T03:04:05.678Z')"), IsOk());
  const std::string message(read(true).message());
  const size_t set = message.find("SET at = ");
  ASSERT_NE(set, std::string::npos) << message;
  ASSERT_THAT(database_->RunScript(absl::StrCat("UPDATE t ", message.substr(set, message.rfind(" (which") - set))), IsOk());
  EXPECT_EQ(*One("SELECT at FROM t"), Value::Timestamp(1767323045678000));
}

TEST_F(SqliteDatabaseTest, IntrospectionKnowsRowidsCollationsAndIndexes) {
  ASSERT_THAT(
      database_->RunScript("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b TEXT);"
                           "CREATE UNIQUE INDEX t_b_once ON t(b);"
                           "CREATE UNIQUE INDEX t_part ON t(a) WHERE a > 'x';"
                           "CREATE TABLE w(id INTEGER PRIMARY KEY, t INTEGER REFERENCES t) WITHOUT ROWID"),
      IsOk());
  ASSERT_OK_AND_ASSIGN(const ShardSchema schema, database_->Introspect({"t", "w"}));
  const TableSchema& t = schema.tables.at("t");
  EXPECT_TRUE(t.columns[0].has_default);
  EXPECT_FALSE(t.columns[0].nullable);
  EXPECT_FALSE(t.columns[1].deterministic_text);
  ASSERT_EQ(t.unique_constraints.size(), 1U);
  EXPECT_EQ(t.unique_constraints[0].name, "t_b_once");
  const TableSchema& w = schema.tables.at("w");
  EXPECT_FALSE(w.columns[0].has_default);
  EXPECT_EQ(w.foreign_keys.at(0).referenced_columns, (std::vector<std::string>{"id"}));
  ASSERT_THAT(Execute(TaskOf("INSERT INTO t(b) VALUES ('x')", {}, true, false)), IsOk());
  const absl::Status twice = Execute(TaskOf("INSERT INTO t(b) VALUES ('x')", {}, true, false)).status();
  EXPECT_EQ(DetailOf(twice).facts["constraint"], "t_b_once");
}

TEST_F(SqliteDatabaseTest, HashFunctionsEqualTheRoutersOwn) {
  const auto seed = Value::Int64(static_cast<int64_t>(kPartitionSeed));
  const auto expect = [&](const std::string& sql, const Value& stored, const Value& routed) {
    ASSERT_OK_AND_ASSIGN(const Value hash, One(sql, {stored, seed}));
    ASSERT_OK_AND_ASSIGN(const uint64_t wanted, HashValue(routed, kPartitionSeed));
    EXPECT_EQ(static_cast<uint64_t>(hash.int64_value()), wanted) << sql;
  };
  expect("SELECT hashint8extended(?1, ?2)", Value::Int64(-42), Value::Int64(-42));
  expect("SELECT hashtextextended(?1, ?2)", Value::Text("größe"), Value::Text("größe"));
  expect("SELECT hashvarlenaextended(?1, ?2)", Value::Bytes("a\x01"), Value::Bytes("a\x01"));
  const Value uuid = Value::Uuid("123e4567-e89b-12d3-a456-426614174000");
  expect("SELECT uuid_hash_extended(?1, ?2)", uuid, uuid);
  expect("SELECT timestamptz_hash_extended(?1, ?2)", Value::Timestamp(1769854272123456),
         Value::Timestamp(1769854272123456));
  ASSERT_OK_AND_ASSIGN(const Value null, One("SELECT hashint8extended(NULL, 1)"));
  EXPECT_TRUE(null.is_null());
}

// Several loops, each on a thread of its own, share one database.
TEST_F(SqliteDatabaseTest, ManyLoopsWriteAndReadTogether) {
  ASSERT_THAT(database_->RunScript("CREATE TABLE t(id BIGINT PRIMARY KEY, loop BIGINT)"), IsOk());
  constexpr int kLoops = 4;
  constexpr int64_t kWrites = 200;
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int l = 0; l < kLoops; ++l) {
    threads.emplace_back([this, l, &failures] {
      EpollLoop loop;
      const std::unique_ptr<Backend> backend = MakeSqliteBackend(loop, database_, LeasePoolOptions());
      CallContext ctx(loop);
      std::vector<Task> tasks;
      for (int64_t i = 0; i < kWrites; ++i) {
        tasks.push_back(TaskOf("INSERT INTO t VALUES (?1, ?2)",
                               {Value::Int64(i * kLoops + l), Value::Int64(l)}, true, false));
        tasks.push_back(
            TaskOf("SELECT count(*) FROM t WHERE loop = ?1", {Value::Int64(l)}, false, i % 8 == 0));
      }
      std::vector<Async<absl::StatusOr<TaskResult>>> calls;
      for (const Task& task : tasks) calls.push_back(backend->Execute(task, ctx));
      GatherOptions options;
      options.width = 16;
      const auto results = RunOn(loop, Gather(loop, std::move(calls), options));
      for (const auto& result : results) failures += result.ok() ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  ASSERT_OK_AND_ASSIGN(const Value count, One("SELECT count(*) FROM t"));
  EXPECT_EQ(count, Value::Int64(kLoops * kWrites));
}

}  // namespace
}  // namespace quarry
