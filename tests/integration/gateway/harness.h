// A gateway in this process over databases of its own, one schema with every kind of table on each shard, and real gRPC
// clients for it. One thread, but its clients may be used from any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/connection.h"
#include "server/wiring/gateway.h"
#include "tests/support/postgres/postgres_cluster.h"
#include "tests/support/postgres/replicated_servers.h"
#include "tests/support/temp_directory.h"

namespace quarry::gateway_test {

enum class Kind { kSqlite, kPostgres };

struct Setup {
  Kind kind = Kind::kSqlite;
  int shards = 2;
  bool replicated = false;  // PostgreSQL: each shard is a server of its own with a synchronous standby.
};
// "sqlite4", "replicated2", for names of tests and databases.
std::string NameOf(const Setup& setup);
// What a parameterised test runs on: these, or the one setup that QUARRY_TEST_DATABASE (sqlite, postgres or replicated)
// and QUARRY_TEST_SHARDS name.
std::vector<Setup> SetupsOr(std::vector<Setup> usual);

struct GatewaySettings {
  std::vector<std::string> overrides;  // As --set: "limits.batch_items=10".
  // The kind of a shard, where they are not all of one; null: that of the setup.
  std::function<Kind(int shard)> kind_of_shard;
  // The port that a shard is reached through; 0: PostgreSQL's own.
  std::function<int(int shard)> port_of_shard;
  // The server that holds a shard's database; null: the one of this test binary.
  std::function<PostgresCluster*(int shard)> cluster_of_shard;
  // Statements that follow the schema on a shard.
  std::function<std::string(int shard)> more_schema;
  // Runs when the databases are there and the gateway is not.
  std::function<void()> before_start;
  absl::Duration catalog_wait = absl::Seconds(10);
};

// The PostgreSQL server of this test binary; stops after its gateways.
PostgresCluster& Postgres();
// Pairs of a primary and its standby, at least so many; stop after the gateways as well.
ReplicatedServers& Replicated(int pairs);

// The schema of one shard.
std::string SchemaSql(Kind kind);
// The configuration of a gateway over shards s0, s1, ... with those tables. `shard_places`: one YAML value for each.
std::string ConfigYaml(const std::string& data_dir, const std::vector<std::string>& shard_places);

class TestGateway {
 public:
  // Makes the databases, starts the gateway, connects.
  static absl::StatusOr<std::unique_ptr<TestGateway>> Start(const Setup& setup, const GatewaySettings& settings = {});
  // The same one for every test with this setup; stopped after the last test.
  static TestGateway& Shared(const Setup& setup);
  // Stops those.
  static void StopShared();

  const Setup& setup() const { return setup_; }
  bool postgres() const { return setup_.kind == Kind::kPostgres; }
  Gateway& gateway() { return *gateway_; }
  // A gateway of the same configuration on the same databases takes this one's place.
  absl::Status Restart();
  // One more gateway of the same configuration on the same databases, which must be PostgreSQL's.
  absl::StatusOr<std::unique_ptr<Gateway>> StartAnother() const;
  // Without retries, so that each call shows what one attempt gives.
  client::Client& client() { return *client_; }
  std::unique_ptr<client::Client> NewClient(int channels, int attempts_max = 1) const;
  // Requests as they are.
  client::Connection& raw() { return *connection_; }

  static std::string ShardName(int shard) { return "s" + std::to_string(shard); }
  std::string ShardOf(const std::string& table, const client::Key& key);
  // An id that no test has had, whose customer lives on the shard.
  int64_t NewCustomerOn(int shard);
  int64_t NewId();

  std::optional<double> Metric(const std::string& name) const;
  int HttpGet(const std::string& path, std::string* body) const;
  bool SettlesToNoSessions() const;

 private:
  TestGateway(const Setup& setup, GatewaySettings settings) : setup_(setup), settings_(std::move(settings)) {}
  absl::Status CreateDatabases();
  absl::Status StartGateway();

  const Setup setup_;
  const GatewaySettings settings_;
  TempDirectory data_;
  std::string yaml_;
  std::unique_ptr<Gateway> gateway_;
  std::shared_ptr<client::Connection> connection_;
  std::unique_ptr<client::Client> client_;
};

// A client of any gateway on 127.0.0.1.
std::unique_ptr<client::Client> ClientAt(int port, int channels, int attempts_max = 1);
std::shared_ptr<client::Connection> ConnectionAt(int port, int channels = 1);
// GET on an HTTP port: the status code, 0 when nobody answers; `body` may be null.
int HttpGet(int port, const std::string& path, std::string* body);
// The sum of a metric over its labels, from /metrics; nullopt when it is not there.
std::optional<double> MetricAt(int port, const std::string& name);
// Waits until no session is in use, nobody waits for one and no transaction is open; false when that does not come.
bool SettlesToNoSessions(int http_port);

// Looks again and again until `holds` does, or the time is up.
bool Eventually(const std::function<bool()>& holds, absl::Duration timeout = absl::Seconds(20));

// The events of a stream up to its end, and how it ended.
struct Streamed {
  std::vector<v1::OnAllShardsResponse> events;
  absl::Status status;
  int64_t rows() const;
  // The summary; empty when there was none.
  v1::StreamSummary summary() const;
};
Streamed ReadAll(absl::StatusOr<std::unique_ptr<client::EventStream>> stream);
absl::Time Soon();

v1::OnShardRequest SqlOn(int shard, const std::string& sql, std::vector<client::Value> params = {},
                         bool allow_writes = false);
v1::OnAllShardsRequest SqlOnAll(const std::string& sql, std::vector<client::Value> params = {},
                                bool allow_writes = false);
// A number that a statement gives on one shard; -1 on an error.
int64_t NumberOn(TestGateway& gateway, int shard, const std::string& sql);

std::string NewUuid();

}  // namespace quarry::gateway_test
