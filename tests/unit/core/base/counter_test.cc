#include "core/base/counter.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace quarry {
namespace {

TEST(CounterTest, LosesNothingWhenMoreThreadsThanLinesAdd) {
  Counter counter;
  std::vector<std::thread> threads;
  for (int i = 0; i < 40; ++i) {
    threads.emplace_back([&counter] {
      for (int turn = 0; turn < 1'000; ++turn) counter.Add();
      counter.Add(5);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 40u * 1'005u);
}

}  // namespace
}  // namespace quarry
