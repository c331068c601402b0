// A shard that is a SQLite file: opened once by the process, used by every loop.
#pragma once

#include <cstdint>
#include <functional>
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
  bool create = true;  // False: only a file that is there is opened.
  // Writes and transactions that may wait for the writer, of all loops together.
  int64_t waiters_max = 1024;
  // Threads for what must not run on a loop: raw SQL, transactions that only read, streams.
  int workers = 2;
  // How long a stored reply can be asked for again.
  absl::Duration request_keep = absl::Hours(24);
  // Of the file; 0: as large as the disk.
  int64_t bytes_max = 0;
  int64_t cache_kib = 8192;  // Of each connection.
  // Every commit passes the gate, not only those that belong to several shards: snapshots keep the order of all writes.
  bool strict_snapshots = false;
  // Told, on any thread, that the shard takes no more writes, and why; also while it is being opened. For the log.
  std::function<void(const absl::Status&)> on_quarantine;
};

// Thread-safe. The file is locked for this process while it lives. Backends, and with them their sessions and streams,
// end before it; what waits for the writer then is dropped.
class SqliteDatabase {
 public:
  // Creates the file when it does not exist. Branches that an earlier process left keep writes waiting until they are
  // finished; with a sidecar database that is damaged there are only reads, and on_quarantine says so. kUnavailable SHARD_UNAVAILABLE when it cannot be opened or has another
  // owner, kDataLoss SHARD_CORRUPT when it is not a database. Blocks.
  static absl::StatusOr<std::shared_ptr<SqliteDatabase>> Open(SqliteOptions options);
  virtual ~SqliteDatabase() = default;

  // What it says of these tables; those that it lacks are absent. Blocks.
  virtual absl::StatusOr<ShardSchema> Introspect(const std::vector<std::string>& tables) = 0;
  // Several statements, in one transaction: schema and seeds. Blocks, not on a loop's thread that has work for the
  // writer. kInvalidArgument INVALID_SQL says where; kUnavailable TRANSACTION_IN_DOUBT at once when a branch has it.
  virtual absl::Status RunScript(const std::string& sql) = 0;
};

// One per loop. `loop` and `database` outlive it and everything leased from it.
std::unique_ptr<Backend> MakeSqliteBackend(Loop& loop, std::shared_ptr<SqliteDatabase> database,
                                           LeasePoolOptions pool);

}  // namespace quarry
