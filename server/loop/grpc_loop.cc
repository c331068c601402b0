#include "server/loop/grpc_loop.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "grpc/support/time.h"
#include "server/loop/gathered_sends.h"

namespace quarry {
namespace {

constexpr size_t kEventsPerTurn = 64;
constexpr size_t kGatherFrom = 4;
constexpr absl::Duration kYieldMax = absl::Microseconds(15);
constexpr absl::Duration kPollingMin = absl::Microseconds(10);

gpr_timespec ToGpr(absl::Time when) {
  if (when == absl::InfiniteFuture()) return gpr_inf_future(GPR_CLOCK_REALTIME);
  const timespec spec = absl::ToTimespec(when);
  gpr_timespec result;
  result.tv_sec = spec.tv_sec;
  result.tv_nsec = static_cast<int32_t>(spec.tv_nsec);
  result.clock_type = GPR_CLOCK_REALTIME;
  return result;
}

void AddToEpoll(int epoll_fd, int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) std::abort();
}

}  // namespace

GrpcLoop::GrpcLoop(std::unique_ptr<grpc::ServerCompletionQueue> queue, GrpcLoopOptions options)
    : options_(options),
      queue_(std::move(queue)),
      watch_epoll_fd_(epoll_create1(EPOLL_CLOEXEC)),
      watch_stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (watch_epoll_fd_ < 0 || watch_stop_fd_ < 0) std::abort();  // Out of descriptors at start: nothing can run.
  AddToEpoll(watch_epoll_fd_, watch_stop_fd_, EPOLLIN);
  AddToEpoll(watch_epoll_fd_, poll_fd(), EPOLLONESHOT);  // Armed by Sleep alone.
  watcher_ = std::thread([this] { WatchSockets(); });
  thread_ = std::thread([this] { Loop(); });
}

GrpcLoop::~GrpcLoop() {
  StopAndJoin();
  close(watch_epoll_fd_);
  close(watch_stop_fd_);
}

void GrpcLoop::RunAndWait(absl::AnyInvocable<void()> work) {
  absl::Notification done;
  Post([&work, &done] {
    work();
    done.Notify();
  });
  done.WaitForNotification();
}

void GrpcLoop::StopAndJoin() {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_release);
  Post([] {});
  thread_.join();
  BindToThisThread();
}

void GrpcLoop::Loop() {
  BindToThisThread();
  absl::Time idle_since = absl::InfiniteFuture();
  while (!stopping_.load(std::memory_order_acquire)) {
    if (RunTurn()) {
      idle_since = absl::InfiniteFuture();
      continue;
    }
    const absl::Time now = absl::Now();
    idle_since = std::min(idle_since, now);
    if (now - idle_since < polling_) {
      sched_yield();
      // Others want this core more.
      if (absl::Now() - now > kYieldMax) polling_ = absl::ZeroDuration();
      continue;
    }
    Sleep();
    AdaptPolling(absl::Now() - idle_since);
    idle_since = absl::InfiniteFuture();
  }
  CloseQueue();
  DropAllWork();
}

// Looking again for a moment costs less than a wake-up where events follow each other fast, and is lost where they do not:
// the window grows while sleeps turn out short, and shrinks to nothing while they are long.
void GrpcLoop::AdaptPolling(absl::Duration idle) {
  if (idle > options_.polling_max) {
    polling_ = polling_ / 2 < kPollingMin ? absl::ZeroDuration() : polling_ / 2;
  } else {
    polling_ = std::clamp(2 * polling_, kPollingMin, options_.polling_max);
  }
}

bool GrpcLoop::RunTurn() {
  const bool busy = DrainQueue();
  return RunOnce(absl::ZeroDuration()) || busy;
}

// What one answer of a database ends is ready at once, and its replies leave together.
bool GrpcLoop::RunReady() {
  const GatheredSends together(ready_pieces() >= kGatherFrom);
  return EpollLoop::RunReady();
}

bool GrpcLoop::DrainQueue() {
  // Calls that are answered where they begin. A reply with few beside it goes at once.
  const GatheredSends together(events_ >= kGatherFrom);
  const gpr_timespec now = gpr_time_0(GPR_CLOCK_MONOTONIC);
  size_t events = 0;
  for (; events < kEventsPerTurn; ++events) {
    void* tag = nullptr;
    bool ok = false;
    if (queue_->AsyncNext(&tag, &ok, now) != grpc::CompletionQueue::GOT_EVENT) break;
    RunPiece([&] { static_cast<CqEvent*>(tag)->Proceed(ok); });
  }
  events_ = events;
  return events > 0;
}

void GrpcLoop::Sleep() {
  const absl::Time due = NextDue();
  if (due <= absl::Now()) return;
  // Level-triggered, so what became ready since RunOnce fires at once.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.fd = poll_fd();
  epoll_ctl(watch_epoll_fd_, EPOLL_CTL_MOD, poll_fd(), &event);
  void* tag = nullptr;
  bool ok = false;
  if (queue_->AsyncNext(&tag, &ok, ToGpr(due)) == grpc::CompletionQueue::GOT_EVENT) {
    RunPiece([&] { static_cast<CqEvent*>(tag)->Proceed(ok); });
  }
}

void GrpcLoop::WakeEvent::Proceed(bool) { loop.alarm_set_.store(false, std::memory_order_release); }

void GrpcLoop::WatchSockets() {
  while (true) {
    epoll_event event{};
    if (epoll_wait(watch_epoll_fd_, &event, 1, -1) <= 0) continue;
    if (event.data.fd == watch_stop_fd_) return;
    // An alarm that is on its way wakes the loop for this event, too.
    if (alarm_set_.exchange(true, std::memory_order_acq_rel)) continue;
    alarm_.Set(queue_.get(), gpr_time_0(GPR_CLOCK_REALTIME), static_cast<CqEvent*>(&wake_event_));
  }
}

void GrpcLoop::CloseQueue() {
  // An alarm must not be set on a queue that is closed.
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(watch_stop_fd_, &one, sizeof(one));
  watcher_.join();
  queue_->Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) static_cast<CqEvent*>(tag)->Proceed(ok);
}

}  // namespace quarry
