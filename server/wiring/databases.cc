#include "server/wiring/databases.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/postgres/backend.h"
#include "core/backend/postgres/introspect.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "spdlog/spdlog.h"

namespace quarry {

absl::StatusOr<std::unique_ptr<Databases>> Databases::Open(const Config& config) {
  auto databases = std::unique_ptr<Databases>(new Databases(config));
  for (const ShardConfig& shard : config.shards) {
    std::shared_ptr<SqliteDatabase> file;
    if (shard.dialect == Dialect::kSqlite) {
      SqliteOptions options;
      options.file = shard.path;
      options.shard = shard.name;
      options.request_keep = config.requests_keep;
      options.strict_snapshots = config.transactions.snapshot_order == "strict";
      options.on_quarantine = [](const absl::Status& status) { spdlog::critical("{}", std::string(status.message())); };
      QUARRY_ASSIGN_OR_RETURN(file, SqliteDatabase::Open(options));
    }
    databases->files_.push_back(std::move(file));
  }
  return databases;
}

std::unique_ptr<Backend> Databases::MakeBackend(size_t shard, Loop& loop) const {
  const ShardConfig& configured = config_.shards[shard];
  if (configured.dialect == Dialect::kSqlite) {
    LeasePoolOptions pool;
    pool.name = absl::StrCat("shard ", configured.name);
    pool.sessions_max = configured.pool.sessions;
    pool.waiters_max = configured.pool.waiters;
    return MakeSqliteBackend(loop, files_[shard], pool);
  }
  PostgresOptions options;
  options.shard = configured.name;
  options.conninfo = configured.primary.conninfo;
  options.sessions_max = configured.pool.sessions;
  options.waiters_max = configured.pool.waiters;
  options.pipelines = configured.pool.pipelines;
  options.connect_timeout = configured.pool.connect_timeout;
  options.request_keep = config_.requests_keep;
  options.application_name = absl::StrCat("quarry/", config_.deployment);
  options.deployment = config_.deployment;
  options.allow_async_two_phase = config_.transactions.allow_async_two_phase;
  options.strict_snapshots = config_.transactions.snapshot_order == "strict";
  options.has_replicas = !configured.replicas.empty();
  return MakePostgresBackend(loop, std::move(options));
}

absl::StatusOr<ShardSchema> Databases::Introspect(size_t shard) const {
  std::vector<std::string> tables;
  for (const TableDeclaration& table : config_.tables) tables.push_back(table.name);
  const ShardConfig& configured = config_.shards[shard];
  absl::StatusOr<ShardSchema> schema =
      configured.dialect == Dialect::kSqlite
          ? files_[shard]->Introspect(tables)
          : IntrospectPostgres(configured.primary.conninfo, tables, configured.pool.connect_timeout);
  if (schema.ok()) schema->shard = configured.name;
  return schema;
}

absl::Status Databases::RunScript(const std::string& sql) const {
  for (const std::shared_ptr<SqliteDatabase>& file : files_) {
    if (file == nullptr) continue;
    const absl::Status ran = file->RunScript(sql);
    // A file with an undecided branch takes no writes before recovery has looked at it, and has its tables.
    if (!ran.ok() && ReasonOf(ran) != reason::kTransactionInDoubt) return ran;
  }
  return absl::OkStatus();
}

}  // namespace quarry
