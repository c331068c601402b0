// A count that many threads add to and few read: each thread has its own cache line, as long as there are at most kLines
// threads; more share them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace quarry {

class Counter {
 public:
  void Add(uint64_t count = 1) { lines_[LineOfThread()].count.fetch_add(count, std::memory_order_relaxed); }

  uint64_t value() const {
    uint64_t sum = 0;
    for (const Line& line : lines_) sum += line.count.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  static constexpr size_t kLines = 16;
  struct alignas(64) Line {
    std::atomic<uint64_t> count{0};
  };

  static size_t LineOfThread() {
    static std::atomic<size_t> threads{0};
    thread_local const size_t line = threads.fetch_add(1, std::memory_order_relaxed) % kLines;
    return line;
  }

  std::array<Line, kLines> lines_;
};

}  // namespace quarry
