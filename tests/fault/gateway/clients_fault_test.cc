// Clients that go away, and the way to them that breaks.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/gateway/gateway_test.h"
#include "tests/support/postgres/tcp_gate.h"

namespace quarry::gateway_test {
namespace {

using client::Mutation;
using client::Value;

class ClientsFaultTest : public GatewayTest {
 protected:
  ClientsFaultTest() : gate_(gateway_.gateway().grpc_port()) {
    const char* given = std::getenv("QUARRY_TEST_SEED");
    const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "QUARRY_TEST_SEED=" << seed << std::endl;
    random_.seed(seed);
  }
  // Cuts the way between client and gateway somewhere in what comes next; every third time not at all.
  void CutSoon() {
    const auto bytes = static_cast<int64_t>(random_() % 900);
    switch (random_() % 3) {
      case 0:
        return gate_.CutAfterBytesToServer(bytes);
      case 1:
        return gate_.CutAfterBytesToClient(bytes);
      default:
        return;
    }
  }

  TcpGate gate_;
  std::mt19937_64 random_;
};

INSTANTIATE_TEST_SUITE_P(Backends, ClientsFaultTest, testing::ValuesIn(SetupsOr({{Kind::kSqlite, 2}, {Kind::kPostgres, 2}})),
                         SetupName);

// A second effect of an insert would be ALREADY_EXISTS, of a change ETAG_MISMATCH, and of a delete NOT_FOUND.
TEST_P(ClientsFaultTest, RetriedWritesHaveTheirEffectExactlyOnceHoweverOftenTheConnectionIsCut) {
  const std::unique_ptr<client::Client> retrying = ClientAt(gate_.port(), 2, 30);
  ASSERT_NE(retrying, nullptr);
  // How often a cut came between a write and its reply.
  std::map<std::string, int> replayed = {{"insert", 0}, {"update", 0}, {"upsert", 0}, {"delete", 0}, {"batch", 0}};
  const auto write = [&](const std::string& kind, const Mutation& mutation) {
    CutSoon();
    const absl::StatusOr<client::WriteResult> result = retrying->Write(mutation);
    gate_.Open();
    EXPECT_THAT(result, IsOk()) << kind;
    if (!result.ok()) return std::string();
    replayed[kind] += result->replayed ? 1 : 0;
    return result->etag;
  };
  client::MutationOptions with_etag;
  with_etag.returning = {"visits"};
  client::MutationOptions is_new;
  is_new.exists = false;
  const auto all_met = [&] {
    return std::all_of(replayed.begin(), replayed.end(), [](const auto& kind) { return kind.second > 0; });
  };
  for (int round = 0; (round < 120 || (!all_met() && round < 1'200)) && !HasFailure(); ++round) {
    SCOPED_TRACE(round);
    const int64_t id = gateway_.NewCustomerOn(0);
    client::MutationOptions unchanged = with_etag;
    unchanged.etag = write("insert", Mutation::Insert("customers", {{"id", id}, {"name", "n"}}, with_etag));
    unchanged.etag = write("update", Mutation::Update("customers", {id}, {{"visits", 1}}, unchanged));
    write("upsert", Mutation::Upsert("customers", {{"id", id}, {"name", "n"}, {"visits", 2}}, unchanged));
    const int64_t other = gateway_.NewCustomerOn(1);
    CutSoon();
    const auto results = retrying->BatchWrite({Mutation::Upsert("customers", {{"id", other}, {"name", "n"}}, is_new),
                                               Mutation::Insert("orders", {{"customer_id", id}, {"order_id", 1}}),
                                               Mutation::Insert("orders", {{"customer_id", other}, {"order_id", 1}})});
    gate_.Open();
    ASSERT_THAT(results, IsOk());
    for (const absl::StatusOr<client::WriteResult>& result : *results) ASSERT_THAT(result, IsOk());
    replayed["batch"] += results->front()->replayed ? 1 : 0;
    ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("customers", {id}));
    EXPECT_EQ(read.record["visits"], Value(2));
    write("delete", Mutation::Delete("orders", {id, 1}));
  }
  for (const auto& [kind, times] : replayed) {
    std::cout << times << " of " << kind << " replayed" << std::endl;
    EXPECT_GT(times, 0) << kind;
  }
}

TEST_P(ClientsFaultTest, ACounterThatIsRaisedWithRequestIdsCountsEachOfThemOnce) {
  const int64_t id = AddCustomer(0);
  const std::shared_ptr<client::Connection> connection = ConnectionAt(gate_.port());
  ASSERT_NE(connection, nullptr);
  constexpr int kRaises = 120;
  for (int raise = 0; raise < kRaises; ++raise) {
    v1::OnShardRequest request =
        SqlOn(0, absl::StrCat("UPDATE customers SET visits = visits + 1 WHERE id = ", id), {}, true);
    request.set_request_id(NewUuid());
    CutSoon();
    absl::Status status;
    ASSERT_TRUE(Eventually([&] {
      status = ReadAll(connection->OnShard(request, absl::Now() + absl::Seconds(5))).status;
      gate_.Open();
      return status.ok();
    })) << status;
  }
  ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("customers", {id}));
  EXPECT_EQ(read.record["visits"], Value(kRaises));
}

TEST_P(ClientsFaultTest, AClientThatGoesAwayInMidStreamLeavesNoSession) {
  const std::string endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x, "
                              "'padding padding padding padding padding padding padding' FROM n";
  for (int round = 0; round < 6; ++round) {
    const std::shared_ptr<client::Connection> connection = ConnectionAt(gate_.port());
    ASSERT_NE(connection, nullptr);
    v1::OnAllShardsRequest all = SqlOnAll(endless);
    all.set_max_rows(1'000'000'000);
    all.set_max_bytes(1'000'000'000'000);
    absl::StatusOr<std::unique_ptr<client::EventStream>> stream = connection->OnAllShards(all, Soon());
    ASSERT_THAT(stream, IsOk());
    for (int event = 0; event <= round; ++event) ASSERT_THAT((*stream)->Next(), IsOk());
    EXPECT_GT(gateway_.Metric("quarry_shard_sessions_in_use").value_or(0), 0);
    if (round % 2 == 0) {
      gate_.Cut();  // The client is gone without a word.
    } else {
      stream->reset();  // It cancels.
    }
    EXPECT_TRUE(gateway_.SettlesToNoSessions()) << round;
  }
}

TEST_P(ClientsFaultTest, AClientThatGoesAwayInMidWriteLeavesNoSessionAndNoHalf) {
  // A transaction whose client is gone: its idle timeout ends it.
  v1::BeginRequest options;
  options.mutable_idle_timeout()->set_seconds(2);
  const int64_t kept = AddCustomer(1);
  {
    const std::unique_ptr<client::Client> gone = ClientAt(gate_.port(), 1);
    ASSERT_NE(gone, nullptr);
    ASSERT_OK_AND_ASSIGN(client::Transaction txn, gone->Begin(options));
    ASSERT_THAT(txn.Update("customers", {kept}, {{"visits", 5}}), IsOk());
    gate_.Refuse(true);
    gate_.Cut();
    EXPECT_TRUE(gateway_.SettlesToNoSessions());
    gate_.Open();
  }
  ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("customers", {kept}));
  EXPECT_EQ(read.record["visits"], Value(0));
  // Atomic writes that are cut off while they run: both rows or none.
  const std::shared_ptr<client::Connection> connection = ConnectionAt(gate_.port(), 2);
  for (int round = 0; round < 40; ++round) {
    const int64_t a = gateway_.NewCustomerOn(1);
    const int64_t b = gateway_.NewCustomerOn(1);
    v1::CommitRequest commit;
    for (const int64_t id : {a, b}) *commit.add_mutations() = Mutation::Insert("customers", {{"id", id}, {"name", "n"}}).proto();
    CutSoon();
    const absl::Duration patience = round % 4 == 0 ? absl::Microseconds(random_() % 3000) : absl::Seconds(5);
    const bool acknowledged = connection->Commit(commit, absl::Now() + patience).ok();
    gate_.Open();
    // What still runs of it has ended when no session is in use and its writer has nothing to do.
    EXPECT_TRUE(gateway_.SettlesToNoSessions());
    ASSERT_OK_AND_ASSIGN(const auto rows, client().BatchGet("customers", {{a}, {b}}));
    EXPECT_TRUE(rows.missing.empty() || rows.missing.size() == 2U) << "half of an atomic write, round " << round;
    if (acknowledged) {
      EXPECT_TRUE(rows.missing.empty());
    }
  }
}

}  // namespace
}  // namespace quarry::gateway_test
