// What a benchmark's loop asks of operator new. Memory from malloc itself (SQLite, libpq) is not seen.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace quarry {

// Of the calling thread, since it started.
struct Allocations {
  int64_t count = 0;
  int64_t bytes = 0;
};
Allocations AllocationsOfThread();

// Declared before a benchmark's loop, it reports at the end how much was allocated per iteration, as the
// counters "allocs" and "alloc_bytes". Of several threads each has its own, and their mean is shown.
class CountAllocations {
 public:
  explicit CountAllocations(benchmark::State& state) : state_(state), before_(AllocationsOfThread()) {}
  CountAllocations(const CountAllocations&) = delete;
  CountAllocations& operator=(const CountAllocations&) = delete;
  ~CountAllocations();

 private:
  benchmark::State& state_;
  const Allocations before_;
};

}  // namespace quarry
