// Several quarryd processes over the same PostgreSQL shards, and a client that goes to another one with every call.
#include <signal.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/fault/gateway/daemon.h"
#include "tests/integration/gateway/gateway_test.h"
#include "tests/support/reserved_port.h"

namespace quarry::gateway_test {
namespace {

using client::Value;

constexpr int kShards = 2;

std::string AddressOf(int port) { return absl::StrCat("127.0.0.1:", port); }

class GatewaysFaultTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (int shard = 0; shard < kShards; ++shard) {
      const std::string name = absl::StrCat("gateways_", shard);
      ASSERT_THAT(Postgres().CreateDatabase(name), IsOk());
      ASSERT_THAT(Postgres().Run(name, SchemaSql(Kind::kPostgres)), IsOk());
    }
  }
  void SetUp() override {
    ASSERT_NE(std::getenv("QUARRYD"), nullptr) << "QUARRYD names the program";
    std::vector<std::string> places;
    for (int shard = 0; shard < kShards; ++shard) {
      places.push_back(absl::StrCat("{postgres: {primary: \"",
                                    Postgres().conninfo(absl::StrCat("gateways_", shard)), "\"}}"));
    }
    std::ofstream(config_) << ConfigYaml(folder_.path(), places);
  }

  // Gateway `index` of `count`, knowing all of them.
  std::unique_ptr<Daemon> Spawn(size_t index, size_t count, std::vector<std::string> more = {}) {
    std::vector<std::string> addresses;
    for (size_t i = 0; i < count; ++i) addresses.push_back(AddressOf(ports_[i].number()));
    DaemonOptions options;
    options.config_file = config_;
    options.more_arguments = {"--set", absl::StrCat("listen.grpc=", AddressOf(ports_[index].number())),
                              "--set", absl::StrCat("data_dir=", folder_.path(), "/", index),
                              "--set", absl::StrCat("peers.addresses=[", absl::StrJoin(addresses, ", "), "]"),
                              "--set", "peers.interval=500ms", "--set", "log.level=info"};
    for (std::string& argument : more) options.more_arguments.push_back(std::move(argument));
    return Daemon::Spawn(options);
  }
  void StartAll(size_t count) {
    for (size_t i = 0; i < count; ++i) daemons_.push_back(Spawn(i, count));
    for (size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(daemons_[i]->WaitUntilServing()) << daemons_[i]->Output();
      gateways_.push_back(ConnectionAt(ports_[i].number()));
    }
  }
  // A gateway that has its place again.
  void Restart(size_t index, size_t count) {
    daemons_[index] = Spawn(index, count);
    ASSERT_TRUE(daemons_[index]->WaitUntilServing()) << daemons_[index]->Output();
    gateways_[index] = ConnectionAt(ports_[index].number());
  }
  // Another one with every call.
  client::Connection& Next() { return *gateways_[turn_++ % gateways_.size()]; }

  std::string Begin(size_t gateway) {
    const auto begun = gateways_[gateway]->Begin({}, Soon());
    EXPECT_THAT(begun, IsOk());
    return begun.ok() ? begun->transaction_id() : "";
  }
  static v1::OnShardRequest Statement(const std::string& transaction, const std::string& sql,
                                      std::vector<Value> params = {}) {
    v1::OnShardRequest request = SqlOn(0, sql, std::move(params), /*allow_writes=*/true);
    request.set_transaction_id(transaction);
    return request;
  }
  static absl::Status Finish(client::Connection& gateway, const std::string& transaction) {
    v1::CommitRequest request;
    request.set_transaction_id(transaction);
    return gateway.Commit(request, Soon()).status();
  }
  static std::string NewName() { return absl::StrCat("setting ", next_name_++); }
  // What is committed, past all gateways.
  std::string Committed(const std::string& sql) {
    const absl::StatusOr<std::string> text = Postgres().QueryOne("gateways_0", sql);
    EXPECT_THAT(text, IsOk());
    return text.value_or("");
  }

  TempDirectory folder_;
  TempDirectory config_folder_;
  const std::string config_ = config_folder_.path() + "/quarry.yaml";
  std::array<ReservedPort, 3> ports_;  // Peers have to be named before they listen.
  std::vector<std::unique_ptr<Daemon>> daemons_;
  std::vector<std::shared_ptr<client::Connection>> gateways_;
  size_t turn_ = 0;
  static inline int next_name_ = 0;
};

TEST_F(GatewaysFaultTest, ATransactionGoesOnWhereverItsCallsArrive) {
  ASSERT_NO_FATAL_FAILURE(StartAll(3));
  for (size_t owner = 0; owner < 3; ++owner) {
    const std::string id = Begin(owner);
    const std::string name = NewName();
    turn_ = owner + 1;
    v1::InsertRequest insert;
    insert.set_table("settings");
    insert.set_transaction_id(id);
    (*insert.mutable_record()->mutable_columns())["name"] = Value(name).proto();
    (*insert.mutable_record()->mutable_columns())["value"] = Value("one").proto();
    ASSERT_THAT(Next().Insert(insert, Soon()), IsOk());
    EXPECT_EQ(Committed(absl::StrCat("SELECT count(*) FROM settings WHERE name = '", name, "'")), "0");
    // Its own write, read by one of the others, alone and as a stream.
    for (int reads = 0; reads < 3; ++reads) {
      const Streamed streamed =
          ReadAll(Next().OnShard(Statement(id, "SELECT value FROM settings WHERE name = $1", {name}), Soon()));
      ASSERT_THAT(streamed.status, IsOk());
      EXPECT_EQ(streamed.rows(), 1);
    }
    // An error keeps its reason and its facts.
    const absl::Status twice = Next().Insert(insert, Soon()).status();
    EXPECT_THAT(twice, Fails(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation));
    EXPECT_EQ(Fact(twice, "table"), "settings");
    v1::GetTransactionRequest look;
    look.set_transaction_id(id);
    ASSERT_OK_AND_ASSIGN(const v1::GetTransactionResponse active, Next().GetTransaction(look, Soon()));
    EXPECT_EQ(active.state(), v1::TRANSACTION_STATE_ACTIVE);
    ASSERT_THAT(Finish(*gateways_[(owner + 2) % 3], id), IsOk());
    EXPECT_EQ(Committed(absl::StrCat("SELECT value FROM settings WHERE name = '", name, "'")), "one");
    ASSERT_OK_AND_ASSIGN(const v1::GetTransactionResponse ended, Next().GetTransaction(look, Soon()));
    EXPECT_EQ(ended.state(), v1::TRANSACTION_STATE_COMMITTED);
  }
  const std::optional<double> forwarded = MetricAt(daemons_[0]->http_port(), "quarry_forwarded_calls_total");
  EXPECT_GT(forwarded.value_or(0), 0);
}

TEST_F(GatewaysFaultTest, StreamsAndRowsNearTheLimitComeThroughAnother) {
  ASSERT_NO_FATAL_FAILURE(StartAll(2));
  const std::string id = Begin(0);
  const Streamed many = ReadAll(
      gateways_[1]->OnShard(Statement(id, "SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) AS n"), Soon()));
  ASSERT_THAT(many.status, IsOk());
  EXPECT_EQ(many.rows(), 20'000);
  constexpr int kBig = (4 << 20) - 4096;  // limits.message_bytes is 4 MiB.
  const Streamed big = ReadAll(gateways_[1]->OnShard(Statement(id, absl::StrCat("SELECT repeat('x', ", kBig, ")")), Soon()));
  ASSERT_THAT(big.status, IsOk());
  EXPECT_EQ(big.rows(), 1);
  const std::string text(3 << 20, 'y');
  const Streamed echoed = ReadAll(gateways_[1]->OnShard(Statement(id, "SELECT length($1::text)", {text}), Soon()));
  ASSERT_THAT(echoed.status, IsOk());
  EXPECT_THAT(Finish(*gateways_[1], id), IsOk());
}

TEST_F(GatewaysFaultTest, ACallerWhoLeavesEndsTheStatementAtTheOwner) {
  ASSERT_NO_FATAL_FAILURE(StartAll(2));
  const std::string id = Begin(0);
  const absl::Time began = absl::Now();
  const Streamed late =
      ReadAll(gateways_[1]->OnShard(Statement(id, "SELECT pg_sleep(60)"), absl::Now() + absl::Seconds(3)));
  EXPECT_THAT(late.status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  // The session goes with what was left half done.
  EXPECT_TRUE(SettlesToNoSessions(daemons_[0]->http_port()));
  EXPECT_TRUE(Eventually([this] {
    return Committed("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'") == "0";
  }));
  EXPECT_LT(absl::Now() - began, absl::Seconds(40));
  EXPECT_THAT(Finish(*gateways_[1], id), Fails(absl::StatusCode::kAborted, reason::kTransactionEnded));
}

TEST_F(GatewaysFaultTest, TheDeathOfAnOwnerEndsItsTransactionsAndFreesTheirRows) {
  ASSERT_NO_FATAL_FAILURE(StartAll(3));
  const std::string name = NewName();
  ASSERT_THAT(Postgres().Run("gateways_0", absl::StrCat("INSERT INTO settings VALUES ('", name, "', 'before')")), IsOk());
  const std::string id = Begin(0);
  ASSERT_THAT(ReadAll(gateways_[1]->OnShard(Statement(id, "UPDATE settings SET value = 'within' WHERE name = $1", {name}),
                                            Soon())).status, IsOk());
  // One more statement is under way as the owner dies.
  absl::Status in_flight;
  std::thread caller([&] { in_flight = ReadAll(gateways_[2]->OnShard(Statement(id, "SELECT pg_sleep(30)"), Soon())).status; });
  EXPECT_TRUE(Eventually([this] {
    return Committed("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'") == "1";
  }));
  const absl::Time killed = absl::Now();
  daemons_[0]->Kill(SIGKILL);
  caller.join();
  EXPECT_THAT(in_flight, Fails(absl::StatusCode::kAborted, reason::kTransactionEnded));
  // Retries of what is told to be retried come to the truth.
  absl::Status next;
  EXPECT_TRUE(Eventually([&] {
    next = ReadAll(gateways_[1]->OnShard(Statement(id, "SELECT 1"), Soon())).status;
    if (!absl::IsUnavailable(next)) return true;
    EXPECT_THAT(next, HasReason(reason::kPeerUnavailable));
    EXPECT_TRUE(DetailOf(next).retry_after.has_value());
    return false;
  }));
  const absl::Duration told = absl::Now() - killed;
  EXPECT_THAT(next, Fails(absl::StatusCode::kAborted, reason::kTransactionEnded));
  const bool says_why = absl::StrContains(next.message(), "its gateway is gone") ||
                        absl::StrContains(next.message(), "broke before its answer");
  EXPECT_TRUE(says_why) << next;
  std::cout << "the end was told " << absl::FormatDuration(told) << " after the kill\n";
  EXPECT_LT(told, absl::Seconds(5));
  EXPECT_EQ(Committed(absl::StrCat("SET lock_timeout = '10s'; UPDATE settings SET value = 'after' WHERE name = '", name,
                                   "' RETURNING value")), "after");
  // Commit is asked of the shards, and does not claim what nobody knows.
  absl::Status end;
  // Until its owner is known to be gone, its owner is asked.
  EXPECT_TRUE(Eventually([&] { return !absl::IsUnavailable(end = Finish(*gateways_[1], id)); }));
  EXPECT_THAT(end, Fails(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown));
  EXPECT_EQ(Committed(absl::StrCat("SELECT value FROM settings WHERE name = '", name, "'")), "after");
}

TEST_F(GatewaysFaultTest, ARestartedGatewayIsAnotherAndServesAgain) {
  ASSERT_NO_FATAL_FAILURE(StartAll(2));
  const std::string old = Begin(0);
  daemons_[0]->Kill(SIGKILL);
  daemons_[0]->Wait();
  Restart(0, 2);
  const Streamed ended = ReadAll(gateways_[1]->OnShard(Statement(old, "SELECT 1"), Soon()));
  EXPECT_THAT(ended.status, Fails(absl::StatusCode::kAborted, reason::kTransactionEnded));
  // At the new one, too.
  EXPECT_THAT(ReadAll(gateways_[0]->OnShard(Statement(old, "SELECT 1"), Soon())).status,
              Fails(absl::StatusCode::kAborted, reason::kTransactionEnded));
  const std::string fresh = Begin(0);
  EXPECT_THAT(ReadAll(gateways_[1]->OnShard(Statement(fresh, "SELECT 1"), Soon())).status, IsOk());
  EXPECT_THAT(Finish(*gateways_[1], fresh), IsOk());
}

TEST_F(GatewaysFaultTest, APeerOfAnotherDeploymentGetsNoCalls) {
  daemons_.push_back(Spawn(0, 2));
  daemons_.push_back(Spawn(1, 2, {"--set", "deployment=elsewhere"}));
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(daemons_[i]->WaitUntilServing()) << daemons_[i]->Output();
    gateways_.push_back(ConnectionAt(ports_[i].number()));
  }
  const std::string id = Begin(1);
  const Streamed refused = ReadAll(gateways_[0]->OnShard(Statement(id, "SELECT 1"), Soon()));
  EXPECT_THAT(refused.status, Fails(absl::StatusCode::kAborted, reason::kTransactionEnded));
  EXPECT_TRUE(Eventually([this] { return absl::StrContains(daemons_[0]->Output(), "is of deployment elsewhere"); }));
  const auto listed = gateways_[0]->ListGateways({}, Soon());
  ASSERT_THAT(listed, IsOk());
  ASSERT_EQ(listed->gateways_size(), 2);
  for (const v1::Gateway& gateway : listed->gateways()) {
    const bool other = gateway.address() == AddressOf(ports_[1].number());
    EXPECT_EQ(gateway.state(), other ? v1::GATEWAY_STATE_OTHER_DEPLOYMENT : v1::GATEWAY_STATE_SELF) << gateway.DebugString();
  }
}

// What a call through another gateway costs; printed, and bound only so that a pathology shows.
TEST_F(GatewaysFaultTest, AForwardedCallCostsLittleMoreThanADirectOne) {
  ASSERT_NO_FATAL_FAILURE(StartAll(2));
  const std::string id = Begin(0);
  const auto median = [&](client::Connection& gateway) {
    v1::GetTransactionRequest look;
    look.set_transaction_id(id);
    std::vector<absl::Duration> times;
    for (int i = 0; i < 1'000; ++i) {
      const absl::Time began = absl::Now();
      EXPECT_THAT(gateway.GetTransaction(look, Soon()), IsOk());
      times.push_back(absl::Now() - began);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  };
  const absl::Duration direct = median(*gateways_[0]);
  const absl::Duration forwarded = median(*gateways_[1]);
  std::cout << "direct " << absl::FormatDuration(direct) << ", forwarded " << absl::FormatDuration(forwarded) << ", ratio "
            << absl::FDivDuration(forwarded, direct) << "\n";
  EXPECT_LT(forwarded, absl::Milliseconds(200));
}

}  // namespace
}  // namespace quarry::gateway_test
