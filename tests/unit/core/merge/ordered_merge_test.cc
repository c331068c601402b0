#include "core/merge/ordered_merge.h"

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;

Row RowOf(int64_t number) { return {Value::Int64(number)}; }

std::vector<Row> RowsOf(std::initializer_list<int64_t> numbers) {
  std::vector<Row> rows;
  for (const int64_t number : numbers) rows.push_back(RowOf(number));
  return rows;
}

OrderedMergeSpec Ascending() {
  OrderedMergeSpec spec;
  spec.order = {{0, false, false}};
  return spec;
}

// Feeds each run in batches until the merge is at its end.
std::vector<OrderedMerge::Item> Drain(OrderedMerge& merge, std::vector<std::vector<Row>> runs, size_t batch) {
  std::vector<size_t> at(runs.size());
  std::vector<OrderedMerge::Item> all;
  while (!merge.finished()) {
    if (const std::optional<size_t> run = merge.Wants()) {
      std::vector<Row>& rows = runs[*run];
      const size_t size = std::min(batch, rows.size() - at[*run]);
      if (size == 0) {
        merge.Close(*run);
        continue;
      }
      const auto first = rows.begin() + static_cast<std::ptrdiff_t>(at[*run]);
      merge.Add(*run, std::vector<Row>(first, first + static_cast<std::ptrdiff_t>(size)));
      at[*run] += size;
      continue;
    }
    std::optional<OrderedMerge::Item> item = merge.Next();
    if (item.has_value()) all.push_back(*std::move(item));
  }
  EXPECT_FALSE(merge.Next().has_value());
  EXPECT_FALSE(merge.Wants().has_value());
  return all;
}

std::vector<int64_t> NumbersOf(const std::vector<OrderedMerge::Item>& items) {
  std::vector<int64_t> numbers;
  for (const OrderedMerge::Item& item : items) numbers.push_back(item.row[0].int64_value());
  return numbers;
}

TEST(OrderedMergeTest, GivesNothingWhileARunIsToBeFed) {
  OrderedMerge merge(Ascending(), 2);
  EXPECT_EQ(merge.Wants(), 0u);
  merge.Add(0, RowsOf({1, 5}));
  EXPECT_EQ(merge.Wants(), 1u);
  EXPECT_FALSE(merge.Next().has_value());
  merge.Add(1, RowsOf({2}));
  EXPECT_EQ(merge.Next()->row, RowOf(1));
  EXPECT_EQ(merge.Next()->run, 1u);
  EXPECT_FALSE(merge.Next().has_value());  // Run 1 may have a 3.
  EXPECT_FALSE(merge.finished());
  EXPECT_EQ(merge.Wants(), 1u);
  merge.Close(1);
  EXPECT_EQ(merge.Next()->row, RowOf(5));
  EXPECT_EQ(merge.Wants(), 0u);
  merge.Close(0);
  EXPECT_TRUE(merge.finished());
}

TEST(OrderedMergeTest, ARunMayEndWithItsLastBatch) {
  OrderedMerge merge(Ascending(), 2);
  merge.Add(0, RowsOf({1, 2}));
  merge.Close(0);
  merge.Close(1);
  EXPECT_FALSE(merge.Wants().has_value());
  EXPECT_EQ(merge.Next()->row, RowOf(1));
  EXPECT_EQ(merge.Next()->row, RowOf(2));
  EXPECT_TRUE(merge.finished());
}

TEST(OrderedMergeTest, ARunMayBeFedBeforeItWants) {
  OrderedMerge merge(Ascending(), 2);
  merge.Add(0, RowsOf({1, 3}));
  merge.Add(0, RowsOf({4, 6}));
  EXPECT_EQ(merge.Wants(), 1u);
  merge.Add(1, RowsOf({2, 5}));
  EXPECT_EQ(merge.Next()->row, RowOf(1));
  merge.Add(0, RowsOf({7}));
  merge.Close(0);
  merge.Close(1);
  std::vector<OrderedMerge::Item> rest;
  while (std::optional<OrderedMerge::Item> item = merge.Next()) rest.push_back(*std::move(item));
  EXPECT_THAT(NumbersOf(rest), ElementsAre(2, 3, 4, 5, 6, 7));
  EXPECT_TRUE(merge.finished());
}

TEST(OrderedMergeTest, NoRunsAreAnEnd) {
  OrderedMerge merge(Ascending(), 0);
  EXPECT_TRUE(merge.finished());
  EXPECT_FALSE(merge.Wants().has_value());
  EXPECT_FALSE(merge.Next().has_value());
}

TEST(OrderedMergeTest, OfEqualRowsThatOfTheFirstRunComesFirst) {
  OrderedMerge merge(Ascending(), 3);
  const auto items = Drain(merge, {RowsOf({1}), RowsOf({1}), RowsOf({1})}, 1);
  ASSERT_EQ(items.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(items[i].run, i);
}

TEST(OrderedMergeTest, OffsetAndLimitCountWhatDistinctLeaves) {
  OrderedMergeSpec spec = Ascending();
  spec.distinct = true;
  spec.offset = 1;
  spec.limit = 2;
  OrderedMerge merge(spec, 2);
  EXPECT_THAT(NumbersOf(Drain(merge, {RowsOf({1, 1, 2, 4}), RowsOf({1, 2, 2, 3, 9})}, 2)), ElementsAre(2, 3));
}

TEST(OrderedMergeTest, AnOffsetBeyondTheEndLeavesNothing) {
  OrderedMergeSpec spec = Ascending();
  spec.offset = 10;
  OrderedMerge merge(spec, 2);
  EXPECT_TRUE(Drain(merge, {RowsOf({1}), RowsOf({2})}, 5).empty());
}

TEST(OrderedMergeTest, MergesAsASortOfAllRowsDoes) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 500; ++round) {
    OrderedMergeSpec spec;
    spec.order = {{0, random() % 2 == 0, random() % 2 == 0}, {1, random() % 2 == 0, random() % 2 == 0}};
    spec.distinct = random() % 3 == 0;
    spec.offset = random() % 3 == 0 ? static_cast<int64_t>(random() % 20) : 0;
    spec.limit = random() % 3 == 0 ? static_cast<int64_t>(1 + random() % 20) : 0;
    const auto before = [&spec](const Row& a, const Row& b) { return CompareRows(a, b, spec.order) < 0; };
    std::vector<std::vector<Row>> runs(random() % 9);
    std::vector<Row> all;
    for (std::vector<Row>& run : runs) {
      for (size_t i = random() % 12; i > 0; --i) {
        Value text = random() % 5 == 0 ? Value::Null() : Value::Text(std::string(1, static_cast<char>('a' + random() % 4)));
        run.push_back({std::move(text), Value::Int64(static_cast<int64_t>(random() % 5))});
      }
      std::sort(run.begin(), run.end(), before);
      all.insert(all.end(), run.begin(), run.end());
    }
    std::sort(all.begin(), all.end(), before);
    if (spec.distinct) {
      all.erase(std::unique(all.begin(), all.end(), [&](const Row& a, const Row& b) { return CompareRows(a, b, spec.order) == 0; }),
                all.end());
    }
    all.erase(all.begin(), all.begin() + std::min<std::ptrdiff_t>(spec.offset, static_cast<std::ptrdiff_t>(all.size())));
    if (spec.limit > 0 && all.size() > static_cast<size_t>(spec.limit)) all.resize(static_cast<size_t>(spec.limit));
    OrderedMerge merge(spec, runs.size());
    std::vector<Row> merged;
    for (OrderedMerge::Item& item : Drain(merge, std::move(runs), 1 + random() % 4)) merged.push_back(std::move(item.row));
    ASSERT_EQ(merged, all) << "round " << round;
  }
}

}  // namespace
}  // namespace quarry
