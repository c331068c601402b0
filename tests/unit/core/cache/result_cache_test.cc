#include "core/cache/result_cache.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

constexpr Epoch kEpoch{7};
const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

AggregateResult Counted(int64_t count) {
  AggregateResult result;
  result.rows.push_back({Value::Int64(count)});
  return result;
}

class ResultCacheTest : public testing::Test {
 protected:
  void Store(const std::string& key, int64_t count, absl::Time asked = kStart, const std::vector<ShardId>& shards = {ShardId{0}}) {
    cache_.Store(key, cache_.GroundOf("orders", 3, kEpoch, asked), shards, Counted(count));
  }
  // -1: none.
  int64_t Found(const std::string& key, absl::Duration age_max = absl::Seconds(5), absl::Time now = kStart,
                Epoch epoch = kEpoch) {
    const auto answer = cache_.Find(key, epoch, age_max, now, &age_);
    return answer == nullptr ? -1 : std::get<AggregateResult>(*answer).rows[0][0].int64_value();
  }

  ResultCacheShared shared_;
  WriteVersions& versions_ = shared_.versions;
  ResultCache cache_{shared_, {.bytes_max = 10'000, .entry_bytes_max = 4'000}};
  absl::Duration age_;
};

TEST_F(ResultCacheTest, GivesAnAnswerAgainUntilItIsTooOldForTheCaller) {
  Store("q", 3);
  EXPECT_EQ(Found("other"), -1);
  EXPECT_EQ(Found("q", absl::Seconds(5), kStart + absl::Seconds(4)), 3);
  EXPECT_EQ(age_, absl::Seconds(4));
  EXPECT_EQ(Found("q", absl::Seconds(5), kStart + absl::Seconds(6)), -1);
  EXPECT_EQ(Found("q", absl::Seconds(10), kStart + absl::Seconds(6)), 3) << "another caller takes an older one";
}

TEST_F(ResultCacheTest, AWriteOfTheTableOnOneOfItsShardsEndsIt) {
  Store("q", 3, kStart, {ShardId{0}, ShardId{2}});
  versions_.Wrote("orders", ShardId{1});
  versions_.Wrote("customers", ShardId{0});
  EXPECT_EQ(Found("q"), 3);
  versions_.Wrote("orders", ShardId{2});
  EXPECT_EQ(Found("q"), -1);
  EXPECT_EQ(cache_.entries(), 0u);
}

TEST_F(ResultCacheTest, AWriteOfUnknownTablesEndsEverythingOfItsShard) {
  Store("q", 3, kStart, {ShardId{0}});
  Store("p", 4, kStart, {ShardId{1}});
  versions_.WroteAnything(ShardId{0});
  EXPECT_EQ(Found("q"), -1);
  EXPECT_EQ(Found("p"), 4);
}

TEST_F(ResultCacheTest, AnAnswerWhoseQuestionWasOvertakenByAWriteIsNotGiven) {
  const ResultCache::Ground ground = cache_.GroundOf("orders", 1, kEpoch, kStart);
  versions_.Wrote("orders", ShardId{0});  // While the question is with the database.
  cache_.Store("q", ground, {ShardId{0}}, Counted(3));
  EXPECT_EQ(Found("q"), -1);
}

TEST_F(ResultCacheTest, AWriteIsNotedWhenItEndsHoweverItEnds) {
  Store("q", 3);
  {
    WriteNote note(&versions_);
    note.Add("orders", ShardId{0});
    WriteNote moved = std::move(note);
    EXPECT_EQ(Found("q"), 3) << "it is under way";
  }
  EXPECT_EQ(Found("q"), -1);
  EXPECT_EQ(shared_.hits.value(), 1u);
  EXPECT_EQ(shared_.misses.value(), 1u);
}

TEST_F(ResultCacheTest, AnAnswerOfAnotherEpochIsNotGiven) {
  Store("q", 3);
  EXPECT_EQ(Found("q", absl::Seconds(5), kStart, Epoch{8}), -1);
}

TEST_F(ResultCacheTest, HoldsItsBytesAndDropsWhatWasNotUsedForLongest) {
  for (int i = 0; i < 10; ++i) Store(std::to_string(i), i);
  EXPECT_EQ(Found("0"), 0);  // Used: the next to go is "1".
  for (int i = 10; shared_.evictions.value() == 0; ++i) Store(std::to_string(i), i);
  EXPECT_LE(cache_.bytes(), 10'000u);
  EXPECT_EQ(Found("0"), 0);
  EXPECT_EQ(Found("1"), -1);
}

TEST_F(ResultCacheTest, WhatIsTooLargeIsNotKeptAndAnEntryIsReplaced) {
  AggregateResult large;
  large.rows.push_back({Value::Text(std::string(5'000, 'x'))});
  cache_.Store("large", cache_.GroundOf("orders", 1, kEpoch, kStart), {ShardId{0}}, large);
  EXPECT_EQ(cache_.entries(), 0u);
  Store("q", 1);
  Store("q", 2);
  EXPECT_EQ(Found("q"), 2);
  EXPECT_EQ(cache_.entries(), 1u);
}

}  // namespace
}  // namespace quarry
