#include "core/routing/resolution_cache.h"

#include <algorithm>

namespace quarry {
namespace {

constexpr size_t kStripesMax = 16;

}  // namespace

ResolutionCache::ResolutionCache(size_t keys_max)
    : stripe_count_(std::clamp<size_t>(keys_max, 1, kStripesMax)), stripes_(new Stripe[stripe_count_]) {
  for (size_t i = 0; i < stripe_count_; ++i)
    stripes_[i].slots_max = std::max<size_t>(1, keys_max / stripe_count_);
}

ResolutionCache::Stripe& ResolutionCache::StripeOf(const KeyProbe& probe) const {
  return stripes_[(probe.hash >> 40) % stripe_count_];
}

std::optional<ShardId> ResolutionCache::Find(const KeyProbe& probe) const {
  const Stripe& stripe = StripeOf(probe);
  absl::ReaderMutexLock lock(&stripe.mutex);
  const auto found = stripe.by_key.find(probe);
  if (found == stripe.by_key.end()) return std::nullopt;
  const Slot& slot = *found->second;
  // Only the first asker writes: readers of a hot key do not fight for its cache line.
  if (!slot.asked.load(std::memory_order_relaxed)) slot.asked.store(true, std::memory_order_relaxed);
  return slot.shard;
}

ResolutionCache::Slot* ResolutionCache::Stripe::Take() {
  if (!free.empty()) {
    Slot* slot = free.back();
    free.pop_back();
    return slot;
  }
  if (slots.size() < slots_max) {
    slots.push_back(std::make_unique<Slot>());
    return slots.back().get();
  }
  for (;;) {
    Slot& slot = *slots[hand];
    hand = (hand + 1) % slots.size();
    if (slot.asked.exchange(false, std::memory_order_relaxed)) continue;
    by_key.erase(*slot.key);
    slot.key.reset();
    return &slot;
  }
}

void ResolutionCache::Learn(const KeyProbe& probe, ShardId shard) {
  Stripe& stripe = StripeOf(probe);
  absl::MutexLock lock(&stripe.mutex);
  const auto found = stripe.by_key.find(probe);
  if (found != stripe.by_key.end()) {
    found->second->shard = shard;
    return;
  }
  Slot* slot = stripe.Take();
  slot->key = Store(probe);
  slot->shard = shard;
  slot->asked.store(false, std::memory_order_relaxed);
  stripe.by_key.emplace(*slot->key, slot);
}

void ResolutionCache::Forget(const KeyProbe& probe) {
  Stripe& stripe = StripeOf(probe);
  absl::MutexLock lock(&stripe.mutex);
  const auto found = stripe.by_key.find(probe);
  if (found == stripe.by_key.end()) return;
  Slot* slot = found->second;
  stripe.by_key.erase(found);
  slot->key.reset();
  stripe.free.push_back(slot);
}

void ResolutionCache::Clear() {
  for (size_t i = 0; i < stripe_count_; ++i) {
    Stripe& stripe = stripes_[i];
    absl::MutexLock lock(&stripe.mutex);
    stripe.by_key.clear();
    stripe.free.clear();
    stripe.slots.clear();
    stripe.hand = 0;
  }
}

size_t ResolutionCache::size() const {
  size_t keys = 0;
  for (size_t i = 0; i < stripe_count_; ++i) {
    absl::ReaderMutexLock lock(&stripes_[i].mutex);
    keys += stripes_[i].by_key.size();
  }
  return keys;
}

}  // namespace quarry
