// How often a test repeats what chance decides.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>

#include "absl/strings/numbers.h"

namespace quarry {

// A part of the full number, at least one: QUARRY_TEST_ROUNDS percent, 10 where that is not set. Every push runs 100
// (./dev test --thorough); more finds more.
inline int Rounds(int full) {
  int percent = 10;
  const char* given = std::getenv("QUARRY_TEST_ROUNDS");
  if (given != nullptr && (!absl::SimpleAtoi(given, &percent) || percent < 1)) {
    std::cerr << "QUARRY_TEST_ROUNDS=" << given << ": a percentage from 1 is wanted" << std::endl;
    std::abort();
  }
  return std::max(1, static_cast<int>(int64_t{full} * percent / 100));
}

}  // namespace quarry
