#include "core/lock/lock_shared.h"

#include <algorithm>
#include <utility>

namespace quarry {

LockShared::Watch::Watch(LockShared& shared, std::string name, std::function<void()> wake)
    : shared_(shared), name_(std::move(name)) {
  absl::MutexLock lock(&shared_.mutex_);
  std::list<std::function<void()>>& line = shared_.watches_[name_];
  place_ = line.insert(line.end(), std::move(wake));
  ++shared_.waiting_;
}

LockShared::Watch::~Watch() {
  absl::MutexLock lock(&shared_.mutex_);
  const auto found = shared_.watches_.find(name_);
  found->second.erase(place_);
  if (found->second.empty()) shared_.watches_.erase(found);
  --shared_.waiting_;
}

void LockShared::Ring(const std::string& name) {
  // Held across the call, so that the watch does not go in the middle of it; waking only queues work on a loop.
  absl::MutexLock lock(&mutex_);
  const auto found = watches_.find(name);
  if (found != watches_.end()) found->second.front()();
}

void LockShared::NoteLease(const std::string& lease_id, absl::Time expires) {
  absl::MutexLock lock(&mutex_);
  leases_[lease_id] = expires;
  if (leases_.size() < leases_checked_at_) return;
  DropExpired(absl::Now());
  leases_checked_at_ = std::max<size_t>(1'024, leases_.size() * 2);
}

void LockShared::ForgetLease(const std::string& lease_id) {
  absl::MutexLock lock(&mutex_);
  leases_.erase(lease_id);
}

void LockShared::NoteWait(absl::Duration waited) {
  const double seconds = absl::ToDoubleSeconds(waited);
  const auto bucket = std::lower_bound(kWaitBounds.begin(), kWaitBounds.end(), seconds) - kWaitBounds.begin();
  absl::MutexLock lock(&mutex_);
  ++waits_.buckets[static_cast<size_t>(bucket)];
  waits_.seconds += seconds;
}

int64_t LockShared::held(absl::Time now) {
  absl::MutexLock lock(&mutex_);
  DropExpired(now);
  return static_cast<int64_t>(leases_.size());
}

int64_t LockShared::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiting_;
}

LockShared::Waits LockShared::waits() const {
  absl::MutexLock lock(&mutex_);
  return waits_;
}

void LockShared::DropExpired(absl::Time now) {
  absl::erase_if(leases_, [now](const auto& lease) { return lease.second <= now; });
}

}  // namespace quarry
