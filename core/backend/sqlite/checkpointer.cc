#include "core/backend/sqlite/checkpointer.h"

#include <utility>

namespace quarry::sqlite {
namespace {

constexpr int kBackgroundPages = 1000;

}  // namespace

Checkpointer::Checkpointer(std::unique_ptr<Connection> connection)
    : connection_(std::move(connection)), thread_([this] { Run(); }) {}

Checkpointer::~Checkpointer() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  thread_.join();
}

void Checkpointer::WalGrewTo(int pages) {
  const int before = wal_pages_.exchange(pages, std::memory_order_relaxed);
  // Once per step of that many pages, and once when the log has started anew.
  if (pages / kBackgroundPages == before / kBackgroundPages || pages < kBackgroundPages) return;
  absl::MutexLock lock(&mutex_);
  wanted_ = true;
}

void Checkpointer::Relieve(sqlite3* writer) {
  const int pages = wal_pages_.load(std::memory_order_relaxed);
  if (pages < kRelievePages) next_relief_ = kRelievePages;
  if (pages < next_relief_) return;
  // A long reader keeps the log from starting anew: no try after every commit then.
  next_relief_ = pages + kRelievePages / 4;
  sqlite3_wal_checkpoint_v2(writer, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
}

void Checkpointer::Run() {
  while (true) {
    {
      const auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return wanted_ || stopped_; };
      absl::MutexLock lock(&mutex_, absl::Condition(&due));
      if (stopped_) return;
      wanted_ = false;
    }
    // A failure leaves the log as it is; the next step tries again, and a broken disk shows itself to the writer.
    sqlite3_wal_checkpoint_v2(connection_->handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  }
}

}  // namespace quarry::sqlite
