// A connection that one user has to himself, and the threads that work on it.
#pragma once

#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "core/backend/sqlite/connection.h"

namespace quarry::sqlite {

// Thread-safe. Jobs run one after the other, in order, on some other thread; once the database is closing they are
// destroyed unrun.
class Lane {
 public:
  using Job = absl::AnyInvocable<void(Connection&)>;
  virtual ~Lane() = default;
  virtual void Submit(Job job) = 0;
};

// Work for the threads that read. Thread-safe. Bounded by its users: a lane has at most one entry in it, and lanes are
// bounded by their pools.
class WorkerQueue {
 public:
  using Job = absl::AnyInvocable<void()>;
  void Push(Job job) ABSL_LOCKS_EXCLUDED(mutex_);
  // Blocks; null once stopped.
  Job Take() ABSL_LOCKS_EXCLUDED(mutex_);
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Mutex mutex_;
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

// The threads that take from a queue; joined when it goes.
class Workers {
 public:
  Workers(std::shared_ptr<WorkerQueue> queue, int threads);
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers();

 private:
  std::shared_ptr<WorkerQueue> queue_;
  std::vector<std::thread> threads_;
};

// A reading connection whose jobs go over the workers.
class ReaderLane final : public Lane, public std::enable_shared_from_this<ReaderLane> {
 public:
  ReaderLane(std::shared_ptr<WorkerQueue> queue, std::unique_ptr<Connection> connection);
  void Submit(Job job) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A place in the workers' queue; when it is dropped there, so are the lane's jobs, which may own the lane.
  class Turn {
   public:
    explicit Turn(std::shared_ptr<ReaderLane> lane) : lane_(std::move(lane)) {}
    Turn(Turn&&) = default;
    ~Turn() {
      if (lane_ != nullptr) lane_->DropJobs();
    }
    void operator()() { std::exchange(lane_, nullptr)->RunOne(); }

   private:
    std::shared_ptr<ReaderLane> lane_;
  };
  void RunOne() ABSL_LOCKS_EXCLUDED(mutex_);
  void DropJobs() ABSL_LOCKS_EXCLUDED(mutex_);

  std::shared_ptr<WorkerQueue> queue_;
  std::unique_ptr<Connection> connection_;  // Used by the job that runs; there is one at most.
  absl::Mutex mutex_;
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quarry::sqlite
