// What stands behind SqliteDatabase: the lock, the threads and the queues of one file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend/sqlite/checkpointer.h"
#include "core/backend/sqlite/file_lock.h"
#include "core/backend/sqlite/lane.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "core/backend/sqlite/writer.h"

namespace quarry::sqlite {

class DatabaseParts final : public SqliteDatabase {
 public:
  DatabaseParts(const SqliteOptions& options, FileLock lock, std::unique_ptr<Connection> writer,
                std::unique_ptr<Connection> checkpointer);
  absl::StatusOr<ShardSchema> Introspect(const std::vector<std::string>& tables) override;
  absl::Status RunScript(const std::string& sql) override;

  const ConnectionOptions& connection() const { return connection_; }
  const std::shared_ptr<WriterQueue>& writer_queue() const { return writer_queue_; }
  const std::shared_ptr<WorkerQueue>& worker_queue() const { return worker_queue_; }

 private:
  // Destroyed from the last to the first: the file is unlocked when all threads and connections are gone.
  const ConnectionOptions connection_;
  FileLock lock_;
  std::shared_ptr<WriterQueue> writer_queue_;
  std::shared_ptr<WorkerQueue> worker_queue_;
  Checkpointer checkpointer_;
  Writer writer_;
  Workers workers_;
};

ConnectionOptions ConnectionOptionsOf(const SqliteOptions& options);

}  // namespace quarry::sqlite
