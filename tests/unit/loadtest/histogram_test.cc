#include "loadtest/quarry_load/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace quarry::load {
namespace {

constexpr int64_t kHour = int64_t{3'600'000'000'000};

TEST(HistogramTest, IsEmptyAtFirst) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.Quantile(0.5), 0);
  EXPECT_EQ(histogram.max(), 0);
  EXPECT_EQ(histogram.mean(), 0);
}

TEST(HistogramTest, KeepsEveryValueToThreeDigits) {
  Histogram histogram;
  for (double exact = 1; exact < static_cast<double>(kHour); exact *= 1.013) {
    const int64_t value = static_cast<int64_t>(exact);
    histogram.Clear();
    histogram.Record(value);
    histogram.Record(kHour);  // So that the maximum does not hide the error.
    const int64_t kept = histogram.Quantile(0.5);
    ASSERT_GE(kept, value);
    ASSERT_LE(static_cast<double>(kept - value), static_cast<double>(value) / 1024) << value;
  }
}

TEST(HistogramTest, QuantilesAreThoseOfTheSortedValues) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::lognormal_distribution<double> latency(13, 2);
  std::vector<int64_t> values;
  Histogram histogram;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(std::min(kHour, static_cast<int64_t>(latency(random))));
    histogram.Record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double quantile : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    const double rank = std::ceil(quantile * static_cast<double>(values.size()) - 1e-6);
    const int64_t exact = values[static_cast<size_t>(std::max(1.0, rank)) - 1];
    EXPECT_GE(histogram.Quantile(quantile), exact) << quantile;
    EXPECT_LE(histogram.Quantile(quantile), exact + exact / 1024 + 1) << quantile;
  }
  EXPECT_EQ(histogram.max(), values.back());
}

TEST(HistogramTest, NineNineOfAHundredLeavesOneOut) {
  Histogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Record(i);
  EXPECT_EQ(histogram.Quantile(0.99), 99);
  EXPECT_EQ(histogram.Quantile(0.5), 50);
  EXPECT_EQ(histogram.Quantile(0.991), 100);
  EXPECT_DOUBLE_EQ(histogram.mean(), 50.5);
}

TEST(HistogramTest, CountsWhatIsTooLongAsAnHourAndWhatIsNegativeAsNothing) {
  Histogram histogram;
  histogram.Record(10 * kHour);
  histogram.Record(-5);
  EXPECT_EQ(histogram.max(), kHour);
  EXPECT_EQ(histogram.Quantile(0), 0);
}

TEST(HistogramTest, MergedIsAsIfRecordedTogether) {
  Histogram together;
  Histogram parts[2];
  for (int i = 0; i < 1000; ++i) {
    together.Record(i * 997);
    parts[i % 2].Record(i * 997);
  }
  Histogram merged;
  merged.Merge(parts[0]);
  merged.Merge(parts[1]);
  merged.Merge(Histogram());
  EXPECT_EQ(merged.count(), together.count());
  EXPECT_DOUBLE_EQ(merged.mean(), together.mean());
  EXPECT_EQ(merged.Quantiles({0.1, 0.5, 0.999}), together.Quantiles({0.1, 0.5, 0.999}));
  merged.Clear();
  EXPECT_EQ(merged.count(), 0);
  EXPECT_EQ(merged.Quantile(1), 0);
}

}  // namespace
}  // namespace quarry::load
