// Wakes a thread that waits in a completion queue when its next call is due. The queue's own
// deadlines are whole milliseconds, as long as many calls take.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

namespace quarry::load {

class Pacer {
 public:
  // `wake` is called on the pacer's thread when a due time has come that is still the next one,
  // once for each. `gap_ns`: how far due times are apart at least; 0 when they may be anything.
  Pacer(int64_t gap_ns, std::function<void()> wake);
  ~Pacer();
  Pacer(const Pacer&) = delete;
  Pacer& operator=(const Pacer&) = delete;

  // When the next call is due, in nanoseconds of NowNanoseconds. From any thread; costs one store.
  void SetNext(int64_t due_ns) { due_ns_.store(due_ns, std::memory_order_relaxed); }

 private:
  void Run();

  const int64_t gap_ns_;
  std::function<void()> wake_;
  std::atomic<int64_t> due_ns_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace quarry::load
