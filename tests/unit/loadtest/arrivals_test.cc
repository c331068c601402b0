#include "loadtest/quarry_load/arrivals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "loadtest/quarry_load/histogram.h"

namespace quarry::load {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMillisecond = 1'000'000;

class ArrivalsTest : public testing::Test {
 protected:
  const uint64_t seed_ = std::random_device()();
  SeededRandom random_{seed_};
};

TEST_F(ArrivalsTest, FixedScheduleLosesNoFractions) {
  ArrivalQueue queue(
      {.rate = 3, .start_ns = 100, .end_ns = 100 + 1000 * kSecond, .in_flight_max = 1 << 20},
      random_);
  int64_t calls = 0;
  int64_t last = 0;
  while (const auto intended = queue.Take(2000 * kSecond)) {
    last = *intended;
    ++calls;
  }
  EXPECT_EQ(calls, 3000);
  EXPECT_EQ(last, 100 + 2999 * kSecond / 3);
  EXPECT_EQ(queue.next_ns(), std::nullopt);
}

TEST_F(ArrivalsTest, NothingGoesBeforeItsTime) {
  ArrivalQueue queue(
      {.rate = 1000, .start_ns = kSecond, .end_ns = 2 * kSecond, .in_flight_max = 10}, random_);
  EXPECT_EQ(queue.Take(kSecond - 1), std::nullopt);
  EXPECT_EQ(queue.Take(kSecond), kSecond);
  EXPECT_EQ(queue.Take(kSecond), std::nullopt);
  EXPECT_EQ(queue.next_ns(), kSecond + kMillisecond);
}

TEST_F(ArrivalsTest, PoissonGapsHaveTheirMeanAndDeviation) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  const int64_t start = 7;
  ArrivalQueue queue({.arrivals = Arrivals::kPoisson,
                      .rate = 1000,
                      .start_ns = start,
                      .end_ns = 100 * kSecond,
                      .in_flight_max = 1 << 20},
                     random_);
  double sum = 0;
  double squares = 0;
  int64_t before = start;
  int64_t calls = 0;
  while (const auto intended = queue.Take(1000 * kSecond)) {
    const double gap = static_cast<double>(*intended - before) / kMillisecond;
    sum += gap;
    squares += gap * gap;
    before = *intended;
    ++calls;
  }
  EXPECT_NEAR(static_cast<double>(calls), 100'000, 5 * std::sqrt(100'000));
  const double mean = sum / static_cast<double>(calls);
  // An exponential distribution's deviation is its mean.
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(calls) - mean * mean), mean, 0.03);
}

TEST_F(ArrivalsTest, CallsBeyondTheCapWaitAndAreCounted) {
  ArrivalQueue queue({.rate = 1000, .start_ns = 0, .end_ns = 5 * kMillisecond, .in_flight_max = 2},
                     random_);
  EXPECT_EQ(queue.Take(3 * kMillisecond), 0);
  EXPECT_EQ(queue.Take(3 * kMillisecond), kMillisecond);
  EXPECT_EQ(queue.waited(), 0);
  EXPECT_EQ(queue.Take(3 * kMillisecond), std::nullopt);
  EXPECT_EQ(queue.in_flight(), 2);
  queue.Finished();
  EXPECT_EQ(queue.Take(9 * kMillisecond), 2 * kMillisecond)
      << "the time that was meant, not the time it went";
  EXPECT_EQ(queue.waited(), 1);
  EXPECT_EQ(queue.Take(9 * kMillisecond), std::nullopt);
  EXPECT_EQ(queue.CountUnsent(0, 9 * kMillisecond), 2) << "those of 3 and 4 ms";
  EXPECT_EQ(queue.next_ns(), std::nullopt);
}

TEST_F(ArrivalsTest, EndsEarlyWhenTold) {
  ArrivalQueue queue(
      {.rate = 1000, .start_ns = kSecond, .end_ns = 2 * kSecond, .in_flight_max = 10}, random_);
  queue.EndAt(0);
  EXPECT_EQ(queue.Take(3 * kSecond), std::nullopt);
  queue.EndAt(3 * kSecond);
  EXPECT_EQ(queue.next_ns(), std::nullopt) << "an end does not move back";
}

// A server that answers in 0.1 ms and stalls for a second in the middle of ten, asked 1,000 times a
// second one call at a time: nearly a tenth of the calls were due while it stalled. Measured from
// the time of sending, just one call looks slow.
TEST_F(ArrivalsTest, StallShowsInLatenciesFromTheIntendedTime) {
  constexpr int64_t kService = kMillisecond / 10;
  ArrivalQueue queue({.rate = 1000, .start_ns = 0, .end_ns = 10 * kSecond, .in_flight_max = 1},
                     random_);
  Histogram corrected;
  Histogram uncorrected;
  bool stalled = false;
  int64_t now = 0;
  while (const auto next = queue.next_ns()) {
    now = std::max(now, *next);
    const int64_t intended = *queue.Take(now);
    EXPECT_EQ(queue.Take(now + kSecond), std::nullopt);
    const int64_t sent = now;
    const bool stalls = !stalled && sent >= 5 * kSecond;
    stalled = stalled || stalls;
    now += stalls ? kSecond : kService;
    corrected.Record(now - intended);
    uncorrected.Record(now - sent);
    queue.Finished();
  }
  EXPECT_EQ(corrected.count(), 10'000) << "the schedule skips nothing";
  EXPECT_LT(uncorrected.Quantile(0.999), 2 * kService);
  EXPECT_EQ(uncorrected.max(), kSecond);
  EXPECT_GT(corrected.Quantile(0.99), 800 * kMillisecond);
  EXPECT_GT(corrected.Quantile(0.95), 450 * kMillisecond);
  EXPECT_LT(corrected.Quantile(0.85), 2 * kService);
}

}  // namespace
}  // namespace quarry::load
