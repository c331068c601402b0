// The configuration of a gateway: one YAML file with overrides, read whole, checked whole, turned into plain data.
// Pure apart from reading files; use from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/catalog/catalog.h"
#include "core/model/ids.h"
#include "core/model/type.h"
#include "core/routing/resolver.h"
#include "nlohmann/json.hpp"

namespace quarry {

// Where a value was written, for messages: "quarry.yaml:12:5", "--set" or the name of an environment variable.
struct ConfigPosition {
  std::string source;
  int line = 0;  // From 1; 0 when the source has no lines.
  int column = 0;
};
std::string ToString(const ConfigPosition& position);

struct ListenConfig {
  std::string grpc = "127.0.0.1:7400";
  std::string http = "127.0.0.1:7480";
};

struct LogConfig {
  std::string level = "info";   // debug, info, warn, error
  std::string format = "text";  // text, json
  absl::Duration slow_query = absl::Seconds(1);  // Queries that take as long are logged by their shape; zero: none.
};

// Bounds per loop and shard.
struct PoolConfig {
  int64_t sessions = 8;    // Connections leased to one user at a time: transactions, raw SQL, SQLite readers.
  int64_t waiters = 256;   // Calls that may wait for one; the next is refused at once.
  int64_t pipelines = 2;   // PostgreSQL only: connections shared by single statements.
  absl::Duration connect_timeout = absl::Seconds(5);
};

struct PostgresEndpoint {
  std::string conninfo;  // As libpq takes it; holds secrets.
  std::string shown;     // The same with passwords as "***".
  std::string address;   // "host:port/database", for people.
  // The same of each of its hosts, in one form however it is written: two that share one lead to the same database.
  std::vector<std::string> databases;
};

struct ShardConfig {
  std::string name;
  Dialect dialect = Dialect::kSqlite;
  std::string file;  // SQLite: as written.
  std::string path;  // SQLite: below data_dir, or absolute.
  PostgresEndpoint primary;
  std::vector<PostgresEndpoint> replicas;
  PoolConfig pool;  // The global one with this shard's own values over it.
  // Without secrets: the file, or the primary's address.
  const std::string& address() const { return dialect == Dialect::kSqlite ? path : primary.address; }
};

// Where one option of a resolver was written.
struct OptionSource {
  ConfigPosition position;
  std::string template_text;  // With its ${env:…} or ${file:…}; empty when it has none.
};

struct ResolverConfig {
  std::string name;
  std::string type;
  nlohmann::json options = nlohmann::json::object();  // Without "type".
  std::map<std::string, OptionSource> sources;        // By option path, "ranges[2].from"; "" is the resolver itself.
};

struct TransactionConfig {
  absl::Duration idle_timeout = absl::Seconds(30);
  absl::Duration idle_timeout_max = absl::Minutes(10);
  int64_t open_max = 1'000;  // Per loop.
  absl::Duration commit_timeout = absl::Seconds(30);   // Of each step of a commit, whatever becomes of its caller.
  absl::Duration recovery_interval = absl::Seconds(1);
  absl::Duration recovery_age = absl::Seconds(5);      // Younger transactions are left to their gateway.
  absl::Duration outcome_keep = absl::Hours(24);
  absl::Duration audit_interval = absl::Minutes(1);
  bool allow_async_two_phase = false;  // Shards whose standbys may lack what is acknowledged take part as well.
  std::string snapshot_order = "cross_shard";  // cross_shard, strict: which commits pass the gate of snapshots.
};

// The other gateways over the same shards; this one's own address may be among them.
struct PeersConfig {
  std::vector<std::string> addresses;  // "host:port" of their gRPC.
  std::string dns;                     // "host:port" whose host has an address for each gateway; empty: none.
  absl::Duration interval = absl::Seconds(2);
};

struct LimitsConfig {
  int64_t batch_items = 1'000;
  int64_t row_bytes = 2 << 20;
  int64_t reply_bytes = 3 << 20;
  int64_t message_bytes = 4 << 20;
  int64_t scatter_width = 16;
  int64_t page_rows = 100;        // Of a page whose size nobody gave.
  int64_t page_rows_max = 1'000;
  int64_t bulk_rows = 1'000;      // Of one batch of UpdateWhere and DeleteWhere.
  int64_t aggregate_groups = 250'000;
  int64_t aggregate_values = 1'000'000;  // Of counts distinct.
  int64_t calls_max = 4'096;  // In flight, in the whole process.
};

struct CacheConfig {
  int64_t bytes = 16 << 20;  // Of kept answers, for each loop.
};

struct LocksConfig {
  std::string shard;                          // That keeps them; empty: the first one.
  int64_t max = 100'000;                      // Locks in use.
  int64_t waiters_max = 100;                  // Of one lock.
  absl::Duration ttl_max = absl::Hours(1);
};

struct TokensConfig {
  std::string secret;  // Of page and resume tokens; empty: one that the gateway makes and keeps in data_dir.
};

struct BreakerConfig {
  int64_t faults = 5;  // In a row.
  absl::Duration probe_interval = absl::Seconds(1);
};

struct Config {
  std::string file;  // The name of the file it came from, for messages.
  std::string deployment = "quarry";
  std::string data_dir = "data";
  ListenConfig listen;
  LogConfig log;
  int64_t loops = 0;  // 0: one per core.
  PoolConfig pools;
  std::vector<ShardConfig> shards;  // In the file's order: the position is the ShardId.
  std::vector<ResolverConfig> resolvers;
  std::vector<std::string> plugins;
  // Resolvers of co-located tables are filled in.
  std::vector<TableDeclaration> tables;
  TransactionConfig transactions;
  PeersConfig peers;
  absl::Duration requests_keep = absl::Hours(24);
  LimitsConfig limits;
  CacheConfig cache;
  LocksConfig locks;
  TokensConfig tokens;
  bool raw_sql_enabled = true;
  BreakerConfig breaker;
  absl::Duration drain_timeout = absl::Seconds(30);
  absl::Duration default_deadline = absl::Seconds(30);
};

struct ConfigOptions {
  std::vector<std::string> overrides;              // "limits.batch_items=10", as --set gives them.
  std::map<std::string, std::string> environment;  // Only QUARRY_* overrides; every variable for ${env:X} and for libpq's.
  std::vector<std::string> environment_ignored;    // QUARRY_* variables that mean something else.
  // The bytes of a file of at most `bytes_max`; null: the file system.
  std::function<absl::StatusOr<std::string>(const std::string& path, size_t bytes_max)> read_file;
  // The types of resolvers, plug-ins included, by which resolvers are checked with all else; null: they are not.
  std::function<absl::StatusOr<std::unique_ptr<ResolverRegistry>>(const Config& config)> registry;
};

// The variables of this process.
std::map<std::string, std::string> ProcessEnvironment();

// kInvalidArgument with every mistake at once: violations' fields are "quarry.yaml:12:5 tables.orders.kee", and the message
// has one line for each. Flag > environment > file > default. Never throws.
absl::StatusOr<Config> LoadConfig(const std::string& path, const ConfigOptions& options);
absl::StatusOr<Config> ParseConfig(std::string_view yaml, const std::string& file_name, const ConfigOptions& options);

// The resolvers of the configuration by name. `key_types`: of each resolver's shard key, once the catalog is known; a
// resolver without an entry is checked without types. Violations of options carry their places in the file.
absl::StatusOr<std::map<std::string, std::shared_ptr<const Resolver>, std::less<>>> BuildResolvers(
    const Config& config, const ResolverRegistry& registry,
    const std::map<std::string, std::vector<ColumnType>>& key_types = {});

// The effective configuration as YAML that parses again, defaults included, secrets hidden.
std::string PrintConfig(const Config& config);

// One key that the configuration knows.
struct ConfigKey {
  std::string path;         // "shards.<name>.sqlite.file"
  std::string type;         // "text", "count", "bytes", "duration", "true or false", "one of …", "list of text", "section"
  std::string initial;      // The default; "" when there is none.
  std::string range;        // "1 to 1000"; "" when all values of the type are allowed.
  std::string environment;  // The variable that overrides it; "" when there is none.
};
std::vector<ConfigKey> KnownConfigKeys();

}  // namespace quarry
