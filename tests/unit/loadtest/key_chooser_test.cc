#include "loadtest/quarry_load/key_chooser.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "loadtest/quarry_load/zipfian.h"

namespace quarry::load {
namespace {

constexpr int kDraws = 200'000;

class KeyChooserTest : public testing::Test {
 protected:
  KeyChooserTest()
      : seed_(std::random_device()()), random_(seed_), trace_(__FILE__, __LINE__, Seed()) {}
  testing::Message Seed() const { return testing::Message() << "seed " << seed_; }

  std::map<int64_t, int> Draw(KeyChooser& chooser, int draws = kDraws) {
    std::map<int64_t, int> seen;
    for (int i = 0; i < draws; ++i) ++seen[chooser.Next(random_)];
    return seen;
  }

  const uint64_t seed_;
  SeededRandom random_;
  testing::ScopedTrace trace_;
  InsertedKeys none_{KeySequence(1'000'001, 0, 1)};
};

// Five standard deviations, and as much again as the generator is known to be off.
void ExpectNear(double seen, double expected, double bias = 0) {
  EXPECT_NEAR(seen, expected, 5 * std::sqrt(expected) + bias * expected);
}

TEST_F(KeyChooserTest, ZetaIsTheSum) {
  for (const double theta : {0.2, 0.5, 0.99}) {
    double sum = 0;
    for (int64_t i = 1; i <= 50'000; ++i) {
      sum += std::pow(static_cast<double>(i), -theta);
      if (i == 10 || i == 1000 || i == 1001 || i == 50'000) {
        EXPECT_NEAR(Zeta(i, theta), sum, 1e-8) << i << " " << theta;
      }
    }
  }
}

TEST_F(KeyChooserTest, ZipfianRanksAreAsFrequentAsZipfSays) {
  const double theta = 0.99;
  const int64_t items = 1000;
  const Zipfian zipfian(items, theta);
  std::vector<int> seen(items);
  for (int i = 0; i < kDraws; ++i) ++seen[static_cast<size_t>(zipfian.Next(random_))];
  const double zeta = Zeta(items, theta);
  ExpectNear(seen[0], kDraws / zeta);
  ExpectNear(seen[1], kDraws / zeta * std::pow(2, -theta));
  // Beyond, the generator is a continuous approximation: compare how many calls the most frequent
  // get.
  double expected = 0;
  double got = 0;
  for (int64_t rank = 0; rank < items; ++rank) {
    expected += kDraws / zeta * std::pow(static_cast<double>(rank + 1), -theta);
    got += seen[static_cast<size_t>(rank)];
    if (rank + 1 == 10 || rank + 1 == 100 || rank + 1 == 500) ExpectNear(got, expected, 0.05);
  }
}

TEST_F(KeyChooserTest, ZipfianThatGrowsIsThatOfItsSize) {
  Zipfian grown(10, 0.9);
  for (int64_t items = 11; items <= 500; ++items) grown.Grow(items);
  grown.Grow(100'000);
  grown.Grow(50);  // Never fewer.
  const Zipfian made(100'000, 0.9);
  EXPECT_EQ(grown.items(), 100'000);
  SeededRandom one(seed_);
  SeededRandom other(seed_);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(grown.Next(one), made.Next(other));
}

TEST_F(KeyChooserTest, ScrambledZipfianKeepsTheFrequenciesAndSpreadsTheKeys) {
  Scenario scenario;
  scenario.keys = 1000;
  scenario.distribution = Distribution::kZipfian;
  const auto chooser = MakeKeyChooser(scenario, 0, none_);
  const std::map<int64_t, int> seen = Draw(*chooser);
  EXPECT_GE(seen.begin()->first, 1);
  EXPECT_LE(seen.rbegin()->first, 1000);
  const double zeta = Zeta(1000, scenario.theta);
  std::vector<double> expected(1001);
  for (int64_t rank = 0; rank < 1000; ++rank) {
    expected[static_cast<size_t>(1 + Scramble(rank, 1000))] +=
        kDraws / zeta * std::pow(static_cast<double>(rank + 1), -scenario.theta);
  }
  const int64_t hottest = 1 + Scramble(0, 1000);
  ExpectNear(seen.at(hottest), expected[static_cast<size_t>(hottest)], 0.1);
  EXPECT_GT(std::abs(Scramble(0, 1000) - Scramble(1, 1000)), 1);
}

TEST_F(KeyChooserTest, UniformKeysAreEquallyFrequent) {
  Scenario scenario;
  scenario.keys = 50;
  const auto chooser = MakeKeyChooser(scenario, 0, none_);
  const std::map<int64_t, int> seen = Draw(*chooser);
  ASSERT_EQ(seen.size(), 50u);
  for (const auto& [key, times] : seen) {
    EXPECT_TRUE(key >= 1 && key <= 50) << key;
    ExpectNear(times, kDraws / 50.0);
  }
}

TEST_F(KeyChooserTest, HotTenantGetsItsFraction) {
  Scenario scenario;
  scenario.keys = 1000;
  scenario.tenants = 10;
  scenario.hot_fraction = 0.8;
  scenario.distribution = Distribution::kHotTenant;
  const auto chooser = MakeKeyChooser(scenario, 0, none_);
  double hot = 0;
  for (const auto& [key, times] : Draw(*chooser)) {
    EXPECT_TRUE(key >= 1 && key <= 1000) << key;
    if (key <= 100) hot += times;
  }
  ExpectNear(hot, 0.8 * kDraws);
}

TEST_F(KeyChooserTest, LatestPrefersWhatWasInsertedLast) {
  Scenario scenario;
  scenario.keys = 1000;
  scenario.distribution = Distribution::kLatest;
  InsertedKeys inserted(KeySequence(1001, 0, 1));
  const auto chooser = MakeKeyChooser(scenario, 0, inserted);
  const std::map<int64_t, int> before = Draw(*chooser);
  EXPECT_EQ(before.rbegin()->first, 1000);
  ExpectNear(before.at(1000), kDraws / Zeta(1000, scenario.theta));
  const int64_t first = inserted.Next();
  const int64_t second = inserted.Next();
  inserted.Acknowledge(second);
  EXPECT_EQ(Draw(*chooser).rbegin()->first, 1000) << "the first is not there yet";
  inserted.Acknowledge(first);
  const std::map<int64_t, int> after = Draw(*chooser);
  EXPECT_EQ(after.rbegin()->first, second);
  ExpectNear(after.at(second), kDraws / Zeta(1002, scenario.theta));
}

TEST_F(KeyChooserTest, SequentialKeysOfAllThreadsAreEachKeyOnce) {
  Scenario scenario;
  scenario.keys = 100;
  scenario.threads = 3;
  scenario.distribution = Distribution::kSequential;
  std::set<int64_t> seen;
  for (int thread = 0; thread < 3; ++thread) {
    const auto chooser = MakeKeyChooser(scenario, thread, none_);
    for (int i = 0; i < (thread == 0 ? 34 : 33); ++i)
      EXPECT_TRUE(seen.insert(chooser->Next(random_)).second);
  }
  EXPECT_EQ(*seen.begin(), 1);
  EXPECT_EQ(*seen.rbegin(), 100);
}

TEST_F(KeyChooserTest, InsertedKeysAreAcknowledgedInAnyOrder) {
  InsertedKeys inserted(KeySequence(10, 1, 4));
  std::vector<int64_t> pending;
  for (int i = 0; i < 1000; ++i) {
    pending.push_back(inserted.Next());
    EXPECT_EQ(pending.back(), 11 + 4 * i);
    EXPECT_LE(inserted.acknowledged(), i);
  }
  for (size_t left = pending.size(); left > 1; --left) {
    const size_t pick = 1 + static_cast<size_t>(Below(static_cast<int64_t>(left) - 1, random_));
    inserted.Acknowledge(pending[pick]);
    std::swap(pending[pick], pending[left - 1]);
    EXPECT_EQ(inserted.acknowledged(), 0) << "the first has not ended";
  }
  inserted.Acknowledge(11);
  EXPECT_EQ(inserted.acknowledged(), 1000);
}

TEST_F(KeyChooserTest, SequenceKnowsHowManyKeysAreLeft) {
  KeySequence sequence(1, 2, 4);  // 3, 7, 11, …
  EXPECT_EQ(sequence.LeftUpTo(2), 0);
  EXPECT_EQ(sequence.LeftUpTo(3), 1);
  EXPECT_EQ(sequence.LeftUpTo(11), 3);
  EXPECT_EQ(sequence.Next(), 3);
  EXPECT_EQ(sequence.LeftUpTo(11), 2);
  EXPECT_EQ(sequence.LeftUpTo(1), 0);
}

}  // namespace
}  // namespace quarry::load
