// quarryd as a process: killed, drained, short of rights and of space, and twice on one file.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "tests/fault/gateway/daemon.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::Key;
using client::Value;

// Two SQLite shards in a folder.
class ProcessFaultTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(std::getenv("QUARRYD"), nullptr) << "QUARRYD names the program";
    for (int shard = 0; shard < 2; ++shard) {
      SqliteOptions options;
      options.file = absl::StrCat(data(), "/s", shard, ".db");
      options.shard = TestGateway::ShardName(shard);
      ASSERT_OK_AND_ASSIGN(const std::shared_ptr<SqliteDatabase> database, SqliteDatabase::Open(options));
      ASSERT_THAT(database->RunScript(SchemaSql(Kind::kSqlite)), IsOk());
    }
    WriteConfig(config_, data());
  }
  void WriteConfig(const std::string& file, const std::string& data_dir) {
    std::ofstream(file) << ConfigYaml(data_dir, {"{sqlite: {file: s0.db}}", "{sqlite: {file: s1.db}}"});
  }
  std::string data() const { return folder_.path(); }
  std::unique_ptr<Daemon> Spawn(DaemonOptions options = {}) {
    if (options.config_file.empty()) options.config_file = config_;
    return Daemon::Spawn(options);
  }

  TempDirectory folder_;
  TempDirectory config_folder_;
  const std::string config_ = config_folder_.path() + "/quarry.yaml";
};

// Inserts until the gateway is gone; the ids that it acknowledged.
std::vector<int64_t> InsertUntilGone(client::Client& client, std::atomic<int64_t>& next, std::atomic<int>& count) {
  std::vector<int64_t> acknowledged;
  while (true) {
    const int64_t id = next++;
    const absl::Status status = client.Insert("customers", {{"id", id}, {"name", "n"}}).status();
    if (!status.ok()) return acknowledged;
    acknowledged.push_back(id);
    ++count;
  }
}

TEST_F(ProcessFaultTest, EveryAcknowledgedWriteSurvivesKill) {
  const char* given = std::getenv("QUARRY_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "QUARRY_TEST_SEED=" << seed << std::endl;
  std::mt19937_64 random(seed);
  std::set<int64_t> acknowledged;
  std::atomic<int64_t> next{1};
  constexpr int kRounds = 16;
  for (int round = 0; round <= kRounds; ++round) {
    const std::unique_ptr<Daemon> daemon = Spawn();
    ASSERT_TRUE(daemon->WaitUntilServing()) << daemon->Output();
    const std::unique_ptr<client::Client> client = ClientAt(daemon->grpc_port(), 4);
    ASSERT_NE(client, nullptr);
    std::vector<Key> keys;
    for (const int64_t id : acknowledged) keys.push_back({id});
    for (size_t begin = 0; begin < keys.size(); begin += 1000) {
      const auto end = keys.begin() + static_cast<long>(std::min(begin + 1000, keys.size()));
      ASSERT_OK_AND_ASSIGN(const auto batch,
                           client->BatchGet("customers", std::vector<Key>(keys.begin() + static_cast<long>(begin), end)));
      ASSERT_TRUE(batch.missing.empty()) << batch.missing.size() << " acknowledged writes are lost in round " << round;
    }
    if (round == kRounds) break;
    std::atomic<int> count{0};
    const int kill_after = 1 + static_cast<int>(random() % 150);
    std::vector<std::vector<int64_t>> written(4);
    std::vector<std::thread> writers;
    for (std::vector<int64_t>& ids : written) {
      writers.emplace_back([&] { ids = InsertUntilGone(*client, next, count); });
    }
    EXPECT_TRUE(Eventually([&] { return count >= kill_after; }));
    daemon->Kill(SIGKILL);
    for (std::thread& writer : writers) writer.join();
    EXPECT_EQ(daemon->Wait(), -SIGKILL);
    for (const std::vector<int64_t>& ids : written) acknowledged.insert(ids.begin(), ids.end());
  }
  std::cout << acknowledged.size() << " acknowledged writes over " << kRounds << " kills" << std::endl;
}

TEST_F(ProcessFaultTest, APageTokenOfOneProcessOpensInTheNextAndAKeyThatIsCutEndsTheStart) {
  client::ListOptions options;
  options.columns = {"id"};
  options.page_size = 2;
  {
    const std::unique_ptr<Daemon> first = Spawn();
    ASSERT_TRUE(first->WaitUntilServing()) << first->Output();
    const std::unique_ptr<client::Client> client = ClientAt(first->grpc_port(), 1);
    ASSERT_NE(client, nullptr);
    for (int id = 1; id <= 3; ++id) ASSERT_THAT(client->Insert("customers", {{"id", id}, {"name", "n"}}), IsOk());
    ASSERT_OK_AND_ASSIGN(const v1::ListResponse page, client->List("customers", {}, options));
    EXPECT_EQ(page.rows_size(), 2);
    options.page_token = page.next_page_token();
    first->Kill(SIGTERM);
    EXPECT_EQ(first->Wait(), 0) << first->Output();
  }
  const std::string key = data() + "/token.key";
  struct stat about = {};
  ASSERT_EQ(stat(key.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777, 0600U);
  {
    const std::unique_ptr<Daemon> second = Spawn();
    ASSERT_TRUE(second->WaitUntilServing()) << second->Output();
    const std::unique_ptr<client::Client> client = ClientAt(second->grpc_port(), 1);
    ASSERT_NE(client, nullptr);
    ASSERT_OK_AND_ASSIGN(const v1::ListResponse page, client->List("customers", {}, options));
    ASSERT_EQ(page.rows_size(), 1);
    EXPECT_EQ(page.rows(0).values(0).int64_value(), 3);
    second->Kill(SIGTERM);
    EXPECT_EQ(second->Wait(), 0) << second->Output();
  }
  std::filesystem::resize_file(key, 10);
  const std::unique_ptr<Daemon> third = Spawn();
  EXPECT_FALSE(third->WaitUntilServing());
  EXPECT_EQ(third->Wait(), 1);
  EXPECT_THAT(third->Output(), testing::HasSubstr(key + " does not hold a key; remove it"));
}

TEST_F(ProcessFaultTest, ASecondGatewayOnTheSameFilesEndsAtOnceAndSaysWho) {
  const std::unique_ptr<Daemon> first = Spawn();
  ASSERT_TRUE(first->WaitUntilServing()) << first->Output();
  const std::unique_ptr<Daemon> second = Spawn();
  EXPECT_FALSE(second->WaitUntilServing());
  EXPECT_GT(second->Wait(), 0);
  EXPECT_NE(second->Output().find("s0"), std::string::npos) << second->Output();
  EXPECT_NE(second->Output().find("is in use by process"), std::string::npos) << second->Output();
  const std::unique_ptr<client::Client> client = ClientAt(first->grpc_port(), 1);
  EXPECT_THAT(client->Insert("customers", {{"id", 1}, {"name", "n"}}), IsOk()) << "the first is not disturbed";
  first->Kill(SIGTERM);
  EXPECT_EQ(first->Wait(), 0);
  const std::unique_ptr<Daemon> third = Spawn();
  EXPECT_TRUE(third->WaitUntilServing()) << third->Output();
}

TEST_F(ProcessFaultTest, ADataDirectoryWithoutRightsIsRefusedWithItsName) {
  ASSERT_EQ(chmod(config_folder_.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod(config_.c_str(), 0644), 0);
  const std::string locked = data() + "/locked";
  ASSERT_EQ(mkdir(locked.c_str(), 0555), 0);
  ASSERT_EQ(chmod(data().c_str(), 0755), 0);
  for (const std::string& data_dir : {locked, locked + "/below", config_ + "/file"}) {
    SCOPED_TRACE(data_dir);
    WriteConfig(config_, data_dir);
    DaemonOptions options;
    options.unprivileged = true;
    const std::unique_ptr<Daemon> daemon = Spawn(options);
    EXPECT_FALSE(daemon->WaitUntilServing());
    EXPECT_GT(daemon->Wait(), 0);
    const std::string output = daemon->Output();
    EXPECT_NE(output.find(data_dir), std::string::npos) << output;
    EXPECT_TRUE(output.find("ermission denied") != std::string::npos || output.find("ot a directory") != std::string::npos)
        << output;
  }
}

TEST_F(ProcessFaultTest, ADiskWithoutSpaceFailsWritesWithATypedErrorAndLosesNothing) {
  std::vector<Key> acknowledged;
  {
    DaemonOptions options;
    options.file_bytes_max = 4 << 20;
    const std::unique_ptr<Daemon> daemon = Spawn(options);
    ASSERT_TRUE(daemon->WaitUntilServing()) << daemon->Output();
    const std::unique_ptr<client::Client> client = ClientAt(daemon->grpc_port(), 1);
    ASSERT_NE(client, nullptr);
    absl::Status status;
    for (int64_t id = 1; status.ok() && id < 200; ++id) {
      status = client->Insert("customers", {{"id", id}, {"name", std::string(200'000, 'x')}}).status();
      if (status.ok()) acknowledged.push_back({id});
    }
    EXPECT_THAT(status.code(), testing::AnyOf(absl::StatusCode::kResourceExhausted, absl::StatusCode::kUnavailable,
                                              absl::StatusCode::kUnknown)) << status;
    EXPECT_FALSE(ReasonOf(status).empty());
    EXPECT_GT(acknowledged.size(), 3U);
    EXPECT_THAT(client->Get("customers", acknowledged.front()), IsOk()) << "reads go on";
    EXPECT_TRUE(SettlesToNoSessions(daemon->http_port()));
    daemon->Kill(SIGTERM);
    EXPECT_EQ(daemon->Wait(), 0) << daemon->Output();
  }
  const std::unique_ptr<Daemon> daemon = Spawn();
  ASSERT_TRUE(daemon->WaitUntilServing()) << daemon->Output();
  const std::unique_ptr<client::Client> client = ClientAt(daemon->grpc_port(), 1);
  client::ReadOptions ids;
  ids.columns = {"id"};
  ASSERT_OK_AND_ASSIGN(const auto batch, client->BatchGet("customers", acknowledged, ids));
  EXPECT_TRUE(batch.missing.empty());
  EXPECT_THAT(client->Insert("customers", {{"id", 1000}, {"name", "n"}}), IsOk());
}

TEST_F(ProcessFaultTest, SigtermLetsCallsInFlightFinishAndRefusesNewOnes) {
  DaemonOptions options;
  options.more_arguments = {"--set", "drain_timeout=20s"};
  const std::unique_ptr<Daemon> daemon = Spawn(options);
  ASSERT_TRUE(daemon->WaitUntilServing()) << daemon->Output();
  const std::shared_ptr<client::Connection> connection = ConnectionAt(daemon->grpc_port());
  const std::shared_ptr<client::Connection> other = ConnectionAt(daemon->grpc_port());
  ASSERT_NE(connection, nullptr);
  Streamed streamed;
  std::thread caller([&] {
    v1::OnAllShardsRequest request = SqlOnAll(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000000) SELECT count(*) FROM n");
    streamed = ReadAll(connection->OnAllShards(request, Soon()));
  });
  EXPECT_TRUE(Eventually([&] { return MetricAt(daemon->http_port(), "quarry_shard_sessions_in_use").value_or(0) > 0; }));
  daemon->Kill(SIGTERM);
  v1::GetInfoRequest info;
  EXPECT_TRUE(Eventually([&] { return absl::IsUnavailable(other->GetInfo(info, Soon()).status()); }));
  caller.join();
  EXPECT_THAT(streamed.status, IsOk());
  EXPECT_EQ(streamed.rows(), 2);
  EXPECT_EQ(daemon->Wait(), 0) << daemon->Output();
}

TEST_F(ProcessFaultTest, AWriteInFlightAtSigtermIsAcknowledgedOrNotThere) {
  for (int round = 0; round < 4; ++round) {
    std::atomic<int64_t> next{1 + round * 1'000'000};
    std::atomic<int> count{0};
    std::vector<std::vector<int64_t>> written(4);
    {
      const std::unique_ptr<Daemon> daemon = Spawn();
      ASSERT_TRUE(daemon->WaitUntilServing()) << daemon->Output();
      const std::unique_ptr<client::Client> client = ClientAt(daemon->grpc_port(), 4);
      std::vector<std::thread> writers;
      for (std::vector<int64_t>& ids : written) {
        writers.emplace_back([&] { ids = InsertUntilGone(*client, next, count); });
      }
      EXPECT_TRUE(Eventually([&] { return count >= 20; }));
      daemon->Kill(SIGTERM);
      for (std::thread& writer : writers) writer.join();
      EXPECT_EQ(daemon->Wait(), 0) << daemon->Output();
    }
    int64_t rows = 0;
    for (int shard = 0; shard < 2; ++shard) {
      SqliteOptions options;
      options.file = absl::StrCat(data(), "/s", shard, ".db");
      options.shard = TestGateway::ShardName(shard);
      ASSERT_THAT(SqliteDatabase::Open(options), IsOk()) << "the files are closed and free";
    }
    const std::unique_ptr<Daemon> daemon = Spawn();
    ASSERT_TRUE(daemon->WaitUntilServing()) << daemon->Output();
    const std::unique_ptr<client::Client> client = ClientAt(daemon->grpc_port(), 1);
    for (const std::vector<int64_t>& ids : written) {
      for (const int64_t id : ids) EXPECT_THAT(client->Get("customers", {id}), IsOk());
      rows += static_cast<int64_t>(ids.size());
    }
    EXPECT_GE(rows, 20);
  }
}

}  // namespace
}  // namespace quarry::gateway_test
