#include "loadtest/micro/count_allocations.h"

#include <cstdlib>
#include <new>

namespace {

thread_local quarry::Allocations allocations;

}  // namespace

// Not inlined: the compiler would see only one half of a pair, and warn that malloc and delete do not match.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations.count;
  allocations.bytes += static_cast<int64_t>(size);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace quarry {

Allocations AllocationsOfThread() { return allocations; }

CountAllocations::~CountAllocations() {
  const Allocations after = AllocationsOfThread();
  const auto per_iteration = [this](int64_t total) {
    return benchmark::Counter(static_cast<double>(total) / static_cast<double>(state_.iterations()),
                              benchmark::Counter::kAvgThreads);
  };
  state_.counters["allocs"] = per_iteration(after.count - before_.count);
  state_.counters["alloc_bytes"] = per_iteration(after.bytes - before_.bytes);
}

}  // namespace quarry
