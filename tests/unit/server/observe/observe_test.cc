#include <fstream>
#include <sstream>

#include "absl/time/clock.h"
#include "core/base/error.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include "server/observe/access_log.h"
#include "server/observe/build_info.h"
#include "server/observe/peer_metrics.h"
#include "server/observe/process_metrics.h"
#include "server/observe/rpc_metrics.h"
#include "server/observe/shard_board.h"
#include "server/observe/shard_log.h"
#include "server/observe/shard_metrics.h"
#include "server/observe/transaction_metrics.h"
#include "spdlog/sinks/ostream_sink.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

constexpr absl::Time kNow = absl::UnixEpoch();

ShardSample Sample(ShardState state, int64_t leased = 0) {
  ShardSample sample;
  sample.health.state = state;
  sample.stats.sessions_leased = leased;
  return sample;
}

std::string Text(const prometheus::Collectable& source) {
  return prometheus::TextSerializer().Serialize(source.Collect());
}

TEST(ShardBoardTest, IsReadyWithOneUsableShardUntilItDrains) {
  ShardBoard board({"a", "b"}, 2);
  board.SetCatalogProblem("");
  EXPECT_FALSE(board.ready());
  board.Publish(0, {Sample(ShardState::kDown), Sample(ShardState::kDown)}, 0, kNow);
  EXPECT_FALSE(board.ready());
  board.Publish(1, {Sample(ShardState::kDown), Sample(ShardState::kUp)}, 0, kNow);
  EXPECT_TRUE(board.ready());
  EXPECT_EQ(board.shards()[0].state, ShardState::kDown);
  EXPECT_EQ(board.shards()[1].state, ShardState::kUp);
  board.SetDraining();
  EXPECT_FALSE(board.ready());
}

TEST(ShardBoardTest, IsNotReadyBeforeTheTablesAreKnownAndSaysWhy) {
  ShardBoard board({"a"}, 1);
  int changes = 0;
  board.AddListener([&changes] { ++changes; });
  EXPECT_EQ(board.not_ready(), "no shard is usable");
  board.Publish(0, {Sample(ShardState::kUp)}, 0, kNow);
  EXPECT_THAT(board.not_ready(), testing::HasSubstr("not been asked"));
  board.SetCatalogProblem("table t is missing");
  board.SetCatalogProblem("table t is missing");
  EXPECT_EQ(board.not_ready(), "the tables are not known: table t is missing");
  EXPECT_FALSE(board.catalog_ready());
  EXPECT_EQ(changes, 2) << "of the shard and of the problem, told once";
  board.SetCatalogProblem("");
  EXPECT_TRUE(board.ready());
  EXPECT_EQ(changes, 3);
  board.SetDraining();
  EXPECT_EQ(board.not_ready(), "draining");
}

TEST(ShardBoardTest, AddsUpTheLoops) {
  ShardBoard board({"a"}, 2);
  board.Publish(0, {Sample(ShardState::kUp, 2)}, 3, kNow);
  board.Publish(1, {Sample(ShardState::kUp, 5)}, 4, kNow);
  EXPECT_EQ(board.shards()[0].stats.sessions_leased, 7);
  EXPECT_EQ(board.open_transactions(), 7u);
  board.Publish(1, {Sample(ShardState::kUp, 0)}, 0, kNow);
  EXPECT_EQ(board.shards()[0].stats.sessions_leased, 2);
}

TEST(ShardBoardTest, TellsListenersOfChangesOnly) {
  ShardBoard board({"a"}, 1);
  int changes = 0;
  const uint64_t id = board.AddListener([&changes] { ++changes; });
  board.Publish(0, {Sample(ShardState::kUp)}, 0, kNow);
  board.Publish(0, {Sample(ShardState::kUp)}, 0, kNow);
  EXPECT_EQ(changes, 1);
  board.Publish(0, {Sample(ShardState::kDown)}, 0, kNow);
  EXPECT_EQ(changes, 2);
  board.RemoveListener(id);
  board.SetDraining();
  EXPECT_EQ(changes, 2);
}

TEST(ShardLogTest, SaysOnceThatAShardIsDownAndOnceThatItIsBack) {
  std::ostringstream out;
  auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  logger->set_pattern("%l %v");
  ShardBoard board({"a", "b"}, 1);
  ShardSample down = Sample(ShardState::kDown);
  down.health.last_error = absl::UnavailableError("connection refused");
  {
    const ShardLog log(board, logger);
    board.Publish(0, {Sample(ShardState::kUp), Sample(ShardState::kUp)}, 0, kNow);
    board.Publish(0, {down, Sample(ShardState::kUp)}, 0, kNow);
    down.health.state = ShardState::kOpen;
    board.Publish(0, {down, Sample(ShardState::kUp)}, 0, kNow);
    board.Publish(0, {Sample(ShardState::kUp), Sample(ShardState::kUp)}, 0, kNow);
  }
  board.Publish(0, {down, Sample(ShardState::kUp)}, 0, kNow);
  EXPECT_EQ(out.str(), "warning shard a does not answer: connection refused\ninfo shard a answers again\n");
}

TEST(RpcMetricsTest, CountsByMethodAndCodeOverLoops) {
  RpcMetrics metrics({{"unary", "quarry.v1.DataService", "Get"}}, 2);
  metrics.Started(0, 0);
  metrics.Started(1, 0);
  metrics.Ended(0, 0, absl::StatusCode::kOk, absl::Milliseconds(3));
  metrics.Ended(1, 0, absl::StatusCode::kNotFound, absl::Seconds(20));
  const std::string text = Text(metrics);
  const std::string labels = "{grpc_type=\"unary\",grpc_service=\"quarry.v1.DataService\",grpc_method=\"Get\"";
  EXPECT_THAT(text, testing::HasSubstr("grpc_server_started_total" + labels + "} 2"));
  EXPECT_THAT(text, testing::HasSubstr("grpc_server_handled_total" + labels + ",grpc_code=\"OK\"} 1"));
  EXPECT_THAT(text, testing::HasSubstr("grpc_server_handled_total" + labels + ",grpc_code=\"NotFound\"} 1"));
  EXPECT_THAT(text, testing::HasSubstr("grpc_server_handling_seconds_bucket" + labels + ",le=\"0.0025\"} 0"));
  EXPECT_THAT(text, testing::HasSubstr("grpc_server_handling_seconds_bucket" + labels + ",le=\"0.005\"} 1"));
  EXPECT_THAT(text, testing::HasSubstr("grpc_server_handling_seconds_bucket" + labels + ",le=\"+Inf\"} 2"));
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("Internal")));
}

TEST(ShardMetricsTest, AddsUpObserversAndTheBoard) {
  ShardBoard board({"a"}, 1);
  board.Publish(0, {Sample(ShardState::kUp, 3)}, 2, kNow);
  ShardMetrics metrics(board);
  ShardObserver* one = metrics.AddObserver("a");
  ShardObserver* two = metrics.AddObserver("a");
  one->OnCall(CallKind::kRead, absl::StatusCode::kOk, absl::Milliseconds(1));
  two->OnCall(CallKind::kRead, absl::StatusCode::kOk, absl::Milliseconds(1));
  two->OnCall(CallKind::kWrite, absl::StatusCode::kUnavailable, absl::Milliseconds(1));
  one->OnSessions(2);
  two->OnSessions(-1);
  two->OnBreaker(true);
  const std::string text = Text(metrics);
  EXPECT_THAT(text, testing::HasSubstr("quarry_shard_calls_total{shard=\"a\",kind=\"read\",code=\"OK\"} 2"));
  EXPECT_THAT(text, testing::HasSubstr("quarry_shard_calls_total{shard=\"a\",kind=\"write\",code=\"Unavailable\"} 1"));
  EXPECT_THAT(text, testing::HasSubstr("quarry_shard_sessions_in_use{shard=\"a\"} 1"));
  EXPECT_THAT(text, testing::HasSubstr("quarry_shard_breaker_open{shard=\"a\"} 1"));
  EXPECT_THAT(text, testing::HasSubstr("quarry_shard_up{shard=\"a\"} 1"));
  EXPECT_THAT(text, testing::HasSubstr("quarry_pool_sessions_leased{shard=\"a\"} 3"));
  EXPECT_THAT(text, testing::HasSubstr("quarry_open_transactions 2"));
  EXPECT_THAT(text, testing::HasSubstr("quarry_catalog_ready 0"));
  board.SetCatalogProblem("");
  EXPECT_THAT(Text(metrics), testing::HasSubstr("quarry_catalog_ready 1"));
}

TEST(PeerMetricsTest, CountsItselfOnceWhetherOrNotAnAddressLeadsBack) {
  PeerTable peers({{0xa, "shop", "1.0"}, absl::Seconds(1)});
  const PeerMetrics metrics(peers);
  EXPECT_THAT(Text(metrics), testing::HasSubstr("quarry_peers{state=\"self\"} 1"));
  peers.SetAddresses({"a:1", "b:1"});
  EXPECT_THAT(Text(metrics), testing::HasSubstr("quarry_peers{state=\"self\"} 1"));
  EXPECT_THAT(Text(metrics), testing::HasSubstr("quarry_peers{state=\"unasked\"} 2"));
  peers.Answered("a:1", {0xa, "shop", "1.0"}, kNow);
  peers.Answered("b:1", {0xb, "shop", "1.0"}, kNow);
  EXPECT_THAT(Text(metrics), testing::HasSubstr("quarry_peers{state=\"self\"} 1"));
  EXPECT_THAT(Text(metrics), testing::HasSubstr("quarry_peers{state=\"serving\"} 1"));
}

TEST(BuildInfoTest, NamesVersionAndDeployment) {
  const std::string text = Text(*MakeRegistry("1.2.3", "shop"));
  EXPECT_THAT(text, testing::HasSubstr("version=\"1.2.3\""));
  EXPECT_THAT(text, testing::HasSubstr("deployment=\"shop\""));
}

double ProcessMetric(const std::string& name) {
  for (const prometheus::MetricFamily& family : ProcessMetrics().Collect()) {
    if (family.name != name) continue;
    const prometheus::ClientMetric& metric = family.metric.at(0);
    return family.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
  }
  ADD_FAILURE() << "no metric " << name;
  return 0;
}

TEST(ProcessMetricsTest, TellsOfThisProcess) {
  const double cpu = ProcessMetric("process_cpu_seconds_total");
  while (ProcessMetric("process_cpu_seconds_total") < cpu + 0.02) {
  }
  EXPECT_GT(ProcessMetric("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(ProcessMetric("process_virtual_memory_bytes"), ProcessMetric("process_resident_memory_bytes"));
  EXPECT_GE(ProcessMetric("process_threads"), 1);
  const double age = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()) - ProcessMetric("process_start_time_seconds");
  EXPECT_GT(age, -1);  // The machine's start is told in whole seconds.
  EXPECT_LT(age, 3600);
  const double open = ProcessMetric("process_open_fds");
  const std::ifstream one_more("/proc/self/stat");
  EXPECT_EQ(ProcessMetric("process_open_fds"), open + 1);
  EXPECT_GE(ProcessMetric("process_max_fds"), open);
}

class AccessLogTest : public testing::Test {
 protected:
  std::string Log(const absl::Status& status, absl::Duration took, bool json = false) {
    std::ostringstream out;
    auto logger =
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
    logger->set_pattern("%v");
    logger->set_level(spdlog::level::info);
    AccessLogOptions options;
    options.json = json;
    AccessLog log(logger, options);
    log.Write({"/quarry.v1.DataService/Get", true, status, took, Stage::kPool, "id-1"});
    return out.str();
  }
};

TEST_F(AccessLogTest, SaysNothingOfGoodCallsAndOfMistakesOfTheCaller) {
  EXPECT_EQ(Log(absl::OkStatus(), absl::Milliseconds(1)), "");
  EXPECT_EQ(Log(InvalidField("a", "b"), absl::Milliseconds(1)), "");
}

TEST_F(AccessLogTest, TellsFaultsAndSlowCallsWithoutTheirMessage) {
  const absl::Status fault = MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable, "secret words");
  EXPECT_EQ(Log(fault, absl::Milliseconds(1)),
            "/quarry.v1.DataService/Get Unavailable 1.00ms id=id-1 reason=SHARD_UNAVAILABLE stage=pool\n");
  EXPECT_EQ(Log(absl::OkStatus(), absl::Seconds(2)), "/quarry.v1.DataService/Get OK 2000.00ms id=id-1\n");
  const std::string json = Log(fault, absl::Milliseconds(1), true);
  EXPECT_THAT(json, testing::HasSubstr("\"reason\":\"SHARD_UNAVAILABLE\""));
  EXPECT_THAT(json, testing::Not(testing::HasSubstr("secret")));
}

TEST(TransactionMetricsTest, AddsUpTheLoopsAndTellsWhatRecoverySees) {
  TransactionMetrics metrics(2);
  CommitStats commits;
  commits.one_phase = 3;
  commits.two_phase = 2;
  commits.rolled_back = 1;
  metrics.Publish(0, commits);
  commits.one_phase = 4;
  commits.unfinished = 5;
  metrics.Publish(1, commits);
  RecoveryStats recovery;
  recovery.in_doubt = 6;
  recovery.oldest = absl::Milliseconds(1500);
  recovery.committed = 7;
  recovery.rolled_back = 8;
  recovery.unasked = 9;
  recovery.findings = 10;
  metrics.Publish(recovery);
  const std::string text = Text(metrics);
  for (const char* line :
       {"quarry_commits_total{phase=\"one\"} 7", "quarry_commits_total{phase=\"two\"} 4",
        "quarry_commit_troubles_total{kind=\"rolled_back\"} 2", "quarry_commit_troubles_total{kind=\"unfinished\"} 5",
        "quarry_commit_troubles_total{kind=\"contradicted\"} 0", "quarry_transactions_in_doubt 6",
        "quarry_transactions_in_doubt_oldest_seconds 1.5", "quarry_recovery_resolved_total{verdict=\"commit\"} 7",
        "quarry_recovery_resolved_total{verdict=\"abort\"} 8", "quarry_recovery_unasked_shards 9",
        "quarry_audit_findings 10"}) {
    EXPECT_THAT(text, testing::HasSubstr(line));
  }
}

}  // namespace
}  // namespace quarry
