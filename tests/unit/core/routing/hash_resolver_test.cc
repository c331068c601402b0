#include "core/routing/hash_resolver.h"

#include "core/routing/stable_hash.h"
#include "tests/unit/core/routing/routing_testing.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(HashResolverTest, PutsAKeyOnTheShardOfItsRemainder) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("hash")));
  EXPECT_EQ(resolver->shards(), Shards({0, 1, 2, 3}));
  for (int64_t id = -100; id < 100; ++id) {
    const Key key = {Value::Int64(id)};
    EXPECT_EQ(ShardOf(*resolver, key), static_cast<int64_t>(*PartitionHash(key) % 4)) << id;
  }
}

// Rows lie where these answers say: they never change.
TEST(HashResolverTest, KeepsItsAnswersBetweenVersions) {
  ASSERT_OK_AND_ASSIGN(const auto numbers, Make(SpecOf("hash")));
  std::vector<int64_t> answers;
  for (int64_t id = 0; id < 16; ++id) answers.push_back(ShardOf(*numbers, {Value::Int64(id)}));
  EXPECT_THAT(answers, ElementsAre(0, 0, 2, 1, 3, 1, 3, 3, 1, 1, 3, 1, 0, 2, 0, 3));
  ASSERT_OK_AND_ASSIGN(
      const auto places,
      Make(WithKey(SpecOf("hash"), {{"country", TypeKind::kText}, {"id", TypeKind::kInt64}})));
  answers.clear();
  for (int64_t id = 0; id < 8; ++id)
    answers.push_back(ShardOf(*places, {Value::Text("DE"), Value::Int64(id)}));
  EXPECT_THAT(answers, ElementsAre(1, 1, 3, 0, 2, 0, 2, 2));
}

TEST(HashResolverTest, TakesTheShardsInTheOrderOfTheirRemainders) {
  ASSERT_OK_AND_ASSIGN(const auto plain,
                       Make(SpecOf("hash", R"({"modulus": 3, "shards": ["s0", "s1", "s2"]})")));
  ASSERT_OK_AND_ASSIGN(const auto mixed, Make(SpecOf("hash", R"({"shards": ["s3", "s0", "s3"]})")));
  EXPECT_EQ(mixed->shards(), Shards({0, 3}));
  const std::vector<int64_t> renamed = {3, 0, 3};
  for (int64_t id = 0; id < 100; ++id) {
    const int64_t remainder = ShardOf(*plain, {Value::Int64(id)});
    EXPECT_EQ(ShardOf(*mixed, {Value::Int64(id)}), renamed[static_cast<size_t>(remainder)]);
  }
}

TEST(HashResolverTest, SpreadsConsecutiveKeysEvenly) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("hash")));
  constexpr int kKeys = 100'000;
  std::vector<int> counts(4, 0);
  for (int64_t id = 0; id < kKeys; ++id)
    ++counts[static_cast<size_t>(ShardOf(*resolver, {Value::Int64(id)}))];
  for (const int count : counts) EXPECT_NEAR(count, kKeys / 4, kKeys / 100);
}

TEST(HashResolverTest, AnswersManyKeysInOrderAndFailsAllWithTheFirstFailure) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("hash")));
  std::vector<Key> keys = {{Value::Int64(5)}, {Value::Int64(6)}, {Value::Int64(5)}};
  ASSERT_OK_AND_ASSIGN(const std::vector<ShardId> shards, resolver->ResolveMany(keys));
  ASSERT_EQ(shards.size(), 3U);
  EXPECT_EQ(shards[0], *resolver->Resolve(keys[0]));
  EXPECT_EQ(shards[1], *resolver->Resolve(keys[1]));
  EXPECT_EQ(shards[0], shards[2]);
  keys[1] = {Value::Double(1)};
  const auto failed = resolver->ResolveMany(keys);
  EXPECT_THAT(failed, HasReason(reason::kInvalidField));
  EXPECT_EQ(DetailOf(failed.status()).facts["key_index"], "1");
}

TEST(HashResolverTest, ARangeMayBeOnEveryShard) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("hash")));
  EXPECT_EQ(*resolver->ResolveRange({Key{Value::Int64(1)}, Key{Value::Int64(2)}}), Shards({0, 1, 2, 3}));
}

TEST(HashResolverTest, RefusesAKeyOfAnotherWidth) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("hash")));
  EXPECT_THAT(resolver->Resolve({}), HasReason(reason::kInvalidField));
  EXPECT_THAT(resolver->Resolve({Value::Int64(1), Value::Int64(2)}), HasReason(reason::kInvalidField));
}

TEST(HashResolverTest, ExplainsItsAnswer) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("hash")));
  ASSERT_OK_AND_ASSIGN(const RouteExplanation explanation, resolver->Explain({Value::Int64(42)}));
  EXPECT_EQ(explanation.shard, *resolver->Resolve({Value::Int64(42)}));
  EXPECT_THAT(explanation.words, HasSubstr("customer_id 42 hashes to 0x"));
  EXPECT_THAT(explanation.words, HasSubstr("of 4, which shard s"));
  EXPECT_EQ(explanation.facts.at("modulus"), "4");
}

TEST(HashResolverTest, ReportsEveryMistakeAtOnce) {
  EXPECT_THAT(Mistakes(WithKey(SpecOf("hash", R"({"modulus": 0, "shards": ["s0", "s9", 3], "modulos": 2})"),
                               {{"price", TypeKind::kDouble}})),
              ElementsAre(HasSubstr("key.price: a column of type double has no stable hash"),
                          HasSubstr("modulos: unknown option (did you mean \"modulus\"?)"),
                          HasSubstr("shards[1]: there is no shard \"s9\""),
                          HasSubstr("shards[2]: must be the name of a shard"),
                          HasSubstr("modulus: must be an integer from 1 to")));
  EXPECT_THAT(Mistakes(SpecOf("hash", R"({"modulus": 6})")),
              ElementsAre(HasSubstr("modulus: is 6, which is no multiple")));
  EXPECT_THAT(Mistakes(SpecOf("hash", R"({"shards": []})")),
              ElementsAre(HasSubstr("shards: must be a list")));
  EXPECT_THAT(Mistakes(SpecOf("hash", "[]")), ElementsAre(HasSubstr("must be an object, is a array")));
  EXPECT_THAT(Mistakes(SpecOf("hash", R"({"modulus": 8})")), IsEmpty());
}

}  // namespace
}  // namespace quarry
