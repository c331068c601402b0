// Commits over several shards in very many worlds, each from one seed. `--seed N` or QUARRY_SIM_SEED replays one with a
// trace; QUARRY_SIM_SEEDS sets how many, QUARRY_SIM_FIRST_SEED where they begin.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/world.h"

#ifndef QUARRY_SIM_SEEDS
#define QUARRY_SIM_SEEDS 500000
#endif

namespace quarry::sim {
namespace {

std::optional<uint64_t> NumberFromEnvironment(const char* name) {
  const char* text = std::getenv(name);
  uint64_t number = 0;
  if (text == nullptr || !absl::SimpleAtoi(text, &number)) return std::nullopt;
  return number;
}

struct Outcome {
  Tally tally{};
  std::optional<uint64_t> broken_seed;  // The lowest.
  std::string broken;
};

void RunSeeds(uint64_t first, uint64_t count, std::atomic<uint64_t>& next, std::mutex& mutex, Outcome& outcome) {
  Tally tally{};
  for (uint64_t i = next++; i < count; i = next++) {
    World world(first + i, /*trace=*/false);
    const std::string broken = world.Run();
    for (size_t j = 0; j < tally.size(); ++j) tally[j] += world.tally()[j];
    if (broken.empty()) continue;
    next = count;  // One is enough; those under way may be lower.
    const std::lock_guard<std::mutex> lock(mutex);
    if (outcome.broken_seed.has_value() && *outcome.broken_seed < first + i) continue;
    outcome.broken_seed = first + i;
    outcome.broken = broken;
  }
  const std::lock_guard<std::mutex> lock(mutex);
  for (size_t j = 0; j < tally.size(); ++j) outcome.tally[j] += tally[j];
}

Outcome RunSeeds(uint64_t first, uint64_t count) {
  Outcome outcome;
  std::atomic<uint64_t> next{0};
  std::mutex mutex;
  std::vector<std::thread> threads;
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < cores; ++i) {
    threads.emplace_back([&] { RunSeeds(first, count, next, mutex, outcome); });
  }
  for (std::thread& thread : threads) thread.join();
  return outcome;
}

TEST(CommitSimTest, EveryTransactionIsWholeWhateverFails) {
  if (const std::optional<uint64_t> seed = NumberFromEnvironment("QUARRY_SIM_SEED")) {
    EXPECT_EQ(World(*seed, /*trace=*/true).Run(), "") << "seed " << *seed;
    return;
  }
  const uint64_t first =
      NumberFromEnvironment("QUARRY_SIM_FIRST_SEED").value_or(uint64_t{std::random_device()()} * 1'000'000);
  const uint64_t count = NumberFromEnvironment("QUARRY_SIM_SEEDS").value_or(QUARRY_SIM_SEEDS);
  std::printf("seeds %llu to %llu\n", static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(first + count - 1));
  const Outcome outcome = RunSeeds(first, count);
  if (outcome.broken_seed.has_value()) {
    World(*outcome.broken_seed, /*trace=*/true).Run();
    FAIL() << outcome.broken << "\nseed " << *outcome.broken_seed << ": replay it with --seed " << *outcome.broken_seed;
  }
  for (size_t i = 0; i < outcome.tally.size(); ++i) {
    const char* const name = NameOf(static_cast<Reached>(i));
    std::printf("%-24s %lld\n", name, static_cast<long long>(outcome.tally[i]));
    // Among a few seeds one kind of trouble may be missing.
    EXPECT_TRUE(outcome.tally[i] > 0 || count < 10'000) << "no seed has reached: " << name;
  }
}

TEST(CommitSimTest, TheSameSeedMakesTheSameRun) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    World one(seed, /*trace=*/false);
    World other(seed, /*trace=*/false);
    EXPECT_EQ(one.Run(), other.Run());
    EXPECT_EQ(one.tally(), other.tally());
  }
}

}  // namespace
}  // namespace quarry::sim

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) != "--seed" || i + 1 == argc) {
      std::fprintf(stderr, "%s: unknown option '%s'; besides those of gtest there is --seed N\n", argv[0], argv[i]);
      return 2;
    }
    setenv("QUARRY_SIM_SEED", argv[++i], /*overwrite=*/1);
  }
  return RUN_ALL_TESTS();
}
