// The PostgreSQL backend when connections are cut and servers are killed or stopped.
#include <signal.h>

#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/backend/postgres/backend.h"
#include "core/backend/postgres/connection.h"
#include "core/base/epoll_loop.h"
#include "core/base/gather.h"
#include "core/base/random.h"
#include "gtest/gtest.h"
#include "tests/support/postgres/postgres_cluster.h"
#include "tests/support/postgres/tcp_gate.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

Statement Sql(const std::string& sql, std::vector<Value> params, bool writes) {
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

std::string RequestId(int64_t number) { return absl::StrFormat("018f3a70-0000-7000-8000-%012d", number); }

// A step that adds one to the only counter, once per request id.
Task CountOnce(int64_t number) {
  Task task = OneStep(Sql("UPDATE counter SET n = n + 1", {}, true));
  task.guard = RequestGuard{RequestId(number), 7};
  return task;
}

class PostgresFaultTest : public testing::Test {
 protected:
  void SetUp() override {
    const uint64_t seed = std::random_device()();
    std::cout << "seed " << seed << std::endl;
    RecordProperty("seed", absl::StrCat(seed));
    random_ = std::make_unique<SeededRandom>(seed);
  }
  void Use(PostgresCluster& cluster, int port) {
    cluster_ = &cluster;
    ASSERT_THAT(cluster.CreateDatabase("fault"), IsOk());
    ASSERT_THAT(cluster.Run("fault",
                            "CREATE TABLE counter (n bigint); INSERT INTO counter VALUES (0);"
                            "CREATE TABLE t (id bigint PRIMARY KEY)"),
                IsOk());
    PostgresOptions options;
    options.shard = "s0";
    options.conninfo = cluster.ConninfoAt("fault", port);
    options.sessions_max = 4;
    backend_ = MakePostgresBackend(loop_, options);
  }
  CallContext Within(absl::Duration timeout) {
    CallContext ctx(loop_);
    ctx.deadline = loop_.Now() + timeout;
    return ctx;
  }
  absl::StatusOr<TaskResult> Execute(const Task& task, absl::Duration timeout = absl::Seconds(10)) {
    const CallContext ctx = Within(timeout);
    return RunOn(loop_, backend_->Execute(task, ctx));
  }
  // As a client does with a request id: again until it is answered.
  void ExecuteUntilOk(const Task& task) {
    const absl::Time last = loop_.Now() + absl::Seconds(60);
    absl::Status status;
    do {
      status = Execute(task).status();
      if (status.ok()) return;
      RunOn(loop_, Pause(absl::Milliseconds(10)));
    } while (loop_.Now() < last);
    FAIL() << status;
  }
  Async<void> Pause(absl::Duration time) {
    SleepUntil pause(loop_, loop_.Now() + time);
    co_await pause;
  }
  std::string Query(const std::string& sql) { return cluster_->QueryOne("fault", sql).value_or("failed"); }
  bool Exists(int64_t id) { return Query(absl::StrCat("SELECT count(*) FROM t WHERE id = ", id)) == "1"; }
  // Cuts all connections after some bytes of what comes next.
  void CutSoon(TcpGate& gate) {
    const auto bytes = static_cast<int64_t>(random_->Next() % 700);
    if (random_->Next() % 2 == 0) {
      gate.CutAfterBytesToServer(bytes);
    } else {
      gate.CutAfterBytesToClient(bytes);
    }
  }
  void ExpectNothingLeased() {
    const absl::Time last = loop_.Now() + absl::Seconds(15);
    while (backend_->stats().sessions_leased > 0 && loop_.Now() < last) loop_.RunOnce(absl::Milliseconds(10));
    EXPECT_EQ(backend_->stats().sessions_leased, 0);
    EXPECT_EQ(backend_->stats().waiters, 0);
  }

  std::unique_ptr<SeededRandom> random_;
  PostgresCluster* cluster_ = nullptr;
  EpollLoop loop_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(PostgresFaultTest, AGuardedWriteThatIsRetriedHasItsEffectExactlyOnce) {
  constexpr int64_t kWrites = 300;
  TcpGate gate(PostgresCluster::Shared().port());
  Use(PostgresCluster::Shared(), gate.port());
  for (int64_t i = 0; i < kWrites; ++i) {
    CutSoon(gate);
    ExecuteUntilOk(CountOnce(i));
    ASSERT_EQ(Query("SELECT n FROM counter"), absl::StrCat(i + 1));
  }
  gate.Open();
  // And long after.
  ASSERT_OK_AND_ASSIGN(const TaskResult again, Execute(CountOnce(0)));
  EXPECT_TRUE(again.replayed);
  ExpectNothingLeased();
}

TEST_F(PostgresFaultTest, AWriteWithoutAGuardIsNeverReportedAsWhatItIsNot) {
  TcpGate gate(PostgresCluster::Shared().port());
  Use(PostgresCluster::Shared(), gate.port());
  int64_t unknown = 0;
  for (int64_t round = 0; round < 100; ++round) {
    CutSoon(gate);
    std::vector<Task> tasks;
    for (int64_t i = 0; i < 8; ++i) {
      tasks.push_back(OneStep(Sql("INSERT INTO t VALUES ($1)", {Value::Int64(round * 8 + i)}, true)));
    }
    const CallContext ctx = Within(absl::Seconds(10));
    std::vector<Async<absl::StatusOr<TaskResult>>> work;
    for (const Task& task : tasks) work.push_back(backend_->Execute(task, ctx));
    GatherOptions options;
    options.stop_at_first_error = false;
    const std::vector<absl::StatusOr<TaskResult>> results = RunOn(loop_, Gather(loop_, std::move(work), options));
    for (int64_t i = 0; i < 8; ++i) {
      const absl::Status status = results[static_cast<size_t>(i)].status();
      if (absl::IsUnknown(status)) {
        ++unknown;
      } else {
        ASSERT_TRUE(status.ok() || absl::IsUnavailable(status)) << status;
        EXPECT_EQ(Exists(round * 8 + i), status.ok()) << status;
      }
    }
    if (results[0].status().code() == absl::StatusCode::kUnavailable) RunOn(loop_, Pause(absl::Milliseconds(60)));
  }
  std::cout << unknown << " of 800 writes ended unknown" << std::endl;
  gate.Open();
  ExpectNothingLeased();
}

// A transaction of its own, whose COMMIT may be what does not arrive. Nothing was applied then: UNAVAILABLE, which is retried.
TEST_F(PostgresFaultTest, AWriteOfSeveralStepsIsAppliedOrUnavailableOrUnknown) {
  TcpGate gate(PostgresCluster::Shared().port());
  Use(PostgresCluster::Shared(), gate.port());
  int64_t undone = 0;
  for (int64_t id = 0; id < 200; id += 2) {
    Task task = OneStep(Sql("INSERT INTO t VALUES ($1)", {Value::Int64(id)}, true));
    task.steps.push_back(OneStep(Sql("INSERT INTO t VALUES ($1)", {Value::Int64(id + 1)}, true)).steps.front());
    // From before BEGIN to after COMMIT.
    const auto bytes = static_cast<int64_t>(random_->Next() % 500);
    random_->Next() % 4 == 0 ? gate.CutAfterBytesToClient(bytes) : gate.CutAfterBytesToServer(bytes);
    const absl::Status status = Execute(task).status();
    gate.Open();
    if (absl::IsUnknown(status)) continue;
    ASSERT_TRUE(status.ok() || absl::IsUnavailable(status)) << status;
    undone += status.ok() ? 0 : 1;
    EXPECT_EQ(Exists(id), status.ok()) << status;
    EXPECT_EQ(Exists(id + 1), status.ok()) << status;
    if (!status.ok()) RunOn(loop_, Pause(absl::Milliseconds(60)));
  }
  EXPECT_GT(undone, 15);
  ExpectNothingLeased();
}

TEST_F(PostgresFaultTest, ACommitWhoseAnswerIsLostIsLookedUp) {
  TcpGate gate(PostgresCluster::Shared().port());
  Use(PostgresCluster::Shared(), gate.port());
  int64_t known = 0;
  for (int64_t id = 0; id < 100; ++id) {
    const CallContext ctx = Within(absl::Seconds(20));
    const SessionOptions options;
    absl::StatusOr<std::unique_ptr<Session>> session = RunOn(loop_, backend_->Lease(options, ctx));
    if (!session.ok()) {
      RunOn(loop_, Pause(absl::Milliseconds(60)));
      continue;
    }
    Step step;
    step.statements.push_back(Sql("INSERT INTO t VALUES ($1)", {Value::Int64(id)}, true));
    if (!RunOn(loop_, (*session)->Execute(step, ctx)).ok()) continue;
    // COMMIT goes out as about 40 bytes, and its answer is about 20.
    if (random_->Next() % 2 == 0) {
      gate.CutAfterBytesToServer(static_cast<int64_t>(random_->Next() % 60));
    } else {
      gate.CutAfterBytesToClient(static_cast<int64_t>(random_->Next() % 25));
    }
    const absl::Status committed = RunOn(loop_, (*session)->Commit(kPlainCommit, ctx));
    gate.Open();
    if (absl::IsUnknown(committed)) continue;
    ++known;
    ASSERT_TRUE(committed.ok() || absl::IsAborted(committed)) << committed;
    EXPECT_EQ(Exists(id), committed.ok()) << committed;
  }
  EXPECT_GT(known, 80);
  ExpectNothingLeased();
}

TEST_F(PostgresFaultTest, ACallerWhoseTimeEndsWhileAConnectionOpensDoesNotKeepTheNextFromOne) {
  TcpGate gate(PostgresCluster::Shared().port());
  Use(PostgresCluster::Shared(), gate.port());
  const SessionOptions options;
  gate.Stall(true);
  const CallContext hurried = Within(absl::Milliseconds(20));
  const absl::Status late = RunOn(loop_, backend_->Lease(options, hurried)).status();
  EXPECT_THAT(late, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(late, HasReason(reason::kDeadline));
  EXPECT_EQ(DetailOf(late).facts.at("stage"), "pool");
  gate.Stall(false);
  const CallContext next = Within(absl::Seconds(10));
  EXPECT_THAT(RunOn(loop_, backend_->Lease(options, next)), IsOk());
  ExpectNothingLeased();
}

TEST_F(PostgresFaultTest, AStatementThatSurvivesACancelIsCancelledAgain) {
  Use(PostgresCluster::Shared(), PostgresCluster::Shared().port());
  const std::string survives = "BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN END; ";
  ASSERT_THAT(cluster_->Run("fault", absl::StrCat("CREATE FUNCTION deaf() RETURNS int LANGUAGE plpgsql AS $$ BEGIN ", survives,
                                                  survives, "PERFORM pg_sleep(60); RETURN 1; END $$")),
              IsOk());
  const SessionOptions options;
  const CallContext ctx = Within(absl::Seconds(30));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, RunOn(loop_, backend_->Lease(options, ctx)));
  const Step deaf = OneStep(Sql("SELECT deaf()", {}, false)).steps[0];
  const CallContext hurried = Within(absl::Milliseconds(200));
  EXPECT_THAT(RunOn(loop_, session->Execute(deaf, hurried)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  // Without another call it ends too, and what comes next is not hit.
  while (Query("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT deaf()'") != "0") {
    ASSERT_LT(loop_.Now(), ctx.deadline) << "it runs on";
    loop_.RunOnce(absl::Milliseconds(10));
  }
  const Step next = OneStep(Sql("INSERT INTO t SELECT 1 FROM pg_sleep(0.2)", {}, true)).steps[0];
  EXPECT_THAT(RunOn(loop_, session->Execute(next, ctx)), IsOk());
  const CommitOptions commit;
  EXPECT_THAT(RunOn(loop_, session->Commit(commit, ctx)), IsOk());
  EXPECT_TRUE(Exists(1));
}

TEST_F(PostgresFaultTest, AServerThatIsKilledLosesNothingThatWasAcknowledgedAndCountsNothingTwice) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PostgresCluster> cluster, PostgresCluster::Create());
  Use(*cluster, cluster->port());
  int64_t counted = 0;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 5; ++i) ExecuteUntilOk(CountOnce(counted++));
    const Task last = CountOnce(counted++);
    const CallContext ctx = Within(absl::Seconds(10));
    bool ended = false;
    const Running running(backend_->Execute(last, ctx), [&ended](const absl::StatusOr<TaskResult>&) { ended = true; });
    for (uint64_t turns = random_->Next() % 6; turns > 0; --turns) loop_.RunOnce(absl::Milliseconds(1));
    cluster->Kill(SIGKILL);
    while (!ended) loop_.RunOnce(absl::Milliseconds(10));
    EXPECT_THAT(Execute(OneStep(Sql("SELECT 1", {}, false))), StatusIs(absl::StatusCode::kUnavailable));
    ASSERT_THAT(cluster->Start(), IsOk());
    ExecuteUntilOk(last);
    EXPECT_EQ(Query("SELECT n FROM counter"), absl::StrCat(counted));
  }
  ExpectNothingLeased();
  backend_.reset();
}

TEST_F(PostgresFaultTest, AStatementPreparedJustBeforeACutIsKnownWholeOrLost) {
  constexpr int64_t kAnswerBytes = 27;  // ParseComplete, ParameterDescription of one, NoData, ReadyForQuery.
  TcpGate gate(PostgresCluster::Shared().port());
  Use(PostgresCluster::Shared(), gate.port());
  const std::string insert = "INSERT INTO t VALUES ($1)";
  const postgres::ConnectOptions options{"s0", cluster_->ConninfoAt("fault", gate.port()), "to be cut", {}};
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<postgres::Connection> connection,
                       RunOn(loop_, postgres::Connection::Open(loop_, options, loop_.Now() + absl::Seconds(10))));
  gate.CutAfterBytesToClient(kAnswerBytes);
  postgres::TypeNames names;
  std::vector<absl::Status> statuses;
  const Running running(connection->Prepare({insert}, &names, loop_.Now() + absl::Seconds(10)),
                        [&statuses](std::vector<absl::Status> ended) { statuses = std::move(ended); });
  const auto send = [&connection] {
    const auto batch = std::make_shared<postgres::Batch>();
    batch->commands.push_back(postgres::Plain("SELECT 1"));
    connection->Send(batch);
  };
  send();  // Its answer is over the limit.
  // The loop stands still meanwhile: the first answer and the reset are here, unread.
  const absl::Time last = loop_.Now() + absl::Seconds(10);
  std::string sessions;
  do {
    sessions = Query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'to be cut'");
  } while (sessions != "0" && loop_.Now() < last);
  ASSERT_EQ(sessions, "0");
  // One send finds out, the next takes in what has arrived; then a read meets the end.
  send();
  send();
  while (statuses.empty()) loop_.RunOnce(absl::Milliseconds(10));
  EXPECT_FALSE(connection->usable());
  const postgres::PreparedPtr prepared = connection->FindPrepared(insert);
  if (prepared == nullptr) {
    EXPECT_THAT(statuses[0], StatusIs(absl::StatusCode::kUnavailable));
  } else {
    EXPECT_EQ(prepared->params.size(), 1U);
  }
}

TEST_F(PostgresFaultTest, AServerThatHangsCostsDeadlinesOnlyAndIsUsedAgainWhenItGoesOn) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PostgresCluster> cluster, PostgresCluster::Create());
  Use(*cluster, cluster->port());
  const Task read = OneStep(Sql("SELECT n FROM counter", {}, false));
  Task raw = read;
  raw.steps[0].statements[0].raw = true;
  const Task write = OneStep(Sql("INSERT INTO t VALUES (1)", {}, true));
  ASSERT_THAT(Execute(read), IsOk());
  ASSERT_THAT(Execute(raw), IsOk());
  ExecuteUntilOk(CountOnce(1));

  cluster->Kill(SIGSTOP);
  for (const Task& task : {read, raw, write, CountOnce(2)}) {
    EXPECT_THAT(Execute(task, absl::Milliseconds(200)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
  cluster->Kill(SIGCONT);
  ExecuteUntilOk(read);
  ExecuteUntilOk(raw);
  ExecuteUntilOk(CountOnce(2));
  EXPECT_EQ(Query("SELECT n FROM counter"), "2");
  ExpectNothingLeased();
  backend_.reset();
}

}  // namespace
}  // namespace quarry
