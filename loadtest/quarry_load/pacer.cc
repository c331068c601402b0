#include "loadtest/quarry_load/pacer.h"

#include <sys/prctl.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <utility>

#include "loadtest/quarry_load/clock.h"

namespace quarry::load {
namespace {

// Due times may come earlier than thought, when a call ends that others wait for.
constexpr int64_t kSleepMost = 20'000'000;
// A thread that is late is at work, and sends what is due without being woken.
constexpr int64_t kSleepLeast = 100'000;

void SleepToTheDot(int64_t ns) {
  const timespec until = {static_cast<time_t>(ns / 1'000'000'000),
                          static_cast<long>(ns % 1'000'000'000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

}  // namespace

Pacer::Pacer(int64_t gap_ns, std::function<void()> wake)
    : gap_ns_(std::min(gap_ns, kSleepMost)),
      wake_(std::move(wake)),
      due_ns_(std::numeric_limits<int64_t>::max()),
      thread_([this] { Run(); }) {}

Pacer::~Pacer() {
  stop_.store(true);
  thread_.join();
}

void Pacer::Run() {
  prctl(PR_SET_TIMERSLACK, 1);  // Otherwise sleeps are 50 microseconds too long.
  int64_t woken = 0;
  while (!stop_.load()) {
    const int64_t now = NowNanoseconds();
    const int64_t due = due_ns_.load(std::memory_order_relaxed);
    if (due > now) {
      SleepToTheDot(std::min(due, now + kSleepMost));
      continue;
    }
    if (due != woken) wake_();
    woken = due;
    SleepToTheDot(std::max(now + kSleepLeast, due + gap_ns_));
  }
}

}  // namespace quarry::load
