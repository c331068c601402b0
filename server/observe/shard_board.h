// What this process last saw of its shards and knows of their tables, for health answers, probes, metrics and `shards
// list`: each loop publishes its view a few times a second, and nobody has to ask a loop or a database. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/shard/health.h"
#include "core/shard/shard.h"

namespace quarry {

struct ShardSample {
  ShardHealthReport health;
  BackendStats stats;
};

// One shard over all loops.
struct ShardView {
  std::string name;
  ShardState state = ShardState::kUnknown;  // The best that any loop saw.
  absl::Status last_error;
  absl::Time since = absl::InfinitePast();  // When it came into its state.
  BackendStats stats;                       // Sums.
};

class ShardBoard {
 public:
  ShardBoard(std::vector<std::string> shards, size_t loops);

  // One loop's view, by position of the shards.
  void Publish(size_t loop, const std::vector<ShardSample>& samples, size_t open_transactions, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<ShardView> shards() const ABSL_LOCKS_EXCLUDED(mutex_);
  size_t open_transactions() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Why the tables of the shards are not known; empty once they are.
  void SetCatalogProblem(std::string problem) ABSL_LOCKS_EXCLUDED(mutex_);
  bool catalog_ready() const ABSL_LOCKS_EXCLUDED(mutex_);

  // The process no longer takes work: not ready any more, for good.
  void SetDraining() ABSL_LOCKS_EXCLUDED(mutex_);
  bool draining() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Why traffic should go elsewhere: it drains, no shard is usable, or the tables are not known. Empty when it is ready.
  std::string not_ready() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool ready() const ABSL_LOCKS_EXCLUDED(mutex_) { return not_ready().empty(); }

  // `changed` is called, on any thread and without a lock, after a shard's state, the draining or the catalog changed;
  // once more at most after its removal.
  uint64_t AddListener(std::function<void()> changed) ABSL_LOCKS_EXCLUDED(mutex_);
  void RemoveListener(uint64_t id) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool Refresh(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<std::function<void()>> Listeners() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::vector<std::vector<ShardSample>> by_loop_ ABSL_GUARDED_BY(mutex_);
  std::vector<size_t> transactions_ ABSL_GUARDED_BY(mutex_);
  std::vector<ShardView> views_ ABSL_GUARDED_BY(mutex_);
  std::string catalog_problem_ ABSL_GUARDED_BY(mutex_) = "the shards have not been asked yet";
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_listener_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, std::function<void()>> listeners_ ABSL_GUARDED_BY(mutex_);
};

// Publishes one loop's view now and every `interval`. Made and destroyed on its loop.
class ShardFeed {
 public:
  // All outlive this.
  ShardFeed(Loop& loop, size_t loop_index, std::vector<const ShardBackend*> shards,
            std::function<size_t()> open_transactions, ShardBoard& board,
            absl::Duration interval = absl::Milliseconds(200));
  ShardFeed(const ShardFeed&) = delete;
  ShardFeed& operator=(const ShardFeed&) = delete;

 private:
  void Publish();

  Loop& loop_;
  const size_t loop_index_;
  const std::vector<const ShardBackend*> shards_;
  const std::function<size_t()> open_transactions_;
  ShardBoard& board_;
  const absl::Duration interval_;
  Timer timer_;
};

}  // namespace quarry
