// What the loops of one gateway share about locks: who waits here, so that a lock given back here is taken on at once, and
// the counts of the metrics. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/counter.h"

namespace quarry {

class LockShared {
 public:
  // Seconds.
  static constexpr std::array<double, 9> kWaitBounds = {0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300};
  struct Waits {
    std::array<uint64_t, kWaitBounds.size() + 1> buckets{};  // Not cumulative.
    double seconds = 0;
  };

  // One who waits for a lock, while it lives. `wake` may run on any thread, and not after the watch is gone.
  class Watch {
   public:
    Watch(LockShared& shared, std::string name, std::function<void()> wake);
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();

   private:
    LockShared& shared_;  // Outlives this.
    const std::string name_;
    std::list<std::function<void()>>::iterator place_;
  };
  // Someone of this gateway has given the lock back: the one who has waited here longest looks.
  void Ring(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);

  // For metrics: a lease that was granted or renewed through this gateway, until `expires` by this machine's clock.
  void NoteLease(const std::string& lease_id, absl::Time expires) ABSL_LOCKS_EXCLUDED(mutex_);
  void ForgetLease(const std::string& lease_id) ABSL_LOCKS_EXCLUDED(mutex_);
  void NoteWait(absl::Duration waited) ABSL_LOCKS_EXCLUDED(mutex_);
  void NoteLost() { lost_.Add(1); }

  int64_t held(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t waiting() const ABSL_LOCKS_EXCLUDED(mutex_);
  Waits waits() const ABSL_LOCKS_EXCLUDED(mutex_);
  uint64_t lost() const { return lost_.value(); }

 private:
  void DropExpired(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::map<std::string, std::list<std::function<void()>>> watches_ ABSL_GUARDED_BY(mutex_);
  int64_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, absl::Time> leases_ ABSL_GUARDED_BY(mutex_);
  size_t leases_checked_at_ ABSL_GUARDED_BY(mutex_) = 1'024;
  Waits waits_ ABSL_GUARDED_BY(mutex_);
  Counter lost_;
};

}  // namespace quarry
