#include "tests/sim/gate_world.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "absl/strings/numbers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quarry::sim {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kSeeds = 20'000;

// QUARRY_SIM_FIRST_SEED, else a new one; printed.
uint64_t FirstSeed() {
  static const uint64_t first = [] {
    uint64_t seed = 0;
    const char* text = std::getenv("QUARRY_SIM_FIRST_SEED");
    if (text == nullptr || !absl::SimpleAtoi(text, &seed)) seed = uint64_t{std::random_device()()} * 1'000'000;
    std::printf("seeds from %llu: QUARRY_SIM_FIRST_SEED repeats them\n", static_cast<unsigned long long>(seed));
    return seed;
  }();
  return first;
}

// The first thing that breaks; "" when nothing does.
std::string FirstBroken(const GateFaults& faults) {
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + kSeeds; ++seed) {
    std::string broken = GateWorld(seed, faults).Run();
    if (!broken.empty()) return broken;
  }
  return "";
}

TEST(GateSimTest, ReadersSeeWholeTransactionsAndEverybodyGetsThrough) {
  int64_t mixed_cuts = 0;
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + kSeeds; ++seed) {
    GateWorld world(seed, GateFaults{});
    ASSERT_EQ(world.Run(), "") << "seed " << seed;
    mixed_cuts += world.mixed_cuts();
  }
  EXPECT_GT(mixed_cuts, 100);
}

TEST(GateSimTest, WithoutTheGateReadersAreTorn) {
  EXPECT_THAT(FirstBroken({.writers_skip_gate = true}), HasSubstr("a reader sees transaction"));
}

// Who holds a gate must not wait for a row: see ADR 0015.
TEST(GateSimTest, WritersThatPassAGateBeforeTheirRowsAreLockedWaitForEver) {
  EXPECT_THAT(FirstBroken({.gates_before_rows = true}), HasSubstr("waits for ever"));
}

TEST(GateSimTest, ReadersAgainstTheOrderOfTheGatesWaitForEver) {
  EXPECT_THAT(FirstBroken({.readers_ascend = true}), HasSubstr("waits for ever"));
}

}  // namespace
}  // namespace quarry::sim
