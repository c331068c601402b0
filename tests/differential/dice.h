// Random choices from a seed: the same seed makes the same choices. One thread.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace quarry::differential {

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  // From 0 to bound - 1; 0 for a bound below 1.
  int Below(int64_t bound) { return bound < 1 ? 0 : static_cast<int>(engine_() % static_cast<uint64_t>(bound)); }
  bool Percent(int percent) { return Below(100) < percent; }
  uint64_t Next() { return engine_(); }
  template <typename T>
  const T& Pick(const std::vector<T>& from) {
    return from[static_cast<size_t>(Below(static_cast<int64_t>(from.size())))];
  }

 private:
  std::mt19937_64 engine_;
};

// A seed for the part `index` of what has `seed`.
inline uint64_t SeedOf(uint64_t seed, uint64_t index) {
  uint64_t mixed = seed + 0x9e3779b97f4a7c15ULL * (index + 1);  // splitmix64
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
  return mixed ^ (mixed >> 31);
}

// QUARRY_SEED, else a new one; printed once.
uint64_t TestSeed();

}  // namespace quarry::differential
