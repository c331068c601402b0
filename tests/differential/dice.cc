#include "tests/differential/dice.h"

#include <cstdio>
#include <cstdlib>

namespace quarry::differential {

uint64_t TestSeed() {
  static const uint64_t seed = [] {
    const char* given = std::getenv("QUARRY_SEED");
    const uint64_t chosen = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::printf("[     seed ] QUARRY_SEED=%llu\n", static_cast<unsigned long long>(chosen));
    std::fflush(stdout);
    return chosen;
  }();
  return seed;
}

}  // namespace quarry::differential
