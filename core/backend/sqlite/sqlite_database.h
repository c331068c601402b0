// A shard that is a SQLite file: opened once by the process, used by every loop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/backend/lease_pool.h"
#include "core/base/loop.h"
#include "core/catalog/catalog.h"

namespace quarry {

struct SqliteOptions {
  std::string file;
  std::string shard;
  // Writes and transactions that may wait for the writer, of all loops together.
  int64_t waiters_max = 1024;
  // Threads for what must not run on a loop: raw SQL, transactions that only read, streams.
  int workers = 2;
  // How long a stored reply can be asked for again.
  absl::Duration request_keep = absl::Hours(24);
  // Of the file; 0: as large as the disk.
  int64_t bytes_max = 0;
  int64_t cache_kib = 8192;  // Of each connection.
};

// Thread-safe. The file is locked for this process while it lives. Backends, and with them their sessions and streams,
// end before it; what waits for the writer then is dropped.
class SqliteDatabase {
 public:
  // Creates the file when it does not exist. kUnavailable SHARD_UNAVAILABLE when it cannot be opened or has another
  // owner, kDataLoss SHARD_CORRUPT when it is not a database. Blocks.
  static absl::StatusOr<std::shared_ptr<SqliteDatabase>> Open(SqliteOptions options);
  virtual ~SqliteDatabase() = default;

  // What it says of these tables; those that it lacks are absent. Blocks.
  virtual absl::StatusOr<ShardSchema> Introspect(const std::vector<std::string>& tables) = 0;
  // Several statements, in one transaction: schema and seeds. Blocks, not on a loop's thread that has work for the
  // writer. kInvalidArgument INVALID_SQL says where.
  virtual absl::Status RunScript(const std::string& sql) = 0;
};

// One per loop. `loop` and `database` outlive it and everything leased from it.
std::unique_ptr<Backend> MakeSqliteBackend(Loop& loop, std::shared_ptr<SqliteDatabase> database,
                                           LeasePoolOptions pool);

}  // namespace quarry
