#include <algorithm>
#include <utility>

#include "core/backend/sqlite/errors.h"
#include "core/backend/sqlite/writer.h"

namespace quarry::sqlite {
namespace {

// More members would make the first wait for the last without a cheaper commit each.
constexpr size_t kGroupMax = 128;

}  // namespace

const std::shared_ptr<JobControl>& WriterQueue::ControlOf(const Entry& entry) {
  if (const Write* write = std::get_if<Write>(&entry)) return write->control;
  return std::get<LeaseRequest>(entry).control;
}

absl::Status WriterQueue::Push(Write write) { return PushEntry(Entry(std::move(write))); }
absl::Status WriterQueue::Push(LeaseRequest request) { return PushEntry(Entry(std::move(request))); }

absl::Status WriterQueue::PushEntry(Entry entry) {
  // What is dropped is dropped after the lock: it may hold the last of much.
  std::deque<Entry> dropped;
  absl::MutexLock lock(&mutex_);
  if (stopped_) return sqlite::Stopped(shard_);
  if (waiting_.size() >= waiters_max_) {
    // Those who have given up make room.
    const auto gone = std::stable_partition(waiting_.begin(), waiting_.end(),
                                            [](const Entry& one) { return !ControlOf(one)->withdrawn(); });
    std::move(gone, waiting_.end(), std::back_inserter(dropped));
    waiting_.erase(gone, waiting_.end());
    if (waiting_.size() >= waiters_max_) return QueueFull(shard_, "writer", waiting_.size());
  }
  waiting_.push_back(std::move(entry));
  return absl::OkStatus();
}

void WriterQueue::PushHeld(Lane::Job job) {
  absl::MutexLock lock(&mutex_);
  if (!stopped_) held_jobs_.push_back(std::move(job));
}

void WriterQueue::Release() { PushHeld(nullptr); }

WriterQueue::Work WriterQueue::Take(absl::Duration wait) {
  absl::MutexLock lock(&mutex_);
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return HasWork(); };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&ready), wait)) return Idle{};
  if (stopped_) return Stopped{};
  return held_ ? TakeHeld() : TakeWaiting();
}

WriterQueue::Work WriterQueue::TakeHeld() {
  Lane::Job job = std::move(held_jobs_.front());
  held_jobs_.pop_front();
  if (job == nullptr) return Released{};
  return Held{std::move(job)};
}

WriterQueue::Work WriterQueue::TakeWaiting() {
  Group group;
  while (!waiting_.empty() && group.writes.size() < kGroupMax) {
    Entry& first = waiting_.front();
    Write* write = std::get_if<Write>(&first);
    const bool exclusive = write == nullptr || write->alone;
    if (exclusive && !group.writes.empty()) break;
    if (!ControlOf(first)->Take()) {
      waiting_.pop_front();
      continue;
    }
    if (write == nullptr) {
      LeaseRequest request = std::get<LeaseRequest>(std::move(first));
      waiting_.pop_front();
      held_ = true;
      return request;
    }
    group.writes.push_back(std::move(*write));
    waiting_.pop_front();
    if (exclusive) break;
  }
  return group;
}

void WriterQueue::EndLease() {
  absl::MutexLock lock(&mutex_);
  held_ = false;
}

void WriterQueue::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

void WriterQueue::DropAll() {
  std::deque<Entry> waiting;
  std::deque<Lane::Job> held;
  absl::MutexLock lock(&mutex_);
  waiting.swap(waiting_);
  held.swap(held_jobs_);
}

}  // namespace quarry::sqlite
