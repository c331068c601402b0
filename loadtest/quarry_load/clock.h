// The clock of measurements.
#pragma once

#include <chrono>
#include <cstdint>

namespace quarry::load {

// Nanoseconds of CLOCK_MONOTONIC, which is what std::chrono::steady_clock reads on Linux.
inline int64_t NowNanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace quarry::load
