// The plain loop: epoll, timers, a queue. Tests and tools run on it as it is; server/loop builds the one with
// gRPC's completion queue on top of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "core/base/async.h"
#include "core/base/loop.h"

namespace quarry {

class EpollLoop : public Loop {
 public:
  EpollLoop();
  ~EpollLoop() override;
  EpollLoop(const EpollLoop&) = delete;
  EpollLoop& operator=(const EpollLoop&) = delete;

  void Post(absl::AnyInvocable<void()> work) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Defer(absl::AnyInvocable<void()> work) override { ready_.push_back(std::move(work)); }
  // Stands still within one piece of work: its steps take less time than asking for it.
  absl::Time Now() const override;
  TimerId RunAt(absl::Time when, absl::AnyInvocable<void()> work) override;
  void CancelTimer(TimerId id) override;
  void Watch(int fd, SocketEvents events, absl::AnyInvocable<void(SocketEvents)> work) override;
  void Unwatch(int fd) override;
  bool OnLoopThread() const override { return thread_.load() == std::this_thread::get_id(); }

  // Makes the calling thread the loop's thread; the constructor's thread is it until then.
  void BindToThisThread() { thread_.store(std::this_thread::get_id()); }
  // Handles what is due now, waiting at most `wait` when nothing is. True when anything ran.
  bool RunOnce(absl::Duration wait);
  // Runs until Stop().
  void Run();
  // Any thread.
  void Stop();
  // Drops all deferred, posted and timed work unrun. For shutting down, on the loop's thread.
  void DropAllWork();

 protected:
  // One piece of work: what an event, a timer or the queue asks for.
  template <typename Work>
  void RunPiece(Work&& work) {
    now_ = absl::InfinitePast();
    in_piece_ = true;
    work();
    in_piece_ = false;
  }
  // For a loop that sleeps elsewhere: readable when a watched socket is ready or work was posted.
  int poll_fd() const { return epoll_fd_; }
  // The time of the next timer, or InfinitePast when work is ready now.
  absl::Time NextDue();
  // Runs the pieces that are ready now. True when there were any.
  virtual bool RunReady();
  size_t ready_pieces() const { return ready_.size(); }

 private:
  struct WatchEntry {
    std::shared_ptr<absl::AnyInvocable<void(SocketEvents)>> work;
    uint64_t generation = 0;
  };
  bool PollSockets(absl::Duration wait);
  bool RunTimers();
  void TakePosted() ABSL_LOCKS_EXCLUDED(mutex_);

  int epoll_fd_;
  int wake_fd_;
  std::atomic<std::thread::id> thread_;
  std::atomic<bool> stopped_{false};
  bool in_piece_ = false;
  mutable absl::Time now_;  // Of the piece that runs; InfinitePast until it is asked for.
  std::deque<absl::AnyInvocable<void()>> ready_;
  uint64_t next_timer_ = 1;
  absl::btree_map<TimerId, absl::AnyInvocable<void()>> timers_;
  uint64_t next_generation_ = 1;
  absl::flat_hash_map<int, WatchEntry> watches_;

  std::atomic<bool> has_posted_{false};
  absl::Mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> posted_ ABSL_GUARDED_BY(mutex_);
};

// Runs `work` on `loop` from its own thread until it is done. For tests and tools.
template <typename T>
T RunOn(EpollLoop& loop, Async<T> work) {
  if constexpr (std::is_void_v<T>) {
    bool done = false;
    const Running running(std::move(work), [&done] { done = true; });
    while (!done) loop.RunOnce(absl::Milliseconds(100));
  } else {
    std::optional<T> result;
    const Running running(std::move(work), [&result](T value) { result.emplace(std::move(value)); });
    while (!result.has_value()) loop.RunOnce(absl::Milliseconds(100));
    return *std::move(result);
  }
}

}  // namespace quarry
