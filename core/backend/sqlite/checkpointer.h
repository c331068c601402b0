// Copies the write-ahead log into the database file beside the writer, so that no group of writes waits for it.
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/backend/sqlite/connection.h"

namespace quarry::sqlite {

// Thread-safe. Its thread is joined by the destructor.
class Checkpointer {
 public:
  explicit Checkpointer(std::unique_ptr<Connection> connection);
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;
  ~Checkpointer();

  // After each commit.
  void WalGrewTo(int pages) ABSL_LOCKS_EXCLUDED(mutex_);
  // The writer calls it between transactions. Under steady writing the log never ends at the point that a
  // checkpoint beside it has reached, so it would grow for ever: past a size the writer finishes the rest itself.
  void Relieve(sqlite3* writer);

 private:
  static constexpr int kRelievePages = 16'000;
  void Run();

  std::unique_ptr<Connection> connection_;
  std::atomic<int> wal_pages_{0};
  int next_relief_ = kRelievePages;  // The writer's.
  absl::Mutex mutex_;
  bool wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace quarry::sqlite
