#include "tests/sim/interleavings.h"

#include <cstdio>
#include <string>

#include "gtest/gtest.h"

namespace quarry::sim {
namespace {

struct Size {
  const char* name;
  Scope scope;
};

class InterleavingsTest : public ::testing::TestWithParam<Size> {};

TEST_P(InterleavingsTest, EveryOrderLeavesTheTransactionWhole) {
  const Explored explored = Explore(GetParam().scope);
  std::printf("%lld states: %lld committed, %lld rolled back by recovery; %lld late decisions, %lld late prepares\n",
              static_cast<long long>(explored.states), static_cast<long long>(explored.commits),
              static_cast<long long>(explored.aborts), static_cast<long long>(explored.late_decisions),
              static_cast<long long>(explored.late_prepares));
  EXPECT_EQ(explored.broken, "");
  EXPECT_GT(explored.commits, 0);
  EXPECT_GT(explored.aborts, 0);
  EXPECT_GT(explored.late_decisions, 0);
  EXPECT_TRUE(explored.late_prepares > 0 || GetParam().scope.answers_lost == 0);
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, InterleavingsTest,
    ::testing::Values(Size{"Two", {.participants = 2, .recoveries = 1, .answers_lost = 4, .sessions_broken = 2}},
                      Size{"TwoAgainstTwo", {.participants = 2, .recoveries = 2, .answers_lost = 2}},
                      Size{"TwoAndAReader", {.participants = 2, .recoveries = 1, .answers_lost = 1, .reader = true}},
                      Size{"Three", {.participants = 3, .recoveries = 1, .answers_lost = 2}},
                      Size{"ThreeAgainstTwo", {.participants = 3, .recoveries = 2, .answers_lost = 0}}),
    [](const ::testing::TestParamInfo<Size>& size) { return std::string(size.param.name); });

}  // namespace
}  // namespace quarry::sim
