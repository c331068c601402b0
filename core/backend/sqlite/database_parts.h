// What stands behind SqliteDatabase: the lock, the threads and the queues of one file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend/sqlite/branches.h"
#include "core/backend/sqlite/checkpointer.h"
#include "core/backend/sqlite/file_lock.h"
#include "core/backend/sqlite/gate.h"
#include "core/backend/sqlite/lane.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "core/backend/sqlite/writer.h"

namespace quarry::sqlite {

// Closes them where it stands among the members.
class ClosesBranches {
 public:
  explicit ClosesBranches(Branches& branches) : branches_(branches) {}
  ClosesBranches(const ClosesBranches&) = delete;
  ClosesBranches& operator=(const ClosesBranches&) = delete;
  ~ClosesBranches() { branches_.Close(); }

 private:
  Branches& branches_;  // Outlives this.
};

class DatabaseParts final : public SqliteDatabase {
 public:
  DatabaseParts(const SqliteOptions& options, FileLock lock, std::unique_ptr<Connection> writer,
                std::unique_ptr<Connection> checkpointer);
  absl::StatusOr<ShardSchema> Introspect(const std::vector<std::string>& tables) override;
  absl::Status RunScript(const std::string& sql) override;

  const ConnectionOptions& connection() const { return connection_; }
  const std::shared_ptr<WriterQueue>& writer_queue() const { return writer_queue_; }
  const std::shared_ptr<WorkerQueue>& worker_queue() const { return worker_queue_; }
  const std::shared_ptr<Branches>& branches() const { return branches_; }
  const std::shared_ptr<Gate>& gate() const { return gate_; }
  bool strict_snapshots() const { return strict_snapshots_; }

 private:
  // Destroyed from the last to the first: the file is unlocked when all threads and connections are gone.
  const ConnectionOptions connection_;
  const bool strict_snapshots_;
  FileLock lock_;
  std::shared_ptr<Gate> gate_;
  std::shared_ptr<WriterQueue> writer_queue_;
  std::shared_ptr<WorkerQueue> worker_queue_;
  std::shared_ptr<Branches> branches_;
  const ClosesBranches closes_branches_;
  Checkpointer checkpointer_;
  Writer writer_;
  Workers workers_;
};

ConnectionOptions ConnectionOptionsOf(const SqliteOptions& options);

}  // namespace quarry::sqlite
