// The loop with gRPC in it: one thread that serves one completion queue beside the sockets, timers and posted work of
// EpollLoop. While there is work it alternates between the two without blocking. When there is none it sleeps in the
// queue; a watcher thread then wakes it through an alarm when the other half has something (gRPC 1.51's queues cannot
// wait on foreign sockets). Neither side polls on a timer.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "core/base/epoll_loop.h"
#include "grpcpp/alarm.h"
#include "grpcpp/completion_queue.h"

namespace quarry {

// What a tag of the completion queue points to. It outlives its turn in the queue.
class CqEvent {
 public:
  virtual void Proceed(bool ok) = 0;

 protected:
  ~CqEvent() = default;
};

struct GrpcLoopOptions {
  // At most so long the loop looks again before it goes to sleep: an event that comes meanwhile costs no wake-up.
  absl::Duration polling_max = absl::Microseconds(200);
};

class GrpcLoop final : public EpollLoop {
 public:
  // Starts the thread.
  explicit GrpcLoop(std::unique_ptr<grpc::ServerCompletionQueue> queue, GrpcLoopOptions options = {});
  // Stops and joins.
  ~GrpcLoop() override;

  // Every tag given to it is a CqEvent*.
  grpc::ServerCompletionQueue& queue() { return *queue_; }
  // Another thread: runs `work` on the loop and waits for its end. Not after Stop.
  void RunAndWait(absl::AnyInvocable<void()> work);
  // Another thread: ends the loop once the queue has no events outstanding, then drops all other work unrun. No new
  // operation may be started on the queue by then.
  void StopAndJoin();

 private:
  void Loop();
  // Both halves once. True when anything ran.
  bool RunTurn();
  // Handles up to a batch of events that are there already. True when any was.
  bool DrainQueue();
  bool RunReady() override;
  void Sleep();
  // After a sleep: how long nothing happened.
  void AdaptPolling(absl::Duration idle);
  void CloseQueue();
  void WatchSockets();

  // The alarm's tag.
  struct WakeEvent final : CqEvent {
    explicit WakeEvent(GrpcLoop& owner) : loop(owner) {}
    void Proceed(bool ok) override;
    GrpcLoop& loop;
  };

  const GrpcLoopOptions options_;
  size_t events_ = 0;  // Of the queue, in the turn before.
  absl::Duration polling_ = absl::ZeroDuration();  // The loop's own.
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  grpc::Alarm alarm_;
  WakeEvent wake_event_{*this};
  // True from the setting of the alarm until its tag has come out of the queue: one alarm at a time.
  std::atomic<bool> alarm_set_{false};
  std::atomic<bool> stopping_{false};
  int watch_epoll_fd_;
  int watch_stop_fd_;
  std::thread watcher_;
  std::thread thread_;
};

}  // namespace quarry
