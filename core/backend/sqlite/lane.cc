#include "core/backend/sqlite/lane.h"

#include <utility>

namespace quarry::sqlite {

void WorkerQueue::Push(Job job) {
  absl::MutexLock lock(&mutex_);
  if (!stopped_) jobs_.push_back(std::move(job));
}

WorkerQueue::Job WorkerQueue::Take() {
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_ || !jobs_.empty(); };
  absl::MutexLock lock(&mutex_, absl::Condition(&ready));
  if (stopped_) return nullptr;
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  return job;
}

void WorkerQueue::Stop() {
  std::deque<Job> dropped;
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  dropped.swap(jobs_);
}

Workers::Workers(std::shared_ptr<WorkerQueue> queue, int threads) : queue_(std::move(queue)) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([queue = queue_] {
      while (WorkerQueue::Job job = queue->Take()) job();
    });
  }
}

Workers::~Workers() {
  queue_->Stop();
  for (std::thread& thread : threads_) thread.join();
}

ReaderLane::ReaderLane(std::shared_ptr<WorkerQueue> queue, std::unique_ptr<Connection> connection)
    : queue_(std::move(queue)), connection_(std::move(connection)) {}

void ReaderLane::Submit(Job job) {
  {
    absl::MutexLock lock(&mutex_);
    jobs_.push_back(std::move(job));
    if (std::exchange(running_, true)) return;
  }
  queue_->Push(Turn(shared_from_this()));
}

void ReaderLane::RunOne() {
  Job job;
  {
    absl::MutexLock lock(&mutex_);
    job = std::move(jobs_.front());
    jobs_.pop_front();
  }
  job(*connection_);
  job = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    if (jobs_.empty()) {
      running_ = false;
      return;
    }
  }
  // Back to the end of the line, so that one lane cannot keep a thread from the others.
  queue_->Push(Turn(shared_from_this()));
}

void ReaderLane::DropJobs() {
  std::deque<Job> dropped;
  absl::MutexLock lock(&mutex_);
  dropped.swap(jobs_);
}

}  // namespace quarry::sqlite
