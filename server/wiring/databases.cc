#include "server/wiring/databases.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/late_backend.h"
#include "core/backend/postgres/backend.h"
#include "core/backend/postgres/introspect.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "spdlog/spdlog.h"

namespace quarry {
namespace {

// The prober's pings find out when the file has been opened after all.
std::unique_ptr<Backend> MakeFileBackend(Loop& loop, const SqliteFile& file, const LeasePoolOptions& pool) {
  LateBackend::Source source = [&loop, &file, pool]() -> absl::StatusOr<std::unique_ptr<Backend>> {
    QUARRY_ASSIGN_OR_RETURN(std::shared_ptr<SqliteDatabase> database, file.database());
    return MakeSqliteBackend(loop, std::move(database), pool);
  };
  absl::StatusOr<std::unique_ptr<Backend>> backend = source();
  if (backend.ok()) return *std::move(backend);
  return std::make_unique<LateBackend>(std::move(source));
}

absl::StatusOr<ShardSchema> IntrospectFile(SqliteFile& file, const std::vector<std::string>& tables) {
  QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<SqliteDatabase> database, file.Reopen());
  return database->Introspect(tables);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Databases>> Databases::Open(const Config& config) {
  auto databases = std::unique_ptr<Databases>(new Databases(config));
  for (const ShardConfig& shard : config.shards) {
    std::unique_ptr<SqliteFile> file;
    if (shard.dialect == Dialect::kSqlite) {
      SqliteOptions options;
      options.file = shard.path;
      options.shard = shard.name;
      options.request_keep = config.requests_keep;
      options.strict_snapshots = config.transactions.snapshot_order == "strict";
      options.on_quarantine = [](const absl::Status& status) { spdlog::critical("{}", std::string(status.message())); };
      QUARRY_ASSIGN_OR_RETURN(file, SqliteFile::Open(std::move(options)));
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
    return MakeFileBackend(loop, *files_[shard], pool);
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
          ? IntrospectFile(*files_[shard], tables)
          : IntrospectPostgres(configured.primary.conninfo, tables, configured.pool.connect_timeout);
  if (schema.ok()) schema->shard = configured.name;
  return schema;
}

absl::Status Databases::RunScript(const std::string& sql) const {
  for (const std::unique_ptr<SqliteFile>& file : files_) {
    if (file == nullptr) continue;
    QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<SqliteDatabase> database, file->database());
    const absl::Status ran = database->RunScript(sql);
    // A file with an undecided branch takes no writes before recovery has looked at it, and has its tables.
    if (!ran.ok() && ReasonOf(ran) != reason::kTransactionInDoubt) return ran;
  }
  return absl::OkStatus();
}

}  // namespace quarry
