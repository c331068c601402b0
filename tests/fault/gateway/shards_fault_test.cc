// A gateway when one of its shards is down, dies, hangs, is full or has another schema than the others.
#include <signal.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/rpc_status.h"
#include "tests/integration/gateway/gateway_test.h"
#include "tests/support/postgres/tcp_gate.h"

namespace quarry::gateway_test {
namespace {

using client::Key;
using client::Mutation;
using client::Value;

uint64_t Seed() {
  const char* given = std::getenv("QUARRY_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "QUARRY_TEST_SEED=" << seed << std::endl;
  return seed;
}

// Two PostgreSQL shards; the way to the second one goes through a gate.
class GatedShardTest : public testing::Test {
 protected:
  void Start(std::vector<std::string> overrides, bool refused_at_start = false) {
    gate_ = std::make_unique<TcpGate>(Postgres().port());
    GatewaySettings settings;
    settings.overrides = std::move(overrides);
    settings.port_of_shard = [this](int shard) { return shard == 1 ? gate_->port() : 0; };
    settings.catalog_wait = absl::Seconds(2);
    settings.before_start = [this, refused_at_start] { gate_->Refuse(refused_at_start); };
    ASSERT_OK_AND_ASSIGN(gateway_, TestGateway::Start({Kind::kPostgres, 2}, settings));
  }
  void TearDown() override {
    if (gateway_ == nullptr) return;
    gate_->Open();
    ExpectRecovery();
    EXPECT_TRUE(gateway_->SettlesToNoSessions());
  }
  client::Client& client() { return gateway_->client(); }
  // Every chaos ends by proving that it is over.
  void ExpectRecovery() {
    const int64_t id = gateway_->NewCustomerOn(1);
    EXPECT_TRUE(Eventually([&] { return client().Upsert("customers", {{"id", id}, {"name", "back"}}).ok(); }));
    EXPECT_TRUE(Eventually([&] { return gateway_->Metric("quarry_shard_breaker_open") == 0; }));
  }

  std::unique_ptr<TcpGate> gate_;
  std::unique_ptr<TestGateway> gateway_;
};

TEST_F(GatedShardTest, AShardThatIsDownAtStartStopsNobodyAndIsUsedWhenItComesUp) {
  ASSERT_NO_FATAL_FAILURE(Start({"breaker.probe_interval=100ms", "pools.connect_timeout=1s"}, true));
  EXPECT_EQ(gateway_->HttpGet("/livez", nullptr), 200);
  EXPECT_TRUE(Eventually([&] { return gateway_->HttpGet("/readyz", nullptr) == 200; }));
  ASSERT_OK_AND_ASSIGN(const auto tables, client().ListTables());
  EXPECT_GE(tables.size(), 13U);
  const int64_t here = gateway_->NewCustomerOn(0);
  const int64_t there = gateway_->NewCustomerOn(1);
  ASSERT_THAT(client().Insert("customers", {{"id", here}, {"name", "n"}}), IsOk());
  const absl::Status down = client().Insert("customers", {{"id", there}, {"name", "n"}}).status();
  EXPECT_THAT(down, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(ReasonOf(down), testing::AnyOf(reason::kShardUnavailable, reason::kCircuitOpen));
  EXPECT_EQ(Fact(down, "shard"), "s1");
  EXPECT_TRUE(DetailOf(down).retry_after.has_value());
  EXPECT_THAT(client().Insert("notes", {{"body", "on s1"}}), StatusIs(absl::StatusCode::kUnavailable));
  // A part of the answer, if that is what the caller wants.
  EXPECT_THAT(client().BatchGet("customers", {{here}, {there}}), StatusIs(absl::StatusCode::kUnavailable));
  client::ReadOptions partial;
  partial.allow_partial = true;
  ASSERT_OK_AND_ASSIGN(const auto batch, client().BatchGet("customers", {{there}, {here}}, partial));
  EXPECT_EQ(batch.unanswered, std::vector<int>{0});
  ASSERT_EQ(batch.failed_shards.size(), 1U);
  EXPECT_EQ(batch.failed_shards[0].shard(), "s1");
  EXPECT_TRUE(batch.rows[1].has_value());
  // Everywhere or nowhere.
  EXPECT_THAT(client().Insert("countries", {{"code", "xx"}, {"name", "x"}}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(NumberOn(*gateway_, 0, "SELECT count(*) FROM countries"), 0);
  EXPECT_THAT(client().Get("countries", {"xx"}), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound))
      << "the other shard answers";
  v1::OnAllShardsRequest all = SqlOnAll("SELECT count(*) FROM customers");
  all.set_mode(v1::FAILURE_MODE_BEST_EFFORT);
  const Streamed streamed = ReadAll(gateway_->raw().OnAllShards(all, Soon()));
  ASSERT_THAT(streamed.status, IsOk());
  ASSERT_EQ(streamed.summary().failed_shards_size(), 1);
  EXPECT_EQ(streamed.rows(), 1);
  EXPECT_TRUE(Eventually([&] { return !*client().Health("shard/s1") && *client().Health("shard/s0"); }));
  EXPECT_EQ(gateway_->Metric("quarry_shard_up"), 1);
  gate_->Open();
  EXPECT_TRUE(Eventually([&] { return client().Insert("notes", {{"body", "on s1"}}).ok(); })) << "its tables are learnt";
  EXPECT_TRUE(Eventually([&] { return gateway_->Metric("quarry_shard_up") == 2; }));
  EXPECT_TRUE(Eventually([&] { return client().Insert("countries", {{"code", "xx"}, {"name", "x"}}).ok(); }));
}

// Whatever is said of each item is true, and the same request again completes the rest exactly once.
TEST_F(GatedShardTest, ABatchThatIsCutInTheMiddleTellsTheTruthForEachItemAndIsFinishedByItsRetry) {
  ASSERT_NO_FATAL_FAILURE(Start({"breaker.probe_interval=20ms", "breaker.faults=1000"}));
  std::mt19937_64 random(Seed());
  int cut = 0;
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE(round);
    v1::BatchWriteRequest request;
    // With a request_id the gateway itself may try again; without one it never does.
    const bool repeatable = round % 2 == 0;
    if (repeatable) request.set_request_id(NewUuid());
    std::vector<int64_t> ids;
    for (int i = 0; i < 6; ++i) {
      ids.push_back(i % 2 == 0 ? gateway_->NewCustomerOn(1) : gateway_->NewCustomerOn(0));
      *request.add_mutations() = Mutation::Insert("customers", {{"id", ids.back()}, {"name", "n"}}).proto();
    }
    const auto bytes = static_cast<int64_t>(random() % 1200);
    random() % 2 == 0 ? gate_->CutAfterBytesToServer(bytes) : gate_->CutAfterBytesToClient(bytes);
    const absl::StatusOr<v1::BatchWriteResponse> first = gateway_->raw().BatchWrite(request, Soon());
    gate_->Open();
    ASSERT_THAT(first, IsOk()) << "a shard that fails fails its own items";
    for (int i = 0; i < 6; ++i) {
      const v1::BatchWriteResult& result = first->results(i);
      const std::string sql = absl::StrCat("SELECT count(*) FROM customers WHERE id = ", ids[static_cast<size_t>(i)]);
      int64_t stored = -1;
      ASSERT_TRUE(Eventually([&] {
        const Streamed streamed = ReadAll(gateway_->raw().OnShard(SqlOn(i % 2 == 0 ? 1 : 0, sql), Soon()));
        if (streamed.status.ok()) stored = streamed.events[1].rows().rows(0).values(0).int64_value();
        return streamed.status.ok();
      }));
      if (i % 2 == 1) {
        EXPECT_TRUE(result.has_applied()) << "the other shard is not concerned";
      }
      if (result.has_applied()) {
        EXPECT_EQ(stored, 1);
      }
      if (result.has_error() && result.error().code() == static_cast<int>(absl::StatusCode::kUnavailable)) {
        EXPECT_EQ(stored, 0) << "UNAVAILABLE means that nothing was applied";
      }
      cut += result.has_error() ? 1 : 0;
    }
    if (!repeatable) continue;
    absl::StatusOr<v1::BatchWriteResponse> again;
    ASSERT_TRUE(Eventually([&] {
      again = gateway_->raw().BatchWrite(request, Soon());
      if (!again.ok()) return false;
      for (const v1::BatchWriteResult& result : again->results()) {
        if (!result.has_applied()) return false;
      }
      return true;
    })) << again.status() << (again.ok() ? again->ShortDebugString() : "");
    for (int i = 0; i < 6; ++i) {
      if (first->results(i).has_applied()) {
        EXPECT_TRUE(again->results(i).replayed()) << i << " " << again->ShortDebugString();
      }
    }
  }
  EXPECT_GT(cut, 0) << "no cut ever hit a batch";
}

TEST_F(GatedShardTest, ReferenceWritesThatAreCutEndTheSameOnEveryShard) {
  ASSERT_NO_FATAL_FAILURE(Start({"breaker.probe_interval=20ms", "breaker.faults=1000", "transactions.recovery_age=100ms",
                                 "transactions.recovery_interval=100ms"}));
  std::mt19937_64 random(Seed());
  int applied = 0;
  for (int round = 0; round < 25; ++round) {
    SCOPED_TRACE(round);
    const std::string code = absl::StrCat("c", round);
    const auto bytes = static_cast<int64_t>(random() % 3000);
    random() % 2 == 0 ? gate_->CutAfterBytesToServer(bytes) : gate_->CutAfterBytesToClient(bytes);
    const absl::Status status = client().Insert("countries", {{"code", code}, {"name", code}}).status();
    gate_->Open();
    const std::string sql = "SELECT count(*) FROM countries WHERE code = '" + code + "'";
    // What home has is decided. Where the cut hit the finish, the other shard shows it a moment later.
    int64_t here = -1;
    int64_t there = -1;
    EXPECT_TRUE(Eventually([&] {
      here = NumberOn(*gateway_, 0, sql);
      const Streamed streamed = ReadAll(gateway_->raw().OnShard(SqlOn(1, sql), Soon()));
      if (streamed.status.ok()) there = streamed.events[1].rows().rows(0).values(0).int64_value();
      return there == here;
    }));
    applied += status.ok() ? 1 : 0;
    if (status.ok()) {
      EXPECT_EQ(here + there, 2);
    }
    EXPECT_NE(here + there, 1) << "half a commit: " << status;
    if (absl::IsUnavailable(status)) {
      EXPECT_EQ(here + there, 0) << status;
    }
    if (!status.ok() && !absl::IsUnavailable(status)) {
      EXPECT_THAT(status, Fails(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown));
    }
  }
  EXPECT_GT(applied, 0);
}

TEST_F(GatedShardTest, ATransactionWhoseConnectionIsCutEndsAndSaysSo) {
  ASSERT_NO_FATAL_FAILURE(Start({"breaker.probe_interval=20ms", "breaker.faults=1000"}));
  std::mt19937_64 random(Seed());
  for (int round = 0; round < 15; ++round) {
    SCOPED_TRACE(round);
    const int64_t id = gateway_->NewCustomerOn(1);
    ASSERT_OK_AND_ASSIGN(client::Transaction own, client().Begin());
    if (!own.Insert("customers", {{"id", id}, {"name", "n"}}).ok()) continue;
    const auto bytes = static_cast<int64_t>(random() % 60);
    random() % 2 == 0 ? gate_->CutAfterBytesToServer(bytes) : gate_->CutAfterBytesToClient(bytes);
    const absl::Status committed = own.Commit().status();
    gate_->Open();
    bool stored = false;
    ASSERT_TRUE(Eventually([&] {
      const absl::Status read = client().Get("customers", {id}).status();
      stored = read.ok();
      return read.ok() || absl::IsNotFound(read);
    }));
    v1::TransactionState state = v1::TRANSACTION_STATE_UNSPECIFIED;
    if (const auto reply = client().GetTransaction(own.id()); reply.ok()) state = reply->state();
    if (committed.ok()) {
      EXPECT_TRUE(stored);
      EXPECT_EQ(state, v1::TRANSACTION_STATE_COMMITTED);
    } else if (absl::IsUnknown(committed)) {
      EXPECT_EQ(state, v1::TRANSACTION_STATE_IN_DOUBT);
    } else {
      EXPECT_FALSE(stored) << committed;
      EXPECT_EQ(state, v1::TRANSACTION_STATE_ROLLED_BACK);
    }
  }
}

// Two shards with a row each. The server of the second is its own, and is stopped like a machine that hangs.
class HangingShardTest : public testing::Test {
 protected:
  void Start(std::vector<std::string> overrides) {
    ASSERT_OK_AND_ASSIGN(hanging_, PostgresCluster::Create());
    GatewaySettings settings;
    settings.overrides = std::move(overrides);
    settings.cluster_of_shard = [this](int shard) { return shard == 1 ? hanging_.get() : nullptr; };
    ASSERT_OK_AND_ASSIGN(gateway_, TestGateway::Start({Kind::kPostgres, 2}, settings));
    here_ = gateway_->NewCustomerOn(0);
    there_ = gateway_->NewCustomerOn(1);
    for (const int64_t id : {here_, there_}) {
      ASSERT_THAT(gateway_->client().Insert("customers", {{"id", id}, {"name", "n"}}), IsOk());
    }
  }
  void StartAndHang(std::vector<std::string> overrides) {
    ASSERT_NO_FATAL_FAILURE(Start(std::move(overrides)));
    hanging_->Kill(SIGSTOP);
  }

  std::unique_ptr<PostgresCluster> hanging_;
  std::unique_ptr<TestGateway> gateway_;
  int64_t here_ = 0;
  int64_t there_ = 0;
};

TEST_F(HangingShardTest, AShardThatHangsCostsItsOwnDeadlinesOnlyAndIsUsedAgainWhenItGoesOn) {
  ASSERT_NO_FATAL_FAILURE(StartAndHang({"breaker.probe_interval=200ms", "breaker.faults=3"}));
  client::Client& client = gateway_->client();
  client::CallOptions brief;
  brief.timeout = absl::Milliseconds(300);
  bool opened = false;
  for (int i = 0; i < 40 && !opened; ++i) {
    const absl::Time start = absl::Now();
    const absl::Status status = client.Get("customers", {there_}, {}, brief).status();
    EXPECT_LT(absl::Now() - start, absl::Seconds(2)) << "the deadline holds";
    EXPECT_THAT(status.code(), testing::AnyOf(absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kUnavailable)) << status;
    opened = ReasonOf(status) == reason::kCircuitOpen;
    const absl::Time other = absl::Now();
    EXPECT_THAT(client.Get("customers", {here_}), IsOk());
    EXPECT_LT(absl::Now() - other, absl::Seconds(2)) << "the other shard is not concerned";
  }
  EXPECT_TRUE(opened) << "the breaker opens, so that nobody waits any more";
  EXPECT_GT(gateway_->Metric("quarry_shard_breaker_open").value_or(0), 0);
  EXPECT_EQ(gateway_->HttpGet("/readyz", nullptr), 200);
  hanging_->Kill(SIGCONT);
  EXPECT_TRUE(Eventually([&] { return client.Get("customers", {there_}).ok(); }));
  EXPECT_TRUE(Eventually([&] { return client.Update("customers", {there_}, {{"visits", 1}}).ok() &&
                                      gateway_->Metric("quarry_shard_breaker_open") == 0; }));
  EXPECT_TRUE(gateway_->SettlesToNoSessions());
}

// The answer, asked for again while the caller's own clock ended the call: on a machine that stands still for a moment.
template <typename Call>
auto InTime(const Call& call) {
  auto answer = call();
  const auto too_late = [&answer] { return absl::IsDeadlineExceeded(answer.status()) && ReasonOf(answer.status()).empty(); };
  for (int tries = 1; tries < 5 && too_late(); ++tries) answer = call();
  return answer;
}

TEST_F(HangingShardTest, APartialAnswerLeavesBeforeItsCallerDoes) {
  ASSERT_NO_FATAL_FAILURE(StartAndHang({"breaker.faults=1000"}));
  client::Client& client = gateway_->client();
  client::CallOptions call;
  call.timeout = absl::Seconds(2);
  const auto names_it = [](const auto& failed) { return failed.size() == 1 && failed[0].shard() == "s1"; };
  client::ReadOptions partial_read;
  partial_read.allow_partial = true;
  ASSERT_OK_AND_ASSIGN(const auto batch, InTime([&] {
                         return client.BatchGet("customers", {{here_}, {there_}}, partial_read, call);
                       }));
  EXPECT_TRUE(names_it(batch.failed_shards));
  EXPECT_TRUE(batch.rows[0].has_value());
  client::Reach partial;
  partial.allow_partial = true;
  ASSERT_OK_AND_ASSIGN(const v1::ListResponse page, InTime([&] {
                         return client.List("customers", {}, {.reach = partial}, call);
                       }));
  EXPECT_TRUE(names_it(page.failed_shards()));
  EXPECT_EQ(page.rows_size(), 1);
  ASSERT_OK_AND_ASSIGN(const v1::AggregateResponse counted,
                       InTime([&] {
                         return client.Aggregate("customers", {}, {client::Aggregate()}, {.reach = partial}, call);
                       }));
  EXPECT_TRUE(names_it(counted.failed_shards()));
  v1::OnAllShardsRequest all = SqlOnAll("SELECT count(*) FROM customers");
  all.set_mode(v1::FAILURE_MODE_BEST_EFFORT);
  Streamed sql;
  ASSERT_THAT(InTime([&]() -> absl::StatusOr<bool> {
                sql = ReadAll(gateway_->raw().OnAllShards(all, absl::Now() + call.timeout));
                if (!sql.status.ok()) return sql.status;
                return true;
              }),
              IsOk());
  EXPECT_TRUE(names_it(sql.summary().failed_shards()));
  // Who wants all or nothing is told which shard it was.
  const absl::Status whole = InTime([&] { return client.Get("customers", {there_}, {}, call); }).status();
  EXPECT_THAT(whole, Fails(absl::StatusCode::kDeadlineExceeded, reason::kDeadline));
  EXPECT_EQ(Fact(whole, "shard"), "s1");
  hanging_->Kill(SIGCONT);
  EXPECT_TRUE(Eventually([&] { return client.Get("customers", {there_}).ok(); }));
  EXPECT_TRUE(gateway_->SettlesToNoSessions());
}

TEST_F(HangingShardTest, TheOthersTellWhatBecameOfATransaction) {
  ASSERT_NO_FATAL_FAILURE(Start({"breaker.faults=1000"}));
  const std::vector<client::Mutation> mutations = {client::Mutation::Update("customers", {here_}, {{"visits", 1}}),
                                                   client::Mutation::Update("customers", {there_}, {{"visits", 1}})};
  ASSERT_OK_AND_ASSIGN(const client::CommitResult committed, gateway_->client().CommitMutations(mutations));
  // It did not run there, so it knows only what shards tell.
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Gateway> another, gateway_->StartAnother());
  const std::unique_ptr<client::Client> client = ClientAt(another->grpc_port(), 1);
  ASSERT_NE(client, nullptr);
  hanging_->Kill(SIGSTOP);
  client::CallOptions call;
  call.timeout = absl::Seconds(4);
  ASSERT_OK_AND_ASSIGN(const v1::GetTransactionResponse fate, client->GetTransaction(committed.transaction_id, call));
  EXPECT_EQ(fate.state(), v1::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(fate.home(), "s0");
  hanging_->Kill(SIGCONT);
  EXPECT_TRUE(Eventually([&] { return gateway_->client().Get("customers", {there_}).ok(); }));
}

TEST(KilledShardTest, AServerThatIsKilledUnderWritesLosesNothingThatWasAcknowledged) {
  PostgresClusterOptions durable;
  durable.fsync = true;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PostgresCluster> victim, PostgresCluster::Create(durable));
  GatewaySettings settings;
  settings.overrides = {"breaker.probe_interval=50ms"};
  settings.cluster_of_shard = [&](int shard) { return shard == 1 ? victim.get() : nullptr; };
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TestGateway> gateway, TestGateway::Start({Kind::kPostgres, 2}, settings));
  std::vector<Key> acknowledged;
  for (int round = 0; round < 3; ++round) {
    bool killed = false;
    for (int i = 0; i < 60; ++i) {
      if (i == 20) {
        victim->Kill(SIGKILL);
        killed = true;
      }
      const int64_t id = gateway->NewCustomerOn(1);
      const absl::Status status = gateway->client().Insert("customers", {{"id", id}, {"name", "n"}}).status();
      if (status.ok()) acknowledged.push_back({id});
      if (killed) {
        EXPECT_FALSE(status.ok());
      }
      if (!status.ok()) {
        EXPECT_THAT(status.code(), testing::AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kUnknown));
      }
    }
    ASSERT_THAT(victim->Start(), IsOk());
    ASSERT_TRUE(Eventually([&] {
      const int64_t id = gateway->NewCustomerOn(1);
      if (!gateway->client().Insert("customers", {{"id", id}, {"name", "n"}}).ok()) return false;
      acknowledged.push_back({id});
      return true;
    }));
  }
  // Each loop finds out by itself that the server is back.
  absl::StatusOr<client::BatchGetResult> batch;
  ASSERT_TRUE(Eventually([&] { return (batch = gateway->client().BatchGet("customers", acknowledged)).ok(); }));
  EXPECT_TRUE(batch->missing.empty());
  EXPECT_TRUE(gateway->SettlesToNoSessions());
}

class BothKinds : public testing::TestWithParam<Setup> {};
INSTANTIATE_TEST_SUITE_P(Backends, BothKinds, testing::ValuesIn(SetupsOr({{Kind::kSqlite, 2}, {Kind::kPostgres, 2}})), SetupName);

TEST_P(BothKinds, AFullPoolIsToldApartFromAShardThatIsDown) {
  GatewaySettings settings;
  settings.overrides = {"loops=1", "pools.sessions=1", "pools.waiters=0"};
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TestGateway> gateway, TestGateway::Start(GetParam(), settings));
  client::Client& client = gateway->client();
  const int64_t id = gateway->NewCustomerOn(1);
  // The gateway's own look for old request ids takes the one session for a moment when it starts.
  ASSERT_TRUE(Eventually([&] { return client.Insert("customers", {{"id", id}, {"name", "n"}}).ok(); }));
  v1::BeginRequest read_only;
  read_only.set_read_only(true);
  ASSERT_OK_AND_ASSIGN(client::Transaction holder, client.Begin(read_only));
  ASSERT_THAT(holder.Get("customers", {id}), IsOk());
  ASSERT_OK_AND_ASSIGN(client::Transaction second, client.Begin(read_only));
  for (int i = 0; i < 10; ++i) {
    const absl::Status full = second.Get("customers", {id}).status();
    EXPECT_THAT(full, Fails(absl::StatusCode::kResourceExhausted, reason::kPoolExhausted));
    EXPECT_EQ(Fact(full, "shard"), "s1");
    EXPECT_EQ(Fact(full, "size"), "1");
    EXPECT_TRUE(DetailOf(full).retry_after.has_value());
  }
  EXPECT_EQ(gateway->Metric("quarry_shard_breaker_open"), 0) << "a full pool is no fault";
  EXPECT_TRUE(Eventually([&] { return *client.Health("shard/s1"); }));
  EXPECT_THAT(client.Get("customers", {id}), IsOk()) << "single statements share another way in";
  ASSERT_THAT(holder.Commit(), IsOk());
  EXPECT_TRUE(Eventually([&] { return second.Get("customers", {id}).ok(); })) << "the refused transaction goes on";
  ASSERT_THAT(second.Commit(), IsOk());
  EXPECT_TRUE(gateway->SettlesToNoSessions());
}

TEST_P(BothKinds, ASchemaThatDiffersIsReportedColumnByColumnAndServedOnceMended) {
  GatewaySettings settings;
  settings.more_schema = [](int shard) -> std::string {
    if (shard == 0) return "";
    return "DROP TABLE settings; DROP TABLE people; ALTER TABLE documents ADD COLUMN pages BIGINT;"
           "DROP TABLE tickets; CREATE TABLE tickets(number BIGINT NOT NULL PRIMARY KEY, title BIGINT NOT NULL);";
  };
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TestGateway> gateway, TestGateway::Start(GetParam(), settings));
  const absl::Status status = gateway->client().Get("customers", {1}).status();
  EXPECT_THAT(status, Fails(absl::StatusCode::kUnavailable, reason::kCatalogNotReady));
  const std::string message(status.message());
  for (const char* part : {"people", "tickets.title", "documents.pages", "s0", "s1", "int64", "text"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << " in " << message;
  }
  EXPECT_EQ(message.find("settings"), std::string::npos) << "a table of s0 alone is not missed on s1";
  EXPECT_THAT(gateway->client().ListTables(), Fails(absl::StatusCode::kUnavailable, reason::kCatalogNotReady));
  // The migration, through the gateway itself.
  for (const char* sql : {"CREATE TABLE people(country TEXT NOT NULL, state TEXT NOT NULL, id BIGINT NOT NULL, "
                          "PRIMARY KEY (country, state, id))",
                          "ALTER TABLE documents DROP COLUMN pages", "DROP TABLE tickets",
                          "CREATE TABLE tickets(number BIGINT NOT NULL PRIMARY KEY, title TEXT)"}) {
    for (int shard = 1; shard < GetParam().shards; ++shard) {
      ASSERT_THAT(ReadAll(gateway->raw().OnShard(SqlOn(shard, sql, {}, true), Soon())).status, IsOk()) << sql;
    }
  }
  EXPECT_TRUE(Eventually([&] { return gateway->client().Get("customers", {1}).status().code() == absl::StatusCode::kNotFound; }));
  // Each loop takes the tables over for itself, so the next call may still meet the old ones.
  absl::Status inserted;
  EXPECT_TRUE(Eventually([&] {
    inserted = gateway->client().Insert("customers", {{"id", 1}, {"name", "n"}}).status();
    return inserted.ok();
  })) << inserted;
  EXPECT_TRUE(gateway->SettlesToNoSessions());
}

}  // namespace
}  // namespace quarry::gateway_test
