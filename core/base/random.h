// Random bytes and numbers, injected so that tests and the simulator can repeat a run from its seed.
#pragma once

#include <cstdint>
#include <random>

namespace quarry {

class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t Next() = 0;
  // Uniform in [0, 1).
  double NextUnit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
};

// From the operating system's generator: unguessable. Thread-safe.
class SystemRandom final : public Random {
 public:
  uint64_t Next() override;
};

// The same sequence for the same seed. One thread.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : engine_(seed) {}
  uint64_t Next() override { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace quarry
