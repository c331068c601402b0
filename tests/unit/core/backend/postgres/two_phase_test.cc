// Transactions over several shards, as far as they are PostgreSQL's own; what any backend does is in the contract.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "core/base/gather.h"
#include "core/base/random.h"
#include "gmock/gmock.h"
#include "tests/support/postgres/tcp_gate.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/core/backend/postgres/two_phase_fixture.h"

namespace quarry {
namespace {

using testing::HasSubstr;

class PostgresTwoPhaseTest : public TwoPhaseTest {
 protected:
  void SetUp() override { Use(PostgresCluster::Shared()); }
  std::unique_ptr<Session> LeaseWithoutUndo() { return Lease(/*transaction=*/true, /*undo_steps=*/false); }
  static Task TwoUpdates(int first, int second) {
    Task task;
    for (const int id : {first, second}) {
      task.steps.push_back(StepOf(absl::StrCat("UPDATE t SET n = n + 1 WHERE id = ", id), true));
    }
    return task;
  }
  absl::Status Finish(int number, Verdict verdict) {
    const CallContext ctx = Within(absl::Seconds(20));
    const GlobalTransaction transaction = TransactionOf(number);
    return RunOn(loop_, backend_->two_phase().Finish(transaction, verdict, ctx)).status();
  }
  PreparedTask RunAndPrepare(Session& session, const Task& task, int number) {
    const CallContext ctx = Within(absl::Seconds(20));
    const GlobalTransaction transaction = TransactionOf(number);
    return RunOn(loop_, session.RunAndPrepare(task, transaction, ctx));
  }
  void ExpectUnfit(const std::string& setting, const std::string& in_message) {
    const absl::Status unfit = Check();
    EXPECT_THAT(unfit, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(unfit, HasReason(reason::kTwoPhaseUnavailable));
    EXPECT_EQ(DetailOf(unfit).facts["setting"], setting) << unfit;
    EXPECT_THAT(std::string(unfit.message()), HasSubstr(in_message));
  }
};

TEST_F(PostgresTwoPhaseTest, AServerWithoutPreparedTransactionsIsNamed) {
  PostgresClusterOptions none;
  none.max_prepared_transactions = 0;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PostgresCluster> cluster, PostgresCluster::Create(none));
  Use(*cluster);
  ExpectUnfit("max_prepared_transactions", "set max_prepared_transactions");
  // Locks, and commits on one shard that keep their decision, find their tables all the same.
  EXPECT_EQ(Query("SELECT to_regclass('quarry.txn_decision') IS NOT NULL AND to_regclass('quarry.locks') IS NOT NULL"), "t");
  Init();
  {
    const std::unique_ptr<Session> session = Writer(1);
    EXPECT_THAT(Prepare(*session, 1), HasReason(reason::kTwoPhaseUnavailable));
  }
  EXPECT_EQ(Query("SELECT count(*) FROM t"), "0");
  backend_.reset();
  cluster_ = nullptr;
}

TEST_F(PostgresTwoPhaseTest, WithoutAFreeSlotAPrepareIsRefusedAndLeavesNothing) {
  PostgresClusterOptions one;
  one.max_prepared_transactions = 1;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PostgresCluster> cluster, PostgresCluster::Create(one));
  Use(*cluster);
  ASSERT_THAT(Check(), IsOk());
  const std::unique_ptr<Session> first = Writer(1);
  ASSERT_THAT(Prepare(*first, 1), IsOk());
  const std::unique_ptr<Session> second = Writer(2);
  const absl::Status full = Prepare(*second, 2);
  EXPECT_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(DetailOf(full).facts["setting"], "max_prepared_transactions");
  EXPECT_TRUE(DetailOf(full).retry_after.has_value());
  Schema("INSERT INTO t VALUES (2, 0)");
  TearDown();
  cluster_ = nullptr;
}

TEST_F(PostgresTwoPhaseTest, ChecksThatWhatIsAcknowledgedIsKept) {
  Schema("ALTER DATABASE shard SET synchronous_commit = off");
  ExpectUnfit("synchronous_commit", "set it to on");
  Schema("ALTER DATABASE shard RESET synchronous_commit");
  options_.has_replicas = true;
  Open();
  ExpectUnfit("synchronous_standby_names", "allow_async_two_phase");
  options_.allow_async_two_phase = true;
  Open();
  EXPECT_THAT(Check(), IsOk());
}

TEST_F(PostgresTwoPhaseTest, AUserWhoMayNotCreateTheTablesIsToldWhoMay) {
  Schema("DO $$ BEGIN CREATE ROLE limited LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT ALL ON t TO limited");
  const std::string all = options_.conninfo;
  options_.conninfo = absl::StrCat(all, " user=limited");
  Open();
  const absl::Status refused = Check();
  EXPECT_THAT(refused, HasReason(reason::kTwoPhaseUnavailable));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("quarryctl init-shard"));
  {
    const std::unique_ptr<Session> session = Writer(1);
    EXPECT_THAT(Prepare(*session, 1), HasReason(reason::kTwoPhaseUnavailable));
  }
  options_.conninfo = all;
  Open();
  Init();
  Schema("GRANT USAGE ON SCHEMA quarry TO limited");
  options_.conninfo = absl::StrCat(all, " user=limited");
  Open();
  ExpectUnfit("privileges", "grant it");
  Schema("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA quarry TO limited");
  EXPECT_THAT(Check(), IsOk());
  const std::unique_ptr<Session> session = Writer(1);
  EXPECT_THAT(Prepare(*session, 1), IsOk());
}

// The block of SQL in docs/transactions.md, for an owner who gives the gateway no right to create.
std::string DocumentedSql() {
  std::ifstream page(QUARRY_TRANSACTIONS_PAGE);
  const std::string text{std::istreambuf_iterator<char>(page), std::istreambuf_iterator<char>()};
  const std::string open = "```sql\n";
  const size_t begin = text.find(open + "CREATE SCHEMA") + open.size();
  return text.substr(begin, text.find("```", begin) - begin);
}

TEST_F(PostgresTwoPhaseTest, TheDocumentedSqlIsAllThatAUserWithoutRightsToCreateNeeds) {
  Schema("DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT ALL ON t TO app");
  Schema(DocumentedSql());
  const std::string columns =
      "SELECT string_agg(format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, collation_name), ', ' "
      "ORDER BY table_name, column_name) FROM information_schema.columns WHERE table_schema = 'quarry'";
  const std::string documented = Query(columns);
  options_.conninfo = absl::StrCat(options_.conninfo, " user=app");
  Open();
  EXPECT_THAT(Check(), IsOk());
  {
    const std::unique_ptr<Session> session = Writer(1);
    EXPECT_THAT(Prepare(*session, 1), IsOk());
  }
  for (const char* table : {"locks", "lock_store"}) {
    Schema(absl::StrCat("REVOKE UPDATE ON quarry.", table, " FROM app"));
    Open();
    ExpectUnfit("privileges", "grant it");
    Schema(absl::StrCat("GRANT UPDATE ON quarry.", table, " TO app"));
  }
  backend_.reset();
  ASSERT_OK_AND_ASSIGN(options_.conninfo, cluster_->CreateDatabase("made"));
  Open();
  Init();
  EXPECT_EQ(cluster_->QueryOne("made", columns).value_or("failed"), documented);
}

TEST_F(PostgresTwoPhaseTest, AskingAgainTellsOfRightsThatWereTakenSince) {
  Schema("DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT ALL ON t TO app");
  Schema(DocumentedSql());
  options_.conninfo = absl::StrCat(options_.conninfo, " user=app");
  Open();
  Init();
  ASSERT_THAT(Check(), IsOk());
  const CallContext ctx = Within(absl::Seconds(20));
  Schema("REVOKE UPDATE ON quarry.locks FROM app");
  ASSERT_THAT(RunOn(loop_, backend_->two_phase().Init(ctx)), IsOk());
  ExpectUnfit("privileges", "grant it");
  Schema("GRANT UPDATE ON quarry.locks TO app");
  ASSERT_THAT(Check(), IsOk());
  Schema("REVOKE USAGE ON SCHEMA quarry FROM app");
  for (int call = 0; call < 2; ++call) {
    const absl::Status unusable = RunOn(loop_, backend_->two_phase().Init(ctx));
    EXPECT_THAT(unusable, HasReason(reason::kTwoPhaseUnavailable)) << call;
    EXPECT_THAT(std::string(unusable.message()), HasSubstr("grant it USAGE on the schema")) << call;
  }
}

TEST_F(PostgresTwoPhaseTest, CreatesEachOfItsTables) {
  Init();
  for (const char* table : {"requests", "txn_decision", "txn_part", "locks", "lock_fence"}) {
    EXPECT_EQ(Query(absl::StrCat("SELECT count(*) FROM quarry.", table)), "0");
  }
}

TEST_F(PostgresTwoPhaseTest, AnAbortWinsOverATransactionThatIsOpen) {
  Init();
  const std::unique_ptr<Session> session = Writer(1);
  const CallContext ctx = Within(absl::Seconds(20));
  const std::string id = TransactionOf(1).id;
  ASSERT_OK_AND_ASSIGN(const Decision abort, RunOn(loop_, backend_->two_phase().DecideAbort(id, ctx)));
  EXPECT_EQ(abort.verdict, Verdict::kAbort);
  const absl::Status late = Commit(*session, Deciding(1));
  EXPECT_THAT(late, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(late, HasReason(reason::kTransactionEnded));
  EXPECT_EQ(Query("SELECT count(*) FROM t"), "0");
}

// A commit that has stored its decision and has not ended.
TEST_F(PostgresTwoPhaseTest, AnAbortWaitsForACommitUnderWayAndSaysWhenItDoesNotEnd) {
  Init();
  const std::unique_ptr<Session> session = Writer(1);
  const std::string id = TransactionOf(1).id;
  const std::string insert =
      absl::StrCat("INSERT INTO quarry.txn_decision (transaction_id, verdict) VALUES ('", id, "', 'commit')");
  ASSERT_THAT(Execute(*session, StepOf(insert, true)), IsOk());
  {
    const CallContext soon = Within(absl::Seconds(2));
    const absl::Status waits = RunOn(loop_, backend_->two_phase().DecideAbort(id, soon)).status();
    EXPECT_THAT(waits, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT(waits, HasReason(reason::kTransactionInDoubt));
  }
  const CallContext ctx = Within(absl::Seconds(20));
  std::optional<absl::StatusOr<Decision>> stands;
  const Running call(backend_->two_phase().DecideAbort(id, ctx),
                     [&stands](absl::StatusOr<Decision> decision) { stands = std::move(decision); });
  ASSERT_TRUE(Eventually([this] { return Query("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1"; }));
  ASSERT_THAT(Commit(*session), IsOk());
  ASSERT_TRUE(Eventually([&stands] { return stands.has_value(); }));
  ASSERT_THAT(*stands, IsOk());
  EXPECT_EQ((*stands)->verdict, Verdict::kCommit);
}

TEST_F(PostgresTwoPhaseTest, AGateWhoseSessionWasLostSaysSo) {
  const CallContext ctx = Within(absl::Seconds(20));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<GateHold> hold,
                       RunOn(loop_, backend_->two_phase().CloseGate(GateWait::kTry, ctx)));
  ASSERT_NE(hold, nullptr);
  EXPECT_EQ(Query("SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted"), "1");
  ASSERT_OK_AND_ASSIGN(const bool held, RunOn(loop_, hold->Release(ctx)));
  EXPECT_FALSE(held);
}

TEST_F(PostgresTwoPhaseTest, AWaitForALockEndsBeforeTheDeadlineAsAborted) {
  Schema("INSERT INTO t VALUES (1, 0)");
  const std::unique_ptr<Session> first = Lease();
  const std::unique_ptr<Session> second = Lease();
  const Step update = StepOf("UPDATE t SET n = n + 1 WHERE id = 1", true);
  ASSERT_THAT(Execute(*first, update), IsOk());
  const absl::Status waited = Execute(*second, update, absl::Seconds(2)).status();
  EXPECT_THAT(waited, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(waited, HasReason(reason::kSerializationFailure));
}

TEST_F(PostgresTwoPhaseTest, ADeadlockNamesTheOtherTransaction) {
  Schema("INSERT INTO t VALUES (1, 0), (2, 0)");
  const std::unique_ptr<Session> first = Lease();
  const std::unique_ptr<Session> second = Lease();
  const Step one = StepOf("UPDATE t SET n = n + 1 WHERE id = 1", true);
  const Step two = StepOf("UPDATE t SET n = n + 1 WHERE id = 2", true);
  ASSERT_THAT(Execute(*first, one), IsOk());
  ASSERT_THAT(Execute(*second, two), IsOk());
  const CallContext ctx = Within(absl::Seconds(20));
  std::vector<Async<absl::StatusOr<StepResult>>> crossed;
  crossed.push_back(first->Execute(two, ctx));
  crossed.push_back(second->Execute(one, ctx));
  GatherOptions options;
  options.stop_at_first_error = false;
  std::optional<std::vector<absl::StatusOr<StepResult>>> results;
  const Running both(Gather(loop_, std::move(crossed), options),
                     [&results](std::vector<absl::StatusOr<StepResult>> ran) { results = std::move(ran); });
  ASSERT_TRUE(Eventually([&results] { return results.has_value(); }));
  int stopped = 0;
  for (const absl::StatusOr<StepResult>& result : *results) {
    if (result.ok()) continue;
    ++stopped;
    EXPECT_THAT(result, StatusIs(absl::StatusCode::kAborted));
    EXPECT_THAT(result, HasReason(reason::kDeadlock));
    EXPECT_NE(DetailOf(result.status()).facts["blocking_transaction"], "");
  }
  EXPECT_EQ(stopped, 1);
}

TEST_F(PostgresTwoPhaseTest, AnIdleTransactionIsBoundedWhateverTheDatabaseSays) {
  const Step ask = StepOf("SELECT current_setting('idle_in_transaction_session_timeout')", false);
  const auto bound = [&] {
    const std::unique_ptr<Session> session = Lease();
    const absl::StatusOr<StepResult> result = Execute(*session, ask);
    return result.ok() ? result->statements[0].batch.rows[0][0].text() : result.status().ToString();
  };
  EXPECT_EQ(bound(), "1h");
  {
    // A user's own SQL makes the session be reset before its next use.
    const std::unique_ptr<Session> dirty = Lease();
    Step raw = ask;
    raw.statements[0].raw = true;
    ASSERT_THAT(Execute(*dirty, raw), IsOk());
  }
  ASSERT_TRUE(Eventually([this] { return backend_->stats().sessions_leased == 0; }));
  EXPECT_EQ(bound(), "1h");
  Schema("ALTER DATABASE shard SET idle_in_transaction_session_timeout = '5min'");
  Open();
  EXPECT_EQ(bound(), "5min");
  // Longer than an abort is kept: recovery's word would be forgotten before the transaction is.
  Schema("ALTER DATABASE shard SET idle_in_transaction_session_timeout = '3d'");
  Open();
  EXPECT_EQ(bound(), "1h");
}

// The server's own word for a standby that streams: a program that receives its log.
class LogReceiver {
 public:
  explicit LogReceiver(int port) {
    const std::string directory = directory_.path();
    const std::string number = absl::StrCat(port);
    std::string program;
    for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql")) {
      program = std::max(program, (version.path() / "bin/pg_receivewal").string());
    }
    const pid_t parent = getpid();
    child_ = fork();
    if (child_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    execl(program.c_str(), "pg_receivewal", "-D", directory.c_str(), "-h", "127.0.0.1", "-p", number.c_str(), "-U",
           "postgres", "--no-sync", static_cast<char*>(nullptr));
    _exit(127);
  }
  ~LogReceiver() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }

 private:
  TempDirectory directory_;
  pid_t child_ = 0;
};

TEST_F(PostgresTwoPhaseTest, AStandbyThatCommitsDoNotWaitForIsSeen) {
  Init();
  ASSERT_THAT(Check(), IsOk());
  const LogReceiver receiver(cluster_->port());
  ASSERT_TRUE(Eventually([this] {
    return Query("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1";
  }));
  EXPECT_THAT(Check(), IsOk()) << "what was found stands until something fails";
  Open();
  ExpectUnfit("synchronous_standby_names", "allow_async_two_phase");
  Schema("ALTER SYSTEM SET synchronous_standby_names = 'pg_receivewal'");
  Schema("SELECT pg_reload_conf()");
  ASSERT_TRUE(Eventually([this] { return Query("SHOW synchronous_standby_names") == "pg_receivewal"; }));
  EXPECT_THAT(Check(), IsOk());
  Schema("ALTER SYSTEM RESET synchronous_standby_names");
  Schema("SELECT pg_reload_conf()");
  EXPECT_TRUE(Eventually([this] { return Query("SHOW synchronous_standby_names").empty(); }));
}

TEST_F(PostgresTwoPhaseTest, EveryEndTakesOneRoundTrip) {
  Init();
  TcpGate gate(cluster_->port());
  options_.conninfo = cluster_->ConninfoAt("shard", gate.port());
  Open();
  Init();
  // Its first look for old request ids opens a session; one that joined the idle ones later would be leased next, with nothing prepared.
  const auto all_are_idle = [this] { return backend_->stats().sessions_leased == 0; };
  ASSERT_TRUE(Eventually(all_are_idle));
  const RequestGuard guard = {"00000000-0000-7000-8000-000000000001", 3};
  const TaskResult reply;
  const auto round_trips = [&](const std::unique_ptr<Session>& session, const std::function<absl::Status(Session&)>& end) {
    constexpr absl::Duration kOneWay = absl::Milliseconds(150);
    gate.Delay(kOneWay);
    const absl::Time start = absl::Now();
    EXPECT_THAT(end(*session), IsOk());
    gate.Delay(absl::ZeroDuration());
    return absl::FDivDuration(absl::Now() - start, 2 * kOneWay);
  };
  // What a connection prepares once.
  {
    const std::unique_ptr<Session> first = Writer(1);
    ASSERT_THAT(Prepare(*first, 1), IsOk());
    const std::unique_ptr<Session> second = Writer(2);
    ASSERT_THAT(Commit(*second, Deciding(7)), IsOk());
  }
  ASSERT_THAT(Finish(1, Verdict::kAbort), IsOk());
  Schema("DELETE FROM t");
  const double plain = round_trips(Writer(1), [this](Session& session) { return Commit(session); });
  std::unique_ptr<Session> home = Lease();
  const CallContext ctx = Within(absl::Seconds(20));
  ASSERT_THAT(RunOn(loop_, home->Claim(guard, ctx)), IsOk());
  ASSERT_THAT(Execute(*home, Insert(2)), IsOk());
  const double decides = round_trips(home, [&](Session& session) {
    CommitOptions options = Deciding(2);
    options.guard = guard;
    options.reply = &reply;
    return Commit(session, options);
  });
  const double prepares = round_trips(Writer(3), [this](Session& session) { return Prepare(session, 3); });
  Schema("INSERT INTO t VALUES (4, 0), (5, 0)");
  const Task updates = TwoUpdates(4, 5);
  // The statements are known to the server from the first time on.
  std::unique_ptr<Session> session = LeaseWithoutUndo();
  ASSERT_THAT(RunAndPrepare(*session, updates, 4).status, IsOk());
  session = nullptr;
  ASSERT_THAT(Finish(4, Verdict::kCommit), IsOk());
  ASSERT_TRUE(Eventually(all_are_idle));
  const double runs = round_trips(LeaseWithoutUndo(), [&](Session& one) { return RunAndPrepare(one, updates, 5).status; });
  std::cout << plain << ' ' << decides << ' ' << prepares << ' ' << runs << " round trips" << std::endl;
  for (const double taken : {plain, decides, prepares, runs}) EXPECT_LT(taken, 1.9);
}

// Whatever of a deciding commit or of its answer is lost: what is told is true.
TEST_F(PostgresTwoPhaseTest, ADecisionWhoseConnectionBreaksIsLookedUp) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  SeededRandom random(seed);
  Init();
  TcpGate gate(cluster_->port());
  options_.conninfo = cluster_->ConninfoAt("shard", gate.port());
  Open();
  int committed = 0;
  for (int number = 1; number <= 60; ++number) {
    const std::unique_ptr<Session> session = Writer(number);
    const auto bytes = static_cast<int64_t>(random.Next() % 400);
    if (random.Next() % 2 == 0) {
      gate.CutAfterBytesToServer(bytes);
    } else {
      gate.CutAfterBytesToClient(bytes);
    }
    const absl::Status status = Commit(*session, Deciding(number));
    gate.Open();
    const std::string there = Query(absl::StrCat("SELECT count(*) FROM quarry.txn_decision WHERE transaction_id = '",
                                                 TransactionOf(number).id, "'"));
    if (status.ok()) ++committed;
    EXPECT_TRUE(status.ok() || absl::IsAborted(status) || absl::IsUnavailable(status)) << status;
    EXPECT_EQ(there, status.ok() ? "1" : "0") << number << ' ' << status;
    ASSERT_TRUE(Eventually([this] {
      const CallContext ping = Within(absl::Seconds(5));
      return RunOn(loop_, backend_->Ping(ping)).ok();
    }));
  }
  backend_.reset();
  std::cout << committed << " of 60 committed" << std::endl;
  EXPECT_EQ(Query("SELECT count(*) FROM t"), absl::StrCat(committed));
  EXPECT_GT(committed, 0);
  EXPECT_LT(committed, 60);
}

// The same for a branch.
TEST_F(PostgresTwoPhaseTest, APrepareWhoseConnectionBreaksIsLookedUp) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  SeededRandom random(seed);
  Init();
  TcpGate gate(cluster_->port());
  options_.conninfo = cluster_->ConninfoAt("shard", gate.port());
  Open();
  int prepared = 0;
  int refused = 0;
  for (int number = 1; number <= 60; ++number) {
    const std::unique_ptr<Session> session = Writer(number);
    const auto bytes = static_cast<int64_t>(random.Next() % 400);
    if (random.Next() % 2 == 0) {
      gate.CutAfterBytesToServer(bytes);
    } else {
      gate.CutAfterBytesToClient(bytes);
    }
    const absl::Status status = Prepare(*session, number);
    gate.Open();
    const std::string there =
        Query(absl::StrCat("SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE '%", TransactionOf(number).id, "%'"));
    if (status.ok()) {
      ++prepared;
      EXPECT_EQ(there, "1") << number;
    } else {
      ++refused;
      EXPECT_TRUE(absl::IsAborted(status) || absl::IsUnavailable(status)) << status;
      EXPECT_EQ(there, "0") << number << ' ' << status;
    }
    // Sessions that the cut has broken are replaced.
    const CallContext ctx = Within(absl::Seconds(20));
    ASSERT_TRUE(Eventually([this] {
      const CallContext ping = Within(absl::Seconds(5));
      return RunOn(loop_, backend_->Ping(ping)).ok();
    }));
    ASSERT_THAT(RunOn(loop_, backend_->two_phase().Finish(TransactionOf(number), Verdict::kCommit, ctx)), IsOk());
  }
  backend_.reset();
  std::cout << prepared << " prepared, " << refused << " refused" << std::endl;
  EXPECT_EQ(Query("SELECT count(*) FROM t"), absl::StrCat(prepared));
  EXPECT_GT(prepared, 0);
  EXPECT_GT(refused, 0);
}

// With its statements on the way, too, nobody can say whether it is prepared: that is what is told, and a rollback ends it.
TEST_F(PostgresTwoPhaseTest, AFailureThatIsToldAsCertainLeavesNoBranchOfATask) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  SeededRandom random(seed);
  Init();
  Schema("INSERT INTO t VALUES (1, 0), (2, 0)");
  TcpGate gate(cluster_->port());
  options_.conninfo = cluster_->ConninfoAt("shard", gate.port());
  Open();
  int prepared = 0;
  int unknown = 0;
  for (int number = 1; number <= 60; ++number) {
    std::unique_ptr<Session> session = LeaseWithoutUndo();
    const auto bytes = static_cast<int64_t>(random.Next() % 900);
    if (random.Next() % 2 == 0) {
      gate.CutAfterBytesToServer(bytes);
    } else {
      gate.CutAfterBytesToClient(bytes);
    }
    const PreparedTask done = RunAndPrepare(*session, TwoUpdates(1, 2), number);
    session = nullptr;
    gate.Open();
    const auto branches = [&] {
      return Query(absl::StrCat("SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE '%", TransactionOf(number).id, "%'"));
    };
    if (done.status.ok()) {
      ++prepared;
      EXPECT_THAT(done.result, IsOk());
      EXPECT_EQ(branches(), "1") << number;
    } else if (absl::IsUnknown(done.status)) {
      ++unknown;
    } else {
      EXPECT_TRUE(absl::IsAborted(done.status) || absl::IsUnavailable(done.status)) << done.status;
      EXPECT_EQ(branches(), "0") << number << ' ' << done.status;
    }
    ASSERT_TRUE(Eventually([this] {
      const CallContext ping = Within(absl::Seconds(5));
      return RunOn(loop_, backend_->Ping(ping)).ok();
    }));
    // A branch may come a moment after the rollback found none, as recovery knows.
    EXPECT_TRUE(Eventually([&] {
      EXPECT_THAT(Finish(number, Verdict::kAbort), IsOk());
      return branches() == "0" && Query("SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass") == "0";
    }));
  }
  std::cout << prepared << " prepared, " << unknown << " unknown" << std::endl;
  EXPECT_GT(prepared, 0);
  EXPECT_GT(unknown, 0);
  EXPECT_EQ(Query("SELECT string_agg(n::text, ',') FROM t"), "0,0");
}

}  // namespace
}  // namespace quarry
