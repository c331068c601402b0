// The file of a shard that may be damaged or out of reach while other shards are served: tried when the process starts, and
// from then on until it opens.
#pragma once

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/backend/sqlite/sqlite_database.h"

namespace quarry {

// Thread-safe.
class SqliteFile {
 public:
  // Tries to open it; creates it when there is none. An error only where it would be wrong to go on and wait: a file that
  // cannot be created, or has another owner. Blocks.
  static absl::StatusOr<std::unique_ptr<SqliteFile>> Open(SqliteOptions options);

  // The database, or kUnavailable SHARD_UNAVAILABLE with the reason why there is none. Does not block.
  absl::StatusOr<std::shared_ptr<SqliteDatabase>> database() const ABSL_LOCKS_EXCLUDED(mutex_);
  // The same, after another try where it is not open. Creates nothing: a file that is away is being mended. Blocks.
  absl::StatusOr<std::shared_ptr<SqliteDatabase>> Reopen() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  SqliteFile(SqliteOptions options, absl::StatusOr<std::shared_ptr<SqliteDatabase>> database);

  const SqliteOptions options_;
  mutable absl::Mutex mutex_;
  absl::StatusOr<std::shared_ptr<SqliteDatabase>> database_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quarry
