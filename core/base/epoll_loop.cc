#include "core/base/epoll_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "absl/time/clock.h"

namespace quarry {
namespace {

constexpr int kStepsPerTurn = 8;

uint32_t ToEpoll(SocketEvents events) {
  uint32_t mask = 0;
  if (static_cast<uint8_t>(events) & static_cast<uint8_t>(SocketEvents::kRead)) mask |= EPOLLIN;
  if (static_cast<uint8_t>(events) & static_cast<uint8_t>(SocketEvents::kWrite)) mask |= EPOLLOUT;
  return mask;
}

SocketEvents FromEpoll(uint32_t mask) {
  uint8_t events = 0;
  // An error or a hang-up shows itself to whichever of the two is tried.
  if (mask & (EPOLLIN | EPOLLERR | EPOLLHUP)) events |= static_cast<uint8_t>(SocketEvents::kRead);
  if (mask & (EPOLLOUT | EPOLLERR | EPOLLHUP)) events |= static_cast<uint8_t>(SocketEvents::kWrite);
  return static_cast<SocketEvents>(events);
}

}  // namespace

EpollLoop::EpollLoop()
    : epoll_fd_(epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_(std::this_thread::get_id()) {
  if (epoll_fd_ < 0 || wake_fd_ < 0) std::abort();  // Out of descriptors at start: nothing can run.
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = wake_fd_;
  epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event);
}

EpollLoop::~EpollLoop() {
  DropAllWork();
  close(wake_fd_);
  close(epoll_fd_);
}

void EpollLoop::Post(absl::AnyInvocable<void()> work) {
  bool wake = false;
  {
    absl::MutexLock lock(&mutex_);
    wake = posted_.empty();
    posted_.push_back(std::move(work));
  }
  has_posted_.store(true, std::memory_order_release);
  if (wake) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
  }
}

absl::Time EpollLoop::Now() const {
  if (!in_piece_) return absl::Now();
  if (now_ == absl::InfinitePast()) now_ = absl::Now();
  return now_;
}

Loop::TimerId EpollLoop::RunAt(absl::Time when, absl::AnyInvocable<void()> work) {
  const TimerId id{when, next_timer_++};
  if (when != absl::InfiniteFuture()) timers_.emplace(id, std::move(work));
  return id;
}

void EpollLoop::CancelTimer(TimerId id) {
  const auto found = timers_.find(id);
  if (found == timers_.end()) return;
  // Its work may own what cancels other timers: let it go only after the map is whole again.
  const absl::AnyInvocable<void()> dropped = std::move(found->second);
  timers_.erase(found);
}

void EpollLoop::Watch(int fd, SocketEvents events, absl::AnyInvocable<void(SocketEvents)> work) {
  WatchEntry& entry = watches_[fd];
  const bool known = entry.work != nullptr;
  entry.work = std::make_shared<absl::AnyInvocable<void(SocketEvents)>>(std::move(work));
  entry.generation = next_generation_++;
  epoll_event event{};
  event.events = ToEpoll(events);
  event.data.fd = fd;
  if (known && epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event) == 0) return;
  epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event);
}

void EpollLoop::Unwatch(int fd) {
  if (watches_.erase(fd) == 0) return;
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

bool EpollLoop::RunOnce(absl::Duration wait) {
  TakePosted();
  const absl::Duration until_due = NextDue() - Now();
  bool ran = PollSockets(std::clamp(until_due, absl::ZeroDuration(), wait));
  TakePosted();
  ran |= RunTimers();
  // What follows from an event mostly follows at once: a few steps cost less than looking at the sockets in between.
  for (int step = 0; step < kStepsPerTurn && RunReady(); ++step) ran = true;
  return ran;
}

void EpollLoop::Run() {
  BindToThisThread();
  while (!stopped_.load(std::memory_order_acquire)) RunOnce(absl::Seconds(60));
}

void EpollLoop::Stop() {
  stopped_.store(true, std::memory_order_release);
  Post([] {});
}

void EpollLoop::DropAllWork() {
  TakePosted();
  while (!ready_.empty() || !timers_.empty()) {
    // What is dropped may defer or time more.
    const std::deque<absl::AnyInvocable<void()>> ready = std::exchange(ready_, {});
    const auto timers = std::exchange(timers_, {});
  }
}

absl::Time EpollLoop::NextDue() {
  if (!ready_.empty() || has_posted_.load(std::memory_order_acquire)) return absl::InfinitePast();
  return timers_.empty() ? absl::InfiniteFuture() : timers_.begin()->first.when;
}

bool EpollLoop::PollSockets(absl::Duration wait) {
  std::array<epoll_event, 64> events;
  const int64_t millis = absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1)));
  const int timeout = static_cast<int>(std::min<int64_t>(millis, 60'000));
  const int count = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), timeout);
  const uint64_t newest = next_generation_;
  bool ran = false;
  for (int i = 0; i < count; ++i) {
    const int fd = events[static_cast<size_t>(i)].data.fd;
    if (fd == wake_fd_) {
      uint64_t drained;
      [[maybe_unused]] const ssize_t got = read(wake_fd_, &drained, sizeof(drained));
      continue;
    }
    const auto found = watches_.find(fd);
    // Gone, or a new socket under an old number, because of an earlier event of this batch.
    if (found == watches_.end() || found->second.generation >= newest) continue;
    const auto work = found->second.work;  // It may replace or remove itself.
    RunPiece([&] { (*work)(FromEpoll(events[static_cast<size_t>(i)].events)); });
    ran = true;
  }
  return ran;
}

bool EpollLoop::RunTimers() {
  bool ran = false;
  if (timers_.empty()) return ran;
  const absl::Time now = Now();
  while (!timers_.empty() && timers_.begin()->first.when <= now) {
    const auto first = timers_.begin();
    absl::AnyInvocable<void()> work = std::move(first->second);
    timers_.erase(first);
    RunPiece(work);
    ran = true;
  }
  return ran;
}

bool EpollLoop::RunReady() {
  // Only what was ready at the start: work that defers more must not starve sockets and timers.
  size_t count = ready_.size();
  const bool ran = count > 0;
  while (count-- > 0 && !ready_.empty()) {
    absl::AnyInvocable<void()> work = std::move(ready_.front());
    ready_.pop_front();
    RunPiece(work);
  }
  return ran;
}

void EpollLoop::TakePosted() {
  if (!has_posted_.load(std::memory_order_acquire)) return;
  std::vector<absl::AnyInvocable<void()>> taken;
  {
    absl::MutexLock lock(&mutex_);
    taken.swap(posted_);
    has_posted_.store(false, std::memory_order_release);
  }
  for (absl::AnyInvocable<void()>& work : taken) ready_.push_back(std::move(work));
}

}  // namespace quarry
