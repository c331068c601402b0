#include "tests/integration/gateway/harness.h"

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/internal/grpc_connection.h"
#include "core/base/random.h"
#include "core/base/status_macros.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "gtest/gtest.h"
#include "httplib.h"

namespace quarry::gateway_test {
namespace {

constexpr char kTables[] = R"sql(
CREATE TABLE customers(
  id BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, email TEXT, visits BIGINT NOT NULL DEFAULT 0, balance {NUMERIC},
  CONSTRAINT customers_email_key UNIQUE (email),
  CONSTRAINT customers_visits_check CHECK (visits >= 0));
CREATE TABLE orders(
  customer_id BIGINT NOT NULL, order_id BIGINT NOT NULL, status TEXT NOT NULL DEFAULT 'open', total {NUMERIC},
  PRIMARY KEY (customer_id, order_id),
  CONSTRAINT orders_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers(id));
CREATE TABLE order_items(
  customer_id BIGINT NOT NULL, order_id BIGINT NOT NULL, line SMALLINT NOT NULL, sku TEXT,
  PRIMARY KEY (customer_id, order_id, line),
  FOREIGN KEY (customer_id, order_id) REFERENCES orders(customer_id, order_id));
CREATE TABLE readings(
  tenant TEXT NOT NULL, day DATE NOT NULL, seq BIGINT NOT NULL, amount DOUBLE PRECISION,
  PRIMARY KEY (tenant, day, seq));
CREATE TABLE documents(id UUID NOT NULL PRIMARY KEY, title TEXT);
CREATE TABLE tickets(number BIGINT NOT NULL PRIMARY KEY, title TEXT);
CREATE TABLE owners(name TEXT NOT NULL PRIMARY KEY, plan TEXT);
CREATE TABLE owner_files(name TEXT NOT NULL, file BIGINT NOT NULL, PRIMARY KEY (name, file));
CREATE TABLE members(name TEXT NOT NULL PRIMARY KEY, plan TEXT);
CREATE TABLE people(country TEXT NOT NULL, state TEXT NOT NULL, id BIGINT NOT NULL, PRIMARY KEY (country, state, id));
CREATE TABLE countries(code TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, visits BIGINT NOT NULL DEFAULT 7);
CREATE TABLE settings(name TEXT NOT NULL PRIMARY KEY, value TEXT);
CREATE TABLE notes(id {IDENTITY}, body TEXT NOT NULL DEFAULT 'empty', created TIMESTAMP);
CREATE TABLE stamps(
  id BIGINT NOT NULL PRIMARY KEY, body TEXT, changes BIGINT NOT NULL DEFAULT 0,
  created TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE all_types(
  id BIGINT NOT NULL PRIMARY KEY, c_bool BOOLEAN, c_int2 SMALLINT, c_int4 INT4, c_int8 BIGINT, c_float4 FLOAT4,
  c_float8 DOUBLE PRECISION, c_decimal {NUMERIC}, c_text TEXT, c_bytes BYTEA, c_timestamp TIMESTAMP,
  c_timestamptz TIMESTAMPTZ, c_date DATE, c_time TIME, c_interval INTERVAL, c_uuid UUID, c_json {JSON},
  c_ints BIGINT[], c_texts TEXT[], c_doubles DOUBLE PRECISION[], c_decimals NUMERIC[], c_blobs BYTEA[],
  c_uuids UUID[], c_dates DATE[], c_instants TIMESTAMPTZ[]);
)sql";

// Of the table stamps: each write makes its text upper case and is counted. A new note loses its outer spaces.
constexpr char kPostgresTriggers[] = R"sql(
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.body := upper(NEW.body); NEW.changes := NEW.changes + 1; RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON stamps FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE FUNCTION trim_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.body := trim(NEW.body); RETURN NEW; END $$;
CREATE TRIGGER trim_note BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION trim_note();
)sql";
constexpr char kSqliteTriggers[] = R"sql(
CREATE TRIGGER stamp_new AFTER INSERT ON stamps
  BEGIN UPDATE stamps SET body = upper(body), changes = changes + 1 WHERE id = new.id; END;
CREATE TRIGGER trim_note AFTER INSERT ON notes
  BEGIN UPDATE notes SET body = trim(body) WHERE id = new.id; END;
CREATE TRIGGER stamp_changed AFTER UPDATE ON stamps WHEN new.changes = old.changes
  BEGIN UPDATE stamps SET body = upper(body), changes = changes + 1 WHERE id = new.id; END;
)sql";

constexpr char kSettings[] = R"yaml(
listen: {grpc: "127.0.0.1:0", http: "127.0.0.1:0"}
log: {level: error}
loops: 2
pools: {sessions: 4, pipelines: 1}
resolvers:
  by_customer: {type: hash}
  by_tenant_and_day: {type: consistent_hash}
  by_document: {type: consistent_hash, buckets: 512, weights: {s0: 3}}
  by_number:
    type: range
    ranges:
      - {to: 1000, shard: s0}
      - {from: 1000, shard: s1}
  by_owner: {type: lookup, entries: {acme: s1}, new_keys: {assign: hash}, directory: {shard: s0}}
  by_member: {type: lookup, directory: {shard: s1}}
  by_place:
    type: geo
    regions:
      - {match: {country: US}, shard: s0}
      - {match: {country: US, state: [CA, OR]}, shard: s1}
    default: s0
tables:
  customers: {kind: sharded, key: id, resolver: by_customer}
  orders: {kind: sharded, key: customer_id, co_located_with: customers}
  order_items: {kind: sharded, key: customer_id, co_located_with: customers}
  readings: {kind: sharded, key: [tenant, day], resolver: by_tenant_and_day}
  documents: {kind: sharded, key: id, resolver: by_document, merge_reads: true}
  tickets: {kind: sharded, key: number, resolver: by_number}
  owners: {kind: sharded, key: name, resolver: by_owner}
  owner_files: {kind: sharded, key: name, co_located_with: owners}
  members: {kind: sharded, key: name, resolver: by_member}
  people: {kind: sharded, key: [country, state], resolver: by_place}
  stamps: {kind: sharded, key: id, resolver: by_customer}
  all_types: {kind: sharded, key: id, resolver: by_customer}
  countries: {kind: reference}
  settings: {kind: single, shard: s0}
  notes: {kind: single, shard: s1}
)yaml";

// What outlives the tests and goes before the libraries' own globals do.
class Shared final : public testing::Environment {
 public:
  void TearDown() override {
    gateways.clear();
    cluster.reset();
    replicated.reset();
  }
  std::map<std::string, std::unique_ptr<TestGateway>> gateways;
  std::unique_ptr<PostgresCluster> cluster;
  std::unique_ptr<ReplicatedServers> replicated;
};

// Registered before main, as gtest asks; gtest owns it.
Shared* const shared = static_cast<Shared*>(testing::AddGlobalTestEnvironment(new Shared));

std::string NewDatabaseName() {
  static std::atomic<int> next{0};
  return absl::StrCat("shard_", next++);
}

}  // namespace

std::string NameOf(const Setup& setup) {
  return absl::StrCat(setup.kind == Kind::kSqlite ? "sqlite" : setup.replicated ? "replicated" : "postgres",
                      setup.shards);
}

std::vector<Setup> SetupsOr(std::vector<Setup> usual) {
  const char* database = std::getenv("QUARRY_TEST_DATABASE");
  const char* shards = std::getenv("QUARRY_TEST_SHARDS");
  if (database == nullptr && shards == nullptr) return usual;
  const std::string name = database == nullptr ? "" : database;
  Setup setup;
  setup.kind = name == "sqlite" ? Kind::kSqlite : Kind::kPostgres;
  setup.replicated = name == "replicated";
  // A run of another setup than the one that was asked for would look like a good one.
  if ((name != "sqlite" && name != "postgres" && name != "replicated") || shards == nullptr ||
      !absl::SimpleAtoi(shards, &setup.shards) || setup.shards < 2) {
    std::cerr << "QUARRY_TEST_DATABASE=\"" << name << "\" QUARRY_TEST_SHARDS=\"" << (shards == nullptr ? "" : shards)
              << "\": set both, to sqlite, postgres or replicated and to a number from 2, or neither" << std::endl;
    std::exit(2);
  }
  return {setup};
}

PostgresCluster& Postgres() {
  if (shared->cluster == nullptr) {
    PostgresClusterOptions options;
    options.max_connections = 400;
    absl::StatusOr<std::unique_ptr<PostgresCluster>> cluster = PostgresCluster::Create(options);
    if (!cluster.ok()) {
      ADD_FAILURE() << cluster.status();
      std::abort();
    }
    shared->cluster = *std::move(cluster);
  }
  return *shared->cluster;
}

ReplicatedServers& Replicated(int pairs) {
  if (shared->replicated == nullptr || shared->replicated->pairs() < pairs) {
    shared->replicated.reset();
    absl::StatusOr<std::unique_ptr<ReplicatedServers>> servers = ReplicatedServers::Start(pairs);
    if (!servers.ok()) {
      ADD_FAILURE() << servers.status();
      std::abort();
    }
    shared->replicated = *std::move(servers);
  }
  return *shared->replicated;
}

std::string SchemaSql(Kind kind) {
  const bool postgres = kind == Kind::kPostgres;
  return absl::StrCat(absl::StrReplaceAll(
      kTables, {{"{NUMERIC}", postgres ? "NUMERIC" : "NUMERIC_TEXT"},
                {"{JSON}", postgres ? "JSON" : "JSON_TEXT"},
                {"{IDENTITY}", postgres ? "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY" : "INTEGER PRIMARY KEY"}}),
      postgres ? kPostgresTriggers : kSqliteTriggers);
}

std::string ConfigYaml(const std::string& data_dir, const std::vector<std::string>& shard_places) {
  std::string yaml = absl::StrCat("deployment: integration\ndata_dir: ", data_dir, "\nshards:\n");
  for (size_t shard = 0; shard < shard_places.size(); ++shard) {
    absl::StrAppend(&yaml, "  s", shard, ": ", shard_places[shard], "\n");
  }
  return yaml + kSettings;
}

absl::StatusOr<std::unique_ptr<TestGateway>> TestGateway::Start(const Setup& setup, const GatewaySettings& settings) {
  auto gateway = std::unique_ptr<TestGateway>(new TestGateway(setup, settings));
  QUARRY_RETURN_IF_ERROR(gateway->CreateDatabases());
  if (settings.before_start) settings.before_start();
  QUARRY_RETURN_IF_ERROR(gateway->StartGateway());
  return gateway;
}

TestGateway& TestGateway::Shared(const Setup& setup) {
  std::unique_ptr<TestGateway>& gateway = shared->gateways[NameOf(setup)];
  if (gateway == nullptr) {
    absl::StatusOr<std::unique_ptr<TestGateway>> started = Start(setup);
    if (!started.ok()) {
      ADD_FAILURE() << started.status();
      std::abort();
    }
    gateway = *std::move(started);
  }
  return *gateway;
}

void TestGateway::StopShared() { shared->gateways.clear(); }

absl::Status TestGateway::CreateDatabases() {
  std::vector<std::string> places;
  for (int shard = 0; shard < setup_.shards; ++shard) {
    const std::string more = settings_.more_schema ? settings_.more_schema(shard) : "";
    const Kind kind = settings_.kind_of_shard ? settings_.kind_of_shard(shard) : setup_.kind;
    if (kind == Kind::kSqlite) {
      places.push_back(absl::StrCat("{sqlite: {file: s", shard, ".db}}"));
      SqliteOptions options;
      options.file = absl::StrCat(data_.path(), "/s", shard, ".db");
      options.shard = ShardName(shard);
      QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<SqliteDatabase> database, SqliteDatabase::Open(options));
      QUARRY_RETURN_IF_ERROR(database->RunScript(SchemaSql(kind) + more));
      continue;
    }
    PostgresCluster* cluster = settings_.cluster_of_shard ? settings_.cluster_of_shard(shard) : nullptr;
    if (cluster == nullptr) cluster = setup_.replicated ? &Replicated(setup_.shards).primary(shard) : &Postgres();
    const std::string name = NewDatabaseName();
    QUARRY_RETURN_IF_ERROR(cluster->CreateDatabase(name).status());
    QUARRY_RETURN_IF_ERROR(cluster->Run(name, SchemaSql(kind) + more));
    const int port = settings_.port_of_shard ? settings_.port_of_shard(shard) : 0;
    const std::string replicas =
        setup_.replicated ? absl::StrCat(", replicas: [\"", Replicated(setup_.shards).standby_conninfo(shard, name), "\"]")
                          : "";
    places.push_back(absl::StrCat("{postgres: {primary: \"", cluster->ConninfoAt(name, port > 0 ? port : cluster->port()),
                                  "\"", replicas, "}}"));
  }
  yaml_ = ConfigYaml(data_.path(), places);
  return absl::OkStatus();
}

absl::Status TestGateway::StartGateway() {
  ConfigOptions options;
  options.overrides = settings_.overrides;
  QUARRY_ASSIGN_OR_RETURN(Config config, ParseConfig(yaml_, "gateway_test.yaml", options));
  GatewayOptions gateway;
  gateway.version = "test";
  gateway.catalog_wait = settings_.catalog_wait;
  QUARRY_ASSIGN_OR_RETURN(gateway_, Gateway::Start(std::move(config), gateway));
  client::ClientOptions connect;
  connect.address = absl::StrCat("127.0.0.1:", gateway_->grpc_port());
  connect.channels = 4;  // Calls arrive on both loops.
  connect.connect_timeout = absl::Seconds(10);
  QUARRY_ASSIGN_OR_RETURN(std::unique_ptr<client::Connection> connection, client::internal::ConnectChannels(connect));
  connection_ = std::move(connection);
  client_ = client::Client::Over(connection_, connect);
  return absl::OkStatus();
}

absl::Status TestGateway::Restart() {
  client_.reset();
  connection_.reset();
  gateway_.reset();
  return StartGateway();
}

absl::StatusOr<std::unique_ptr<Gateway>> TestGateway::StartAnother() const {
  ConfigOptions options;
  options.overrides = settings_.overrides;
  QUARRY_ASSIGN_OR_RETURN(Config config, ParseConfig(yaml_, "gateway_test.yaml", options));
  GatewayOptions gateway;
  gateway.version = "test";
  gateway.catalog_wait = settings_.catalog_wait;
  return Gateway::Start(std::move(config), gateway);
}

std::unique_ptr<client::Client> TestGateway::NewClient(int channels, int attempts_max) const {
  return ClientAt(gateway_->grpc_port(), channels, attempts_max);
}

std::string TestGateway::ShardOf(const std::string& table, const client::Key& key) {
  const absl::StatusOr<v1::ResolveKeyResponse> resolved = client_->ResolveKey(table, key);
  if (!resolved.ok()) ADD_FAILURE() << resolved.status();
  return resolved.ok() ? resolved->shard() : "";
}

int64_t TestGateway::NewCustomerOn(int shard) {
  while (true) {
    const int64_t id = NewId();
    const std::string where = ShardOf("customers", {id});
    if (where == ShardName(shard) || where.empty()) return id;
  }
}

int64_t TestGateway::NewId() {
  static std::atomic<int64_t> next{100'000};
  return next++;
}

std::optional<double> TestGateway::Metric(const std::string& name) const {
  return MetricAt(gateway_->http_port(), name);
}

int TestGateway::HttpGet(const std::string& path, std::string* body) const {
  return gateway_test::HttpGet(gateway_->http_port(), path, body);
}

bool TestGateway::SettlesToNoSessions() const { return gateway_test::SettlesToNoSessions(gateway_->http_port()); }

std::unique_ptr<client::Client> ClientAt(int port, int channels, int attempts_max) {
  client::ClientOptions connect;
  connect.address = absl::StrCat("127.0.0.1:", port);
  connect.channels = channels;
  connect.connect_timeout = absl::Seconds(10);
  connect.retry.attempts_max = attempts_max;
  connect.retry.backoff_max = absl::Milliseconds(100);
  connect.retry.budget_burst = 1e6;
  absl::StatusOr<std::unique_ptr<client::Client>> client = client::Client::Connect(connect);
  if (!client.ok()) ADD_FAILURE() << client.status();
  return client.ok() ? *std::move(client) : nullptr;
}

std::shared_ptr<client::Connection> ConnectionAt(int port, int channels) {
  client::ClientOptions connect;
  connect.address = absl::StrCat("127.0.0.1:", port);
  connect.channels = channels;
  connect.connect_timeout = absl::Seconds(10);
  absl::StatusOr<std::unique_ptr<client::Connection>> connection = client::internal::ConnectChannels(connect);
  if (!connection.ok()) ADD_FAILURE() << connection.status();
  return connection.ok() ? *std::move(connection) : nullptr;
}

int HttpGet(int port, const std::string& path, std::string* body) {
  httplib::Client http("127.0.0.1", port);
  const httplib::Result result = http.Get(path.c_str());
  if (!result) return 0;
  if (body != nullptr) *body = result->body;
  return result->status;
}

std::optional<double> MetricAt(int port, const std::string& name) {
  std::string body;
  if (HttpGet(port, "/metrics", &body) != 200) return std::nullopt;
  std::optional<double> sum;
  for (const absl::string_view line : absl::StrSplit(body, '\n')) {
    if (line.substr(0, name.size()) != name) continue;
    const absl::string_view rest = line.substr(name.size());
    double value = 0;
    if (rest.empty() || (rest[0] != '{' && rest[0] != ' ')) continue;
    if (!absl::SimpleAtod(rest.substr(rest.rfind(' ') + 1), &value)) continue;
    sum = sum.value_or(0) + value;
  }
  return sum;
}

bool SettlesToNoSessions(int http_port) {
  return Eventually([http_port] {
    for (const char* gauge : {"quarry_shard_sessions_in_use", "quarry_pool_sessions_leased", "quarry_pool_waiters",
                              "quarry_open_transactions"}) {
      if (MetricAt(http_port, gauge) != 0) return false;
    }
    return true;
  });
}

bool Eventually(const std::function<bool()>& holds, absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  while (!holds()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(5));  // A poll of what tells nobody when it changes.
  }
  return true;
}

int64_t Streamed::rows() const {
  int64_t count = 0;
  for (const v1::OnAllShardsResponse& event : events) count += event.rows().rows_size();
  return count;
}

v1::StreamSummary Streamed::summary() const {
  return !events.empty() && events.back().has_summary() ? events.back().summary() : v1::StreamSummary();
}

Streamed ReadAll(absl::StatusOr<std::unique_ptr<client::EventStream>> stream) {
  Streamed streamed;
  streamed.status = stream.status();
  while (streamed.status.ok()) {
    absl::StatusOr<std::optional<v1::OnAllShardsResponse>> event = (*stream)->Next();
    streamed.status = event.status();
    if (!event.ok() || !event->has_value()) break;
    streamed.events.push_back(**std::move(event));
  }
  return streamed;
}

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

v1::OnShardRequest SqlOn(int shard, const std::string& sql, std::vector<client::Value> params, bool allow_writes) {
  v1::OnShardRequest request;
  request.mutable_target()->set_shard(TestGateway::ShardName(shard));
  request.set_sql(sql);
  for (const client::Value& param : params) *request.add_params() = param.proto();
  request.set_allow_writes(allow_writes);
  return request;
}

v1::OnAllShardsRequest SqlOnAll(const std::string& sql, std::vector<client::Value> params, bool allow_writes) {
  v1::OnAllShardsRequest request;
  request.mutable_target()->set_all_shards(true);
  request.set_sql(sql);
  for (const client::Value& param : params) *request.add_params() = param.proto();
  request.set_allow_writes(allow_writes);
  return request;
}

int64_t NumberOn(TestGateway& gateway, int shard, const std::string& sql) {
  const Streamed streamed = ReadAll(gateway.raw().OnShard(SqlOn(shard, sql), Soon()));
  if (!streamed.status.ok()) ADD_FAILURE() << streamed.status;
  for (const v1::OnAllShardsResponse& event : streamed.events) {
    if (event.has_rows()) return event.rows().rows(0).values(0).int64_value();
  }
  return -1;
}

std::string NewUuid() {
  static std::mutex mutex;
  static SystemRandom random;
  static IdGenerator ids(0, random);
  const std::lock_guard<std::mutex> lock(mutex);
  return ids.UuidV7(absl::Now());
}

}  // namespace quarry::gateway_test
