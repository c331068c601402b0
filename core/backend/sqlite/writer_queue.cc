#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
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

absl::Status WriterQueue::MakeRoom(std::deque<Entry>& dropped) {
  if (stopped_) return sqlite::Stopped(shard_);
  if (!refusal_.ok()) return refusal_;
  if (waiting_.size() < waiters_max_) return absl::OkStatus();
  const auto gone = std::stable_partition(waiting_.begin(), waiting_.end(),
                                          [](const Entry& one) { return !ControlOf(one)->withdrawn(); });
  std::move(gone, waiting_.end(), std::back_inserter(dropped));
  waiting_.erase(gone, waiting_.end());
  return waiting_.size() < waiters_max_ ? absl::OkStatus() : QueueFull(shard_, "writer", waiting_.size());
}

std::vector<WriterQueue::Refused> WriterQueue::Push(std::vector<Write> writes) {
  // What is dropped is dropped after the lock: it may hold the last of much.
  std::deque<Entry> dropped;
  std::vector<Refused> refused;
  absl::MutexLock lock(&mutex_);
  for (Write& write : writes) {
    if (absl::Status room = MakeRoom(dropped); room.ok()) {
      waiting_.push_back(Entry(std::move(write)));
    } else {
      refused.push_back({std::move(write), std::move(room)});
    }
  }
  return refused;
}

absl::Status WriterQueue::Push(LeaseRequest request) {
  std::deque<Entry> dropped;
  absl::MutexLock lock(&mutex_);
  absl::Status room = MakeRoom(dropped);
  if (room.ok()) waiting_.push_back(Entry(std::move(request)));
  return room;
}

std::shared_ptr<Lane> WriterQueue::TryHold() {
  {
    absl::MutexLock lock(&mutex_);
    if (held_ || stopped_ || !refusal_.ok() || !waiting_.empty()) return nullptr;
    held_ = true;
  }
  return std::make_shared<WriterLane>(shared_from_this());
}

std::shared_ptr<Lane> WriterQueue::HoldFromStart() {
  {
    absl::MutexLock lock(&mutex_);
    held_ = true;
  }
  return std::make_shared<WriterLane>(shared_from_this());
}

void WriterQueue::Refuse(const absl::Status& refusal) {
  std::deque<Entry> refused;
  {
    absl::MutexLock lock(&mutex_);
    refusal_ = refusal;
    refused.swap(waiting_);
  }
  for (Entry& entry : refused) {
    if (LeaseRequest* request = std::get_if<LeaseRequest>(&entry)) {
      request->granted(refusal);
      continue;
    }
    auto& write = std::get<Write>(entry);
    write.port->Post([done = std::move(write.done), refusal]() mutable { done(refusal); });
  }
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
  if (Gathers()) {
    const auto gathered = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_ || !Gathers(); };
    mutex_.AwaitWithDeadline(absl::Condition(&gathered), pace_.until());
  }
  if (stopped_) return Stopped{};
  return held_ ? TakeHeld() : TakeWaiting();
}

bool WriterQueue::Gathers() {
  if (held_ || waiting_.empty() || waiting_.size() >= kGroupMax) return false;
  const Write* first = std::get_if<Write>(&waiting_.front());
  return first != nullptr && !first->alone && pace_.Holds(waiting_.size(), absl::Now());
}

void WriterQueue::Answering(size_t members, absl::Duration took) {
  absl::MutexLock lock(&mutex_);
  pace_.Answered(members, waiting_.size(), took, absl::Now());
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
  pace_.Started(group.writes.size());
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
