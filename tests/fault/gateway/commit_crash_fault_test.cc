// quarryd is killed at every step of commits over several shards, under load, many times. Each pair of rows lives on two shards
// and is written by commits of both rows alone: whatever is seen, the two are equal; what was acknowledged is there; and a commit
// that is repeated with its request_id has happened once.
#include <signal.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/fault/gateway/daemon.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::Mutation;

enum class Cluster { kPostgres, kSqlite, kMixed };

constexpr int kRounds = 15;  // Of each step.
constexpr size_t kPairs = 4;
const std::vector<std::string>& Steps() {
  static const std::vector<std::string> steps = {"commit.before_prepare", "commit.after_prepare", "commit.before_decide",
                                                 "commit.after_decide",   "commit.before_finish", "commit.after_finish"};
  return steps;
}

// A row on each of two shards, and what is known of their value.
struct Pair {
  int64_t a = 0;
  int64_t b = 0;
  int64_t acknowledged = 0;
  int64_t tried = 0;
  std::string request_id;  // Of the latest try, while its outcome is not known.
};

class CommitCrashTest : public testing::TestWithParam<Cluster> {
 protected:
  void SetUp() override {
    ASSERT_NE(std::getenv("QUARRYD"), nullptr) << "QUARRYD names the program";
    const char* given = std::getenv("QUARRY_TEST_SEED");
    const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "QUARRY_TEST_SEED=" << seed << std::endl;
    random_.seed(seed);
    std::vector<std::string> places;
    for (int shard = 0; shard < 2; ++shard) {
      const bool postgres = GetParam() == Cluster::kPostgres || (GetParam() == Cluster::kMixed && shard == 1);
      if (!postgres) {
        places.push_back(absl::StrCat("{sqlite: {file: s", shard, ".db}}"));
        continue;
      }
      const std::string name = absl::StrCat("crash_", GetParam() == Cluster::kMixed ? "mixed_" : "", shard);
      ASSERT_THAT(Postgres().CreateDatabase(name), IsOk());
      ASSERT_THAT(Postgres().Run(name, SchemaSql(Kind::kPostgres)), IsOk());
      databases_.push_back(name);
      places.push_back(absl::StrCat("{postgres: {primary: \"", Postgres().conninfo(name), "\"}}"));
    }
    std::ofstream(config_) << ConfigYaml(folder_.path(), places);
    if (GetParam() != Cluster::kPostgres) MakeFiles();
  }

  // The files and their tables, by a gateway that is told so.
  void MakeFiles() {
    for (int shard = 0; shard < 2; ++shard) {
      if (GetParam() == Cluster::kMixed && shard == 1) continue;
      SqliteOptions options;
      options.file = absl::StrCat(folder_.path(), "/s", shard, ".db");
      options.shard = TestGateway::ShardName(shard);
      const auto file = SqliteDatabase::Open(options);
      ASSERT_THAT(file, IsOk());
      ASSERT_THAT((*file)->RunScript(SchemaSql(Kind::kSqlite)), IsOk());
    }
  }

  // One more gateway on the same shards.
  std::unique_ptr<Daemon> SpawnAnother() {
    DaemonOptions options;
    options.config_file = config_;
    options.more_arguments = {"--set", "transactions.recovery_age=500ms", "--set", "transactions.recovery_interval=200ms",
                              "--set", absl::StrCat("data_dir=", folder_.path(), "/another")};
    return Daemon::Spawn(options);
  }
  void Start(const std::string& failpoint) {
    if (failpoint.empty()) {
      unsetenv("QUARRY_FAILPOINTS");
    } else {
      setenv("QUARRY_FAILPOINTS", failpoint.c_str(), 1);
    }
    DaemonOptions options;
    options.config_file = config_;
    options.more_arguments = {"--set", "transactions.recovery_age=500ms", "--set", "transactions.recovery_interval=200ms"};
    daemon_ = Daemon::Spawn(options);
    unsetenv("QUARRY_FAILPOINTS");
    ASSERT_TRUE(daemon_->WaitUntilServing()) << daemon_->Output();
    client_ = ClientAt(daemon_->grpc_port(), 4);
  }

  void MakePairs() {
    for (int64_t id = 1; pairs_.size() < kPairs; ++id) {
      const auto inserted = client_->Insert("customers", {{"id", id}, {"name", "one of a pair"}});
      ASSERT_THAT(inserted, IsOk());
      std::vector<int64_t>& waiting = loose_[inserted->served_by.shards_answered(0) == "s0" ? 0 : 1];
      waiting.push_back(id);
      if (loose_[0].empty() || loose_[1].empty()) continue;
      Pair& pair = pairs_.emplace_back();
      pair.a = loose_[0].back();
      pair.b = loose_[1].back();
      loose_[0].pop_back();
      loose_[1].pop_back();
    }
  }

  absl::Status Write(Pair& pair) {
    client::CallOptions call;
    call.request_id = pair.request_id;
    call.timeout = absl::Seconds(5);
    return client_->CommitMutations({Mutation::Update("customers", {pair.a}, {{"visits", pair.tried}}),
                                     Mutation::Update("customers", {pair.b}, {{"visits", pair.tried}})},
                                    call)
        .status();
  }

  // Writes all pairs until the gateway has died.
  void WriteUntilItDies() {
    std::vector<std::thread> writers;
    for (Pair& pair : pairs_) {
      writers.emplace_back([this, &pair] {
        while (true) {
          if (pair.request_id.empty()) {
            ++pair.tried;
            pair.request_id = NewUuid();
          }
          if (!Write(pair).ok()) return;
          pair.acknowledged = pair.tried;
          pair.request_id.clear();
        }
      });
    }
    for (std::thread& writer : writers) writer.join();
    EXPECT_EQ(daemon_->Wait(), -SIGKILL) << daemon_->Output();
  }

  int64_t VisitsOf(int64_t id) {
    auto row = client_->Get("customers", {id});
    return row.ok() ? row->record["visits"].AsInt64().value_or(-2) : -1;
  }
  int64_t PreparedBranches() {
    int64_t count = 0;
    for (const std::string& name : databases_) {
      const auto text = Postgres().QueryOne(
          name, absl::StrCat("SELECT count(*) FROM pg_prepared_xacts WHERE database = '", name, "'"));
      count += text.ok() ? std::atoll(text->c_str()) : 1'000;
    }
    return count;
  }
  // Nothing is left half way, within the ten seconds that are promised.
  void ExpectSettled() {
    const std::shared_ptr<client::Connection> connection = ConnectionAt(daemon_->grpc_port());
    EXPECT_TRUE(Eventually(
        [&] {
          v1::ListInDoubtTransactionsRequest request;
          request.mutable_min_age();
          const auto list = connection->ListInDoubtTransactions(request, Soon());
          const bool branches = !list.ok() || list->failed_shards_size() > 0 ||
                                std::any_of(list->transactions().begin(), list->transactions().end(),
                                            [](const v1::InDoubtTransaction& one) { return one.prepared_shards_size() > 0; });
          return !branches && PreparedBranches() == 0;
        },
        absl::Seconds(10)));
  }
  void ExpectWhole() {
    for (Pair& pair : pairs_) {
      const int64_t a = VisitsOf(pair.a);
      EXPECT_EQ(a, VisitsOf(pair.b)) << "half a commit";
      EXPECT_TRUE(a == pair.acknowledged || a == pair.tried) << a << " of " << pair.acknowledged << ", " << pair.tried;
      if (pair.request_id.empty()) continue;
      // The same commit again: it happens once, whether or not it had.
      EXPECT_THAT(Write(pair), IsOk());
      EXPECT_EQ(VisitsOf(pair.a), pair.tried);
      EXPECT_EQ(VisitsOf(pair.b), pair.tried);
      pair.acknowledged = pair.tried;
      pair.request_id.clear();
    }
  }

  std::mt19937_64 random_;
  TempDirectory folder_;
  TempDirectory config_folder_;
  const std::string config_ = config_folder_.path() + "/quarry.yaml";
  std::vector<std::string> databases_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<client::Client> client_;
  std::array<std::vector<int64_t>, 2> loose_;
  std::vector<Pair> pairs_;
};

TEST_P(CommitCrashTest, NothingIsHalfCommittedWhereverTheGatewayDies) {
  const int rounds = GetParam() == Cluster::kMixed ? kRounds / 3 : kRounds;
  Start("");
  if (HasFatalFailure()) return;
  MakePairs();
  daemon_.reset();
  for (int round = 0; round < rounds; ++round) {
    for (const std::string& step : Steps()) {
      SCOPED_TRACE(absl::StrCat("round ", round, ", ", step));
      // The hit is one of the load's; what the round before has left is finished meanwhile.
      Start(absl::StrCat(step, "=kill:", 2 * kPairs + random_() % 12));
      if (HasFatalFailure()) return;
      ExpectSettled();
      ExpectWhole();
      WriteUntilItDies();
      if (HasFailure()) return;
    }
  }
  Start("");
  if (HasFatalFailure()) return;
  ExpectSettled();
  ExpectWhole();
}

// It stops before or after it has sent its decision, until another gateway has ended its transaction; then it goes on.
TEST_P(CommitCrashTest, APausedCoordinatorFindsItsTransactionEnded) {
  if (GetParam() != Cluster::kPostgres) GTEST_SKIP() << "a SQLite file has one gateway";
  Start("");
  if (HasFatalFailure()) return;
  MakePairs();
  daemon_.reset();
  const std::unique_ptr<Daemon> resolver = SpawnAnother();
  ASSERT_TRUE(resolver->WaitUntilServing()) << resolver->Output();
  for (int round = 0; round < kRounds; ++round) {
    const bool decided = round % 3 == 2;
    SCOPED_TRACE(absl::StrCat("round ", round, decided ? ", decided" : ", undecided"));
    Start(absl::StrCat(decided ? "commit.after_decide" : "commit.before_decide", "=stop:", 1 + random_() % 5));
    if (HasFatalFailure()) return;
    Pair& pair = pairs_[0];
    absl::Status last;
    std::atomic<bool> continued{false};
    std::thread writer([&] {
      while (last.ok()) {
        ++pair.tried;
        pair.request_id = NewUuid();
        last = Write(pair);
        if (last.ok()) pair.acknowledged = pair.tried;
        if (decided && continued) break;
      }
    });
    // Nothing is prepared any more, though its coordinator stands still.
    EXPECT_TRUE(Eventually([&] { return daemon_->Stopped(); }));
    EXPECT_TRUE(Eventually([&] { return PreparedBranches() == 0; }, absl::Seconds(10)));
    continued = true;
    daemon_->Kill(SIGCONT);
    writer.join();
    if (!decided) {
      EXPECT_THAT(last, Fails(absl::StatusCode::kUnavailable, reason::kShardUnavailable));
    } else {
      EXPECT_THAT(last, IsOk());
    }
    if (last.ok()) pair.request_id.clear();
    ExpectWhole();
    daemon_.reset();
    if (HasFailure()) return;
  }
}

std::string NameOfCluster(const testing::TestParamInfo<Cluster>& info) {
  switch (info.param) {
    case Cluster::kPostgres:
      return "Postgres";
    case Cluster::kSqlite:
      return "Sqlite";
    case Cluster::kMixed:
      return "Mixed";
  }
  return "";
}

INSTANTIATE_TEST_SUITE_P(Clusters, CommitCrashTest, testing::Values(Cluster::kPostgres, Cluster::kSqlite, Cluster::kMixed),
                         NameOfCluster);

}  // namespace
}  // namespace quarry::gateway_test
