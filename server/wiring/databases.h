// The databases behind the shards, as the process holds them: SQLite files opened once, PostgreSQL by connection string.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/sqlite/sqlite_file.h"
#include "core/base/loop.h"
#include "core/catalog/catalog.h"
#include "core/config/config.h"

namespace quarry {

// Thread-safe once opened. Outlives every Backend that it makes.
class Databases {
 public:
  // Opens every SQLite file. One that is damaged or cannot be read stands for a shard that is down; one that cannot be
  // created, or has another owner, is an error. PostgreSQL is not asked: a server that is down must not matter here.
  // `config` outlives this.
  static absl::StatusOr<std::unique_ptr<Databases>> Open(const Config& config);

  // The driver of one shard for one loop, undecorated.
  std::unique_ptr<Backend> MakeBackend(size_t shard, Loop& loop) const;
  // What the shard says of the configured tables; a file that is not open is tried again first. Blocks.
  absl::StatusOr<ShardSchema> Introspect(size_t shard) const;
  // Runs a schema on every SQLite shard, which must all be open. Blocks.
  absl::Status RunScript(const std::string& sql) const;

 private:
  explicit Databases(const Config& config) : config_(config) {}

  const Config& config_;
  std::vector<std::unique_ptr<SqliteFile>> files_;  // By shard; null for PostgreSQL.
};

}  // namespace quarry
