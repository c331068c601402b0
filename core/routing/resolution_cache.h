// Keys whose shard a stored directory has told, bounded. Thread-safe; a hit takes one shared lock of one of
// several stripes and allocates nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/model/ids.h"
#include "core/routing/key_map.h"

namespace quarry {

class ResolutionCache {
 public:
  // `keys_max` is at least 1. A full cache gives up keys that were not asked for lately (the CLOCK
  // algorithm).
  explicit ResolutionCache(size_t keys_max);

  std::optional<ShardId> Find(const KeyProbe& probe) const;
  // A key that is already there gets the new shard.
  void Learn(const KeyProbe& probe, ShardId shard);
  void Forget(const KeyProbe& probe);
  void Clear();
  size_t size() const;

 private:
  struct Slot {
    std::optional<StoredKey> key;  // Absent: free.
    ShardId shard{};
    mutable std::atomic<bool> asked{false};  // Since the hand came by.
  };
  // Padded so that two stripes' locks do not share a cache line.
  struct alignas(64) Stripe {
    mutable absl::Mutex mutex;
    size_t slots_max = 0;  // Set once.
    KeyMap<Slot*> by_key ABSL_GUARDED_BY(mutex);
    std::vector<std::unique_ptr<Slot>> slots ABSL_GUARDED_BY(mutex);
    std::vector<Slot*> free ABSL_GUARDED_BY(mutex);
    size_t hand ABSL_GUARDED_BY(mutex) = 0;

    // A free slot, emptied if it must be.
    Slot* Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  };

  Stripe& StripeOf(const KeyProbe& probe) const;

  const size_t stripe_count_;
  const std::unique_ptr<Stripe[]> stripes_;
};

}  // namespace quarry
