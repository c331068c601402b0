// quarryd over SQLite files one of which is damaged or out of reach when it starts.
#include <signal.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "tests/fault/gateway/daemon.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::Key;

constexpr int kFiles = 4;
constexpr int kDamaged = 2;

// Four SQLite shards in a folder, with a customer on each.
class DamagedFileFaultTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(std::getenv("QUARRYD"), nullptr) << "QUARRYD names the program";
    std::vector<std::string> places;
    for (int shard = 0; shard < kFiles; ++shard) {
      SqliteOptions options;
      options.file = FileOf(shard);
      options.shard = TestGateway::ShardName(shard);
      ASSERT_OK_AND_ASSIGN(const std::shared_ptr<SqliteDatabase> database, SqliteDatabase::Open(options));
      ASSERT_THAT(database->RunScript(SchemaSql(Kind::kSqlite)), IsOk());
      places.push_back(absl::StrCat("{sqlite: {file: s", shard, ".db}}"));
    }
    std::ofstream(config_) << ConfigYaml(data_.path(), places);
  }
  std::string FileOf(int shard) const { return absl::StrCat(data_.path(), "/s", shard, ".db"); }
  std::unique_ptr<Daemon> Spawn(bool unprivileged = false) const {
    DaemonOptions options;
    options.config_file = config_;
    options.more_arguments = {"--set", "log.level=info"};
    options.unprivileged = unprivileged;
    return Daemon::Spawn(options);
  }

  // A customer for each shard; written where the shard is up.
  void AddCustomers(client::Client& client) {
    for (int64_t id = 1, found = 0; found < kFiles; ++id) {
      ASSERT_OK_AND_ASSIGN(const v1::ResolveKeyResponse resolved, client.ResolveKey("customers", {id}));
      int64_t& customer = customers_.at(static_cast<size_t>(resolved.shard().back() - '0'));
      if (customer != 0) continue;
      customer = id;
      ++found;
      ASSERT_THAT(client.Insert("customers", {{"id", id}, {"name", "kept"}}), IsOk());
    }
  }
  absl::Status Get(client::Client& client, int shard) const {
    return client.Get("customers", {customers_.at(static_cast<size_t>(shard))}).status();
  }
  // Good files with rows; the copy of the one that will be damaged.
  void FillAndCopy() {
    const std::unique_ptr<Daemon> daemon = Spawn();
    ASSERT_TRUE(daemon->WaitUntilServing()) << daemon->Output();
    ASSERT_NO_FATAL_FAILURE(AddCustomers(*ClientAt(daemon->grpc_port(), 1)));
    daemon->Kill(SIGTERM);
    ASSERT_EQ(daemon->Wait(), 0) << daemon->Output();
    ASSERT_FALSE(std::filesystem::exists(FileOf(kDamaged) + "-wal")) << "all of it is in the file";
    std::filesystem::rename(FileOf(kDamaged), copy_);
  }
  void ExpectOnlyDamagedIsDown(const Daemon& daemon, client::Client& client, const std::string& why) const {
    for (int shard = 0; shard < kFiles; ++shard) {
      const std::string name = absl::StrCat("shard/", TestGateway::ShardName(shard));
      EXPECT_TRUE(Eventually([&] { return *client.Health(name) == (shard != kDamaged); })) << name;
    }
    EXPECT_TRUE(Eventually([&] { return MetricAt(daemon.http_port(), "quarry_shard_up") == kFiles - 1; }));
    EXPECT_EQ(HttpGet(daemon.http_port(), "/readyz", nullptr), 200) << "the others are served";
    ASSERT_OK_AND_ASSIGN(const auto shards, client.ListShards());
    EXPECT_EQ(shards.at(kDamaged).state(), v1::SERVER_STATE_DOWN);
    EXPECT_THAT(shards.at(kDamaged).servers(0).last_error().message(), testing::HasSubstr(why));
  }
  void ExpectAllUp(const Daemon& daemon, client::Client& client) const {
    for (int shard = 0; shard < kFiles; ++shard) {
      EXPECT_TRUE(Eventually([&] { return Get(client, shard).ok(); })) << shard << ": " << Get(client, shard);
    }
    EXPECT_TRUE(Eventually([&] { return MetricAt(daemon.http_port(), "quarry_shard_up") == kFiles; }));
    EXPECT_TRUE(SettlesToNoSessions(daemon.http_port()));
  }

  const TempDirectory data_;
  const TempDirectory config_folder_;
  const std::string config_ = config_folder_.path() + "/quarry.yaml";
  const std::string copy_ = data_.path() + "/copy.db";
  std::array<int64_t, kFiles> customers_{};
};

TEST_F(DamagedFileFaultTest, ADamagedFileStopsNobodyAndIsServedOnceAGoodOneIsInItsPlace) {
  ASSERT_NO_FATAL_FAILURE(FillAndCopy());
  std::ofstream(FileOf(kDamaged)) << std::string(65536, 'x');
  const std::unique_ptr<Daemon> daemon = Spawn();
  ASSERT_TRUE(daemon->WaitUntilServing()) << daemon->Output();
  const std::unique_ptr<client::Client> client = ClientAt(daemon->grpc_port(), 4);
  ASSERT_NE(client, nullptr);
  for (int shard = 0; shard < kFiles; ++shard) {
    const absl::Status got = Get(*client, shard);
    if (shard != kDamaged) {
      EXPECT_THAT(got, IsOk()) << shard;
      continue;
    }
    EXPECT_EQ(got.code(), absl::StatusCode::kUnavailable) << got;
    EXPECT_THAT(ReasonOf(got), testing::AnyOf(reason::kShardUnavailable, reason::kCircuitOpen));
    EXPECT_EQ(Fact(got, "shard"), "s2");
    EXPECT_THAT(std::string(got.message()), testing::HasSubstr("restore it from a backup"));
  }
  // Everywhere or nowhere.
  EXPECT_THAT(client->Insert("countries", {{"code", "xx"}, {"name", "x"}}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(client->Get("countries", {"xx"}), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound))
      << "another shard answers";
  ExpectOnlyDamagedIsDown(*daemon, *client, FileOf(kDamaged));

  const std::unique_ptr<Daemon> second = Spawn();
  EXPECT_FALSE(second->WaitUntilServing());
  EXPECT_EQ(second->Wait(), 1);
  EXPECT_THAT(second->Output(), testing::HasSubstr("is in use by process"));

  std::filesystem::rename(copy_, FileOf(kDamaged));
  ExpectAllUp(*daemon, *client);
  EXPECT_TRUE(Eventually([&] { return client->Insert("countries", {{"code", "xx"}, {"name", "x"}}).ok(); }));
  daemon->Kill(SIGTERM);
  EXPECT_EQ(daemon->Wait(), 0) << daemon->Output();
  EXPECT_THAT(daemon->Output(), testing::HasSubstr("shard s2 does not answer: "));
  EXPECT_THAT(daemon->Output(), testing::HasSubstr("shard s2 answers again"));
}

TEST_F(DamagedFileFaultTest, AFileThatMayNotBeReadStopsNobodyAndIsServedOnceItMay) {
  ASSERT_NO_FATAL_FAILURE(FillAndCopy());
  std::filesystem::rename(copy_, FileOf(kDamaged));
  for (const TempDirectory* folder : {&data_, &config_folder_}) {
    ASSERT_EQ(chmod(folder->path().c_str(), 0777), 0);
    for (const auto& entry : std::filesystem::directory_iterator(folder->path())) {
      ASSERT_EQ(chmod(entry.path().c_str(), 0666), 0);
    }
  }
  ASSERT_EQ(chmod(FileOf(kDamaged).c_str(), 0), 0);
  const std::unique_ptr<Daemon> daemon = Spawn(/*unprivileged=*/true);
  ASSERT_TRUE(daemon->WaitUntilServing()) << daemon->Output();
  const std::unique_ptr<client::Client> client = ClientAt(daemon->grpc_port(), 4);
  ASSERT_NE(client, nullptr);
  const absl::Status refused = Get(*client, kDamaged);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("Permission denied"));
  ExpectOnlyDamagedIsDown(*daemon, *client, "Permission denied");
  ASSERT_EQ(chmod(FileOf(kDamaged).c_str(), 0666), 0);
  ExpectAllUp(*daemon, *client);
}

}  // namespace
}  // namespace quarry::gateway_test
