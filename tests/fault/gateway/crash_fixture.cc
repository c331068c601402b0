#include "tests/fault/gateway/crash_fixture.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "core/base/status_macros.h"

namespace quarry::gateway_test {
namespace {

using client::Mutation;

// On SQLite the end of one commit may wait for a writer that another keeps as long as its own call lasts.
client::CallOptions LoadCall() {
  client::CallOptions call;
  call.timeout = absl::Seconds(2);
  return call;
}

}  // namespace

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

void CrashFixture::SetUp() {
  ASSERT_NE(std::getenv("QUARRYD"), nullptr) << "QUARRYD names the program";
  const char* given = std::getenv("QUARRY_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "QUARRY_TEST_SEED=" << seed << std::endl;
  random_.seed(seed);
  std::vector<std::string> places;
  for (int shard = 0; shard < kShards; ++shard) places.push_back(MakePlace(shard));
  std::ofstream(config_) << ConfigYaml(folder_.path(), places);
}

// The database and its tables.
std::string CrashFixture::MakePlace(int shard) {
  if (!IsPostgres(shard)) {
    SqliteOptions options;
    options.file = absl::StrCat(folder_.path(), "/s", shard, ".db");
    options.shard = TestGateway::ShardName(shard);
    const auto file = SqliteDatabase::Open(options);
    const absl::Status made = file.ok() ? (*file)->RunScript(SchemaSql(Kind::kSqlite)) : file.status();
    EXPECT_THAT(made, IsOk());
    return absl::StrCat("{sqlite: {file: s", shard, ".db}}");
  }
  const std::string name = absl::StrCat("crash_", GetParam() == Cluster::kMixed ? "mixed_" : "", shard);
  EXPECT_THAT(Postgres().CreateDatabase(name), IsOk());
  EXPECT_THAT(Postgres().Run(name, SchemaSql(Kind::kPostgres)), IsOk());
  databases_.push_back(name);
  return absl::StrCat("{postgres: {primary: \"", Postgres().conninfo(name), "\"}}");
}

std::unique_ptr<Daemon> CrashFixture::Spawn(const std::string& failpoints, bool another) {
  DaemonOptions options;
  options.config_file = config_;
  options.more_arguments = {"--set", "transactions.recovery_age=500ms", "--set", "transactions.recovery_interval=100ms"};
  if (another) {
    options.more_arguments.push_back("--set");
    options.more_arguments.push_back(absl::StrCat("data_dir=", folder_.path(), "/another"));
  }
  if (!failpoints.empty()) setenv("QUARRY_FAILPOINTS", failpoints.c_str(), 1);
  std::unique_ptr<Daemon> daemon = Daemon::Spawn(options);
  unsetenv("QUARRY_FAILPOINTS");
  return daemon;
}

void CrashFixture::Start(const std::string& failpoints) {
  daemon_.reset();  // It has the files.
  daemon_ = Spawn(failpoints);
  ASSERT_TRUE(daemon_->WaitUntilServing()) << daemon_->Output();
  client_ = ClientAt(daemon_->grpc_port(), static_cast<int>(kGroups));
  ASSERT_NE(client_, nullptr);
}

int64_t CrashFixture::NewRowOn(int shard) {
  while (true) {
    const int64_t id = next_id_++;
    const absl::StatusOr<v1::ResolveKeyResponse> resolved = client_->ResolveKey("customers", {id});
    EXPECT_THAT(resolved, IsOk());
    if (resolved.ok() && resolved->shard() != TestGateway::ShardName(shard)) continue;
    EXPECT_THAT(client_->Insert("customers", {{"id", id}, {"name", "one of a group"}}), IsOk());
    return id;
  }
}

void CrashFixture::MakeGroups() {
  constexpr std::array<std::array<int, 2>, kGroups> kShardsOfPairs = {{{0, 1}, {1, 2}, {0, 2}, {0, 1}}};
  for (const auto& [first, second] : kShardsOfPairs) {
    pairs_.emplace_back().rows = {NewRowOn(first), NewRowOn(second)};
    triples_.emplace_back().rows = {NewRowOn(0), NewRowOn(1), NewRowOn(2)};
  }
  read_row_ = NewRowOn(kShards - 1);
}

absl::Status CrashFixture::WriteInOneCall(client::Client& client, Group& group, client::CallOptions call) {
  if (group.request_id.empty()) {
    ++group.tried;
    group.request_id = NewUuid();
  }
  call.request_id = group.request_id;
  std::vector<Mutation> mutations;
  for (const int64_t row : group.rows) mutations.push_back(Mutation::Update("customers", {row}, {{"visits", group.tried}}));
  QUARRY_RETURN_IF_ERROR(client.CommitMutations(mutations, call).status());
  group.acknowledged = group.tried;
  group.request_id.clear();
  return absl::OkStatus();
}

absl::Status CrashFixture::WriteInTransaction(client::Client& client, Group& group, bool reads) const {
  const client::CallOptions call = LoadCall();
  QUARRY_ASSIGN_OR_RETURN(client::Transaction transaction, client.Begin({}, call));
  if (reads) QUARRY_RETURN_IF_ERROR(transaction.Get("customers", {read_row_}, {}, call).status());
  ++group.tried;
  for (const int64_t row : group.rows) {
    QUARRY_RETURN_IF_ERROR(
        transaction.Write(Mutation::Update("customers", {row}, {{"visits", group.tried}}), call).status());
  }
  QUARRY_RETURN_IF_ERROR(transaction.Commit(call).status());
  group.acknowledged = group.tried;
  return absl::OkStatus();
}

void CrashFixture::WriteUntilItDies(const Load& load) {
  std::atomic<bool> dead{false};
  std::vector<std::thread> writers;
  for (Group& group : load.wide ? triples_ : pairs_) {
    writers.emplace_back([this, &dead, &load, &group] {
      while (!dead) {
        const absl::Status status =
            load.interactive ? WriteInTransaction(*client_, group, load.reads) : WriteInOneCall(*client_, group, LoadCall());
        EXPECT_TRUE(status.ok() || absl::IsUnavailable(status) || absl::IsUnknown(status) || absl::IsAborted(status) ||
                    absl::IsDeadlineExceeded(status))
            << status;
      }
    });
  }
  const int end = daemon_->Wait();
  dead = true;
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(end, -SIGKILL) << daemon_->Output();
}

int64_t CrashFixture::PreparedBranches() const {
  int64_t count = 0;
  for (const std::string& name : databases_) {
    const auto text =
        Postgres().QueryOne(name, absl::StrCat("SELECT count(*) FROM pg_prepared_xacts WHERE database = '", name, "'"));
    count += text.ok() ? std::atoll(text->c_str()) : 1'000;
  }
  return count;
}

void CrashFixture::ExpectSettled(const Daemon& gateway) const {
  const std::shared_ptr<client::Connection> connection = ConnectionAt(gateway.grpc_port());
  ASSERT_NE(connection, nullptr);
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
      absl::Seconds(10)))
      << gateway.Output();
}

std::vector<int64_t> CrashFixture::ValuesOf(client::Client& client, const Group& group) {
  std::vector<client::Key> keys;
  for (const int64_t row : group.rows) keys.push_back({row});
  const absl::StatusOr<client::BatchGetResult> read = client.BatchGet("customers", keys);
  EXPECT_THAT(read, IsOk());
  std::vector<int64_t> values(keys.size(), -1);
  for (size_t i = 0; read.ok() && i < values.size(); ++i) {
    if (read->rows[i].has_value()) values[i] = read->rows[i]->record["visits"].AsInt64().value_or(-2);
  }
  return values;
}

void CrashFixture::ExpectWhole(client::Client& client) {
  for (std::vector<Group>* groups : {&pairs_, &triples_}) {
    for (Group& group : *groups) {
      const std::vector<int64_t> values = ValuesOf(client, group);
      EXPECT_THAT(values, testing::Each(values[0])) << "half a commit";
      EXPECT_GE(values[0], group.acknowledged);
      EXPECT_LE(values[0], group.tried);
      group.acknowledged = values[0];
      if (group.request_id.empty()) continue;
      // The same commit again: it happens once, whether or not it had.
      EXPECT_THAT(WriteInOneCall(client, group), IsOk());
      EXPECT_THAT(ValuesOf(client, group), testing::Each(group.tried));
    }
  }
}

}  // namespace quarry::gateway_test
