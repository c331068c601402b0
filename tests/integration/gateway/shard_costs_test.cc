// What ListTopQueries says of the shards when one of them is slow, and identical reads that share an asking.
#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/gateway/gateway_test.h"
#include "tests/support/postgres/tcp_gate.h"

namespace quarry::gateway_test {
namespace {

using client::Filter;

constexpr int kShards = 4;
constexpr int kSlowShard = 2;
constexpr absl::Duration kSlow = absl::Milliseconds(150);

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() / 1e9;
}

// Four PostgreSQL shards; the way to the third goes through a gate.
class ShardCostsTest : public testing::Test {
 protected:
  void SetUp() override {
    gate_ = std::make_unique<TcpGate>(Postgres().port());
    GatewaySettings settings;
    settings.overrides = {"loops=1"};
    settings.port_of_shard = [this](int shard) { return shard == kSlowShard ? gate_->port() : 0; };
    ASSERT_OK_AND_ASSIGN(gateway_, TestGateway::Start({Kind::kPostgres, kShards}, settings));
    for (int i = 0; i < 20; ++i) {
      const int64_t id = gateway_->NewCustomerOn(i % kShards);
      ASSERT_THAT(client().Insert("customers", {{"id", id}, {"name", "n"}, {"visits", i}}), IsOk());
    }
  }
  void TearDown() override {
    gate_->Open();
    EXPECT_TRUE(gateway_->SettlesToNoSessions());
  }
  client::Client& client() { return gateway_->client(); }
  v1::TopQuery TopOf(const std::string& method) {
    const absl::StatusOr<std::vector<v1::TopQuery>> all = client().ListTopQueries(v1::QUERY_RANKING_CALLS, 1000);
    EXPECT_THAT(all, IsOk());
    const auto found = std::find_if(all->begin(), all->end(), [&](const v1::TopQuery& query) { return query.method() == method; });
    EXPECT_NE(found, all->end()) << method;
    return found == all->end() ? v1::TopQuery() : *found;
  }

  std::unique_ptr<TcpGate> gate_;
  std::unique_ptr<TestGateway> gateway_;
};

TEST_F(ShardCostsTest, TheSlowShardIsSeenInEveryKindOfQuery) {
  gate_->Delay(kSlow);
  client::ListOptions list;
  list.page_size = 100;
  ASSERT_THAT(client().List("customers", Filter(), list), IsOk());
  ASSERT_OK_AND_ASSIGN(client::QueryRows rows, client().Query("customers", Filter(), {}));
  for (const absl::StatusOr<client::QueryRows::Row>& row : rows) ASSERT_THAT(row, IsOk());
  ASSERT_THAT(client().Aggregate("customers", Filter(), {client::Aggregate()}), IsOk());
  client::BulkOptions everywhere;
  everywhere.allow_many_shards = true;
  ASSERT_THAT(client().UpdateWhere("customers", Filter("visits >= 0"), {{"name", "m"}}, everywhere), IsOk());
  for (const char* method : {"List", "Query", "Aggregate", "UpdateWhere"}) {
    SCOPED_TRACE(method);
    const v1::TopQuery top = TopOf(method);
    ASSERT_EQ(top.shards_size(), kShards);
    EXPECT_EQ(top.shards_asked(), kShards);
    int64_t rows_of_shards = 0;
    const double slow = Seconds(top.shards(kSlowShard).total_duration());
    EXPECT_GE(slow, absl::ToDoubleSeconds(kSlow));
    EXPECT_LE(slow, Seconds(top.total_duration()));
    for (int shard = 0; shard < kShards; ++shard) {
      const v1::TopQueryShard& of_shard = top.shards(shard);
      EXPECT_EQ(of_shard.shard(), TestGateway::ShardName(shard));
      EXPECT_EQ(of_shard.calls(), 1);
      EXPECT_EQ(of_shard.mean_duration().nanos(), of_shard.total_duration().nanos());
      rows_of_shards += of_shard.rows();
      if (shard == kSlowShard) continue;
      EXPECT_GT(Seconds(of_shard.total_duration()), 0);
      EXPECT_LT(Seconds(of_shard.total_duration()), slow);
    }
    EXPECT_EQ(rows_of_shards, method == std::string("Aggregate") ? kShards : 20);
  }
}

TEST_F(ShardCostsTest, ACallThatFailsTellsWhichShardTookItsTime) {
  ASSERT_THAT(client().List("customers", Filter(), {}), IsOk());
  gate_->Stall(true);
  client::CallOptions call;
  call.timeout = absl::Milliseconds(400);
  EXPECT_THAT(client().List("customers", Filter(), {}, call), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(Eventually([this] { return TopOf("List").errors() == 1; }));
  const v1::TopQuery top = TopOf("List");
  ASSERT_EQ(top.shards_size(), kShards);
  EXPECT_EQ(top.shards(kSlowShard).calls(), 2);
  EXPECT_GE(Seconds(top.shards(kSlowShard).total_duration()), 0.2);
  EXPECT_LT(Seconds(top.shards(0).total_duration()), Seconds(top.shards(kSlowShard).total_duration()));
}

TEST_F(ShardCostsTest, IdenticalReadsShareAnAskingAndSeeEveryWriteBeforeThem) {
  gate_->Delay(kSlow);  // Long enough for all to come while the first is under way.
  constexpr int kCalls = 8;
  std::vector<std::thread> callers;
  std::vector<int64_t> counts(kCalls, -1);
  const auto count = [this](int64_t& to) {
    const auto result = gateway_->NewClient(1)->Aggregate("documents", Filter(), {client::Aggregate()});
    if (result.ok()) to = result->rows(0).values(0).int64_value();
  };
  for (int i = 0; i < kCalls; ++i) {
    // One more document, acknowledged before the next caller comes.
    ASSERT_THAT(client().Insert("documents", {{"id", NewUuid()}, {"title", "t"}}), IsOk());
    callers.emplace_back([&, i] { count(counts[i]); });
  }
  for (std::thread& caller : callers) caller.join();
  for (int i = 0; i < kCalls; ++i) EXPECT_GE(counts[i], i + 1) << i;
  // All at once: the first asks, the others share.
  callers.clear();
  const double before = gateway_->Metric("quarry_merged_reads_total").value_or(-1);
  ASSERT_GE(before, 0);
  const int64_t asked = TopOf("Aggregate").shards_asked();
  for (int i = 0; i < kCalls; ++i) callers.emplace_back([&, i] { count(counts[i]); });
  for (std::thread& caller : callers) caller.join();
  for (const int64_t found : counts) EXPECT_EQ(found, kCalls);
  const auto merged = static_cast<int64_t>(gateway_->Metric("quarry_merged_reads_total").value_or(-1) - before);
  EXPECT_GE(merged, 1);
  EXPECT_EQ(TopOf("Aggregate").shards_asked() - asked, (kCalls - merged) * kShards);
}

}  // namespace
}  // namespace quarry::gateway_test
