#include "core/routing/consistent_hash_resolver.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/routing/stable_hash.h"
#include "tests/unit/core/routing/routing_testing.h"

namespace quarry {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::string> OwnerNames(uint64_t buckets, const std::vector<WeightedShard>& shards) {
  std::vector<std::string> names;
  for (const uint32_t owner : BucketOwners(buckets, shards)) names.push_back(shards[owner].name);
  return names;
}

std::vector<WeightedShard> EqualShards(size_t count) {
  std::vector<WeightedShard> shards;
  for (const std::string& name : ShardNames(count)) shards.push_back({name, 1});
  return shards;
}

TEST(ConsistentHashResolverTest, PutsAKeyOnTheOwnerOfItsBucket) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("consistent_hash")));
  const std::vector<uint32_t> owners = BucketOwners(kBucketsDefault, EqualShards(4));
  for (int64_t id = 0; id < 1000; ++id) {
    const Key key = {Value::Int64(id)};
    EXPECT_EQ(ShardOf(*resolver, key), owners[*PartitionHash(key) % kBucketsDefault]) << id;
  }
}

// Rows lie where these answers say: they never change.
TEST(ConsistentHashResolverTest, KeepsItsAnswersBetweenVersions) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("consistent_hash")));
  std::vector<int64_t> answers;
  for (int64_t id = 0; id < 16; ++id) answers.push_back(ShardOf(*resolver, {Value::Int64(id)}));
  EXPECT_THAT(answers, ElementsAre(2, 0, 3, 1, 0, 1, 3, 1, 0, 1, 1, 0, 1, 1, 2, 0));
  std::string table;
  for (const std::string& name : OwnerNames(kBucketsDefault, {{"s0", 1}, {"s1", 2}, {"s2", 3}}))
    table += name;
  EXPECT_EQ(HashTextExtended(table, 0), 17895555470678076443U);
}

TEST(ConsistentHashResolverTest, SharesFollowTheWeights) {
  const std::vector<WeightedShard> shards = {{"a", 1}, {"b", 1}, {"c", 2}, {"d", 4}, {"e", 0}};
  std::vector<int> counts(shards.size(), 0);
  constexpr int kBuckets = 65'536;
  for (const uint32_t owner : BucketOwners(kBuckets, shards)) ++counts[owner];
  for (size_t i = 0; i < shards.size(); ++i) {
    EXPECT_NEAR(counts[i], kBuckets * static_cast<double>(shards[i].weight) / 8, kBuckets * 0.005)
        << shards[i].name;
  }
}

TEST(ConsistentHashResolverTest, AShardThatComesTakesOnlyItsOwnShare) {
  for (size_t count = 1; count <= 16; ++count) {
    const std::vector<std::string> before = OwnerNames(kBucketsDefault, EqualShards(count));
    const std::vector<std::string> after = OwnerNames(kBucketsDefault, EqualShards(count + 1));
    const std::string added = absl::StrCat("s", count);
    int moved = 0;
    for (size_t bucket = 0; bucket < before.size(); ++bucket) {
      if (before[bucket] == after[bucket]) continue;
      ++moved;
      EXPECT_EQ(after[bucket], added) << "bucket " << bucket << " moved between two old shards";
    }
    const double ideal = static_cast<double>(kBucketsDefault) / static_cast<double>(count + 1);
    EXPECT_GT(moved, ideal * 0.8) << count;
    EXPECT_LT(moved, ideal * 1.2) << count;
  }
}

TEST(ConsistentHashResolverTest, AShardThatLeavesGivesAwayOnlyItsOwnBuckets) {
  std::vector<WeightedShard> shards = {{"a", 3}, {"b", 1}, {"c", 2}, {"d", 1}};
  const std::vector<std::string> before = OwnerNames(kBucketsDefault, shards);
  shards.erase(shards.begin() + 1);
  const std::vector<std::string> after = OwnerNames(kBucketsDefault, shards);
  for (size_t bucket = 0; bucket < before.size(); ++bucket) {
    if (before[bucket] != "b") {
      EXPECT_EQ(after[bucket], before[bucket]) << bucket;
    } else {
      EXPECT_NE(after[bucket], "b");
    }
  }
}

TEST(ConsistentHashResolverTest, AGreaterWeightOnlyTakesAndALesserOnlyGives) {
  const std::vector<std::string> before = OwnerNames(kBucketsDefault, {{"a", 2}, {"b", 2}, {"c", 2}});
  const std::vector<std::string> after = OwnerNames(kBucketsDefault, {{"a", 2}, {"b", 3}, {"c", 2}});
  int moved = 0;
  for (size_t bucket = 0; bucket < before.size(); ++bucket) {
    if (before[bucket] == after[bucket]) continue;
    ++moved;
    EXPECT_EQ(after[bucket], "b");
  }
  const double ideal = static_cast<double>(kBucketsDefault) * (3.0 / 7 - 1.0 / 3);
  EXPECT_NEAR(moved, ideal, ideal * 0.25);
}

TEST(ConsistentHashResolverTest, DependsOnNamesAndNotOnTheirOrder) {
  std::vector<WeightedShard> shards = {{"a", 3}, {"b", 1}, {"c", 2}, {"d", 1}};
  const std::vector<std::string> forward = OwnerNames(kBucketsDefault, shards);
  std::reverse(shards.begin(), shards.end());
  EXPECT_EQ(OwnerNames(kBucketsDefault, shards), forward);
}

TEST(ConsistentHashResolverTest, KeysMoveNoMoreThanBuckets) {
  ResolverSpec spec = SpecOf("consistent_hash");
  ASSERT_OK_AND_ASSIGN(const auto before, Make(spec));
  spec.shards = ShardNames(5);
  ASSERT_OK_AND_ASSIGN(const auto after, Make(spec));
  constexpr int kKeys = 50'000;
  int moved = 0;
  for (int64_t id = 0; id < kKeys; ++id) {
    const Key key = {Value::Int64(id)};
    if (ShardOf(*before, key) == ShardOf(*after, key)) continue;
    ++moved;
    EXPECT_EQ(ShardOf(*after, key), 4);
  }
  EXPECT_NEAR(moved, kKeys / 5, kKeys / 50);
}

TEST(ConsistentHashResolverTest, AnAssignmentStandsAboveTheWeights) {
  ASSERT_OK_AND_ASSIGN(
      const auto resolver,
      Make(SpecOf("consistent_hash",
                  R"({"buckets": 8, "assignment": {"s0": ["0-3"], "s1": [4, "5"], "s2": [6, 7]}})")));
  EXPECT_EQ(resolver->shards(), Shards({0, 1, 2}));
  const std::vector<int64_t> owners = {0, 0, 0, 0, 1, 1, 2, 2};
  for (int64_t id = 0; id < 100; ++id) {
    const Key key = {Value::Int64(id)};
    EXPECT_EQ(ShardOf(*resolver, key), owners[*PartitionHash(key) % 8]);
  }
}

TEST(ConsistentHashResolverTest, AShardOfWeightZeroOwnsNothing) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("consistent_hash", R"({"weights": {"s1": 0}})")));
  EXPECT_EQ(resolver->shards(), Shards({0, 2, 3}));
}

TEST(ConsistentHashResolverTest, ExplainsItsAnswer) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("consistent_hash")));
  ASSERT_OK_AND_ASSIGN(const RouteExplanation explanation, resolver->Explain({Value::Int64(42)}));
  EXPECT_EQ(explanation.shard, *resolver->Resolve({Value::Int64(42)}));
  EXPECT_THAT(explanation.words, HasSubstr("customer_id 42 hashes to 0x"));
  EXPECT_THAT(explanation.words,
              HasSubstr(absl::StrCat("bucket ", explanation.facts.at("bucket"), " of 4096, which shard s")));
}

TEST(ConsistentHashResolverTest, ReportsEveryMistakeAtOnce) {
  EXPECT_THAT(
      Mistakes(SpecOf("consistent_hash",
                      R"({"buckets": 0, "shards": ["s0", "s1", "s0"], "weights": {"s1": -1, "s2": 1, "s7": 1},
                          "assignment": {"s0": ["3-1", 1, "0-2", 4096, "x"], "s8": [7], "s1": 5}})")),
      ElementsAre(
          HasSubstr("buckets: must be an integer from 1 to"), HasSubstr("shards: names a shard twice"),
          HasSubstr("weights.s1: must be an integer from 0 to"),
          HasSubstr("weights.s2: this shard is not in `shards`"), HasSubstr("weights.s7: there is no shard"),
          HasSubstr("assignment.s0[0]: must be a bucket"),
          HasSubstr("assignment.s0[2]: names a bucket that is already assigned"),
          HasSubstr("assignment.s0[3]: must be a bucket"), HasSubstr("assignment.s0[4]: must be a bucket"),
          HasSubstr("assignment.s1: must be a list"), HasSubstr("assignment.s8: there is no shard")));
  EXPECT_THAT(
      Mistakes(SpecOf(
          "consistent_hash",
          R"({"buckets": 8, "assignment": {"s0": ["x-3", "0-x", "1-", "-1", "7-8", 1.5, null]}})")),
      AllOf(SizeIs(7), Each(HasSubstr("must be a bucket from 0 to 7, or \"first-last\""))));
  EXPECT_THAT(Mistakes(SpecOf("consistent_hash", R"({"weights": {"s0": 0, "s1": 0, "s2": 0, "s3": 0}})")),
              ElementsAre(HasSubstr("at least one shard needs a weight above 0")));
  EXPECT_THAT(Mistakes(SpecOf("consistent_hash", R"({"buckets": 1048576, "weights": {"s0": 1000}})")),
              ElementsAre(HasSubstr("use smaller weights")));
  EXPECT_THAT(
      Mistakes(SpecOf("consistent_hash", R"({"weights": [1], "assignment": "all"})")),
      ElementsAre(HasSubstr("weights: must be an object"), HasSubstr("assignment: must be an object")));
}

TEST(ConsistentHashResolverTest, ChecksNoTypesBeforeTheCatalogIsKnown) {
  ResolverSpec spec = SpecOf("consistent_hash");
  spec.key_types.clear();
  EXPECT_THAT(Mistakes(spec), IsEmpty());
}

}  // namespace
}  // namespace quarry
