#include "core/routing/lookup_resolver.h"

#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/unit/core/routing/routing_testing.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Key Id(int64_t id) { return {Value::Int64(id)}; }

TEST(LookupResolverTest, AnswersDeclaredEntriesInBothForms) {
  for (const char* entries : {R"({"entries": {"7": "s1", "-8": "s2"}})",
                              R"({"entries": [{"key": 7, "shard": "s1"}, {"key": [-8], "shard": "s2"}]})"}) {
    ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("lookup", entries)));
    EXPECT_EQ(ShardOf(*resolver, Id(7)), 1);
    EXPECT_EQ(ShardOf(*resolver, Id(-8)), 2);
    EXPECT_EQ(resolver->shards(), Shards({1, 2}));
    const absl::StatusOr<ShardId> unknown = resolver->Resolve(Id(9));
    EXPECT_THAT(unknown, StatusIs(absl::StatusCode::kNotFound));
    EXPECT_THAT(unknown, HasReason(reason::kKeyNotMapped));
    EXPECT_EQ(DetailOf(unknown.status()).facts.count("directory"), 0U);
    EXPECT_THAT(resolver->Explain(Id(9)), HasReason(reason::kKeyNotMapped));
  }
}

TEST(LookupResolverTest, ExplainsADeclaredEntry) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("lookup", R"({"entries": {"7": "s1"}})")));
  ASSERT_OK_AND_ASSIGN(const RouteExplanation explanation, resolver->Explain(Id(7)));
  EXPECT_EQ(explanation.shard, ShardId{1});
  EXPECT_EQ(explanation.words, "customer_id 7 is a declared entry of shard s1");
  EXPECT_EQ(explanation.facts.at("source"), "entry");
}

TEST(LookupResolverTest, KeysAreEqualAsTheDatabasesSay) {
  const auto spec = WithKey(
      SpecOf("lookup", R"({"entries": [{"key": ["1.50", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "12:00"],
                                                              "shard": "s3"}]})"),
      {{"amount", TypeKind::kDecimal}, {"id", TypeKind::kUuid}, {"at", TypeKind::kTime}});
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(spec));
  const Value uuid = Value::Uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
  EXPECT_EQ(ShardOf(*resolver, {Value::Decimal("1.5"), uuid, Value::Time("12:00:00")}), 3);
  EXPECT_THAT(resolver->Resolve({Value::Decimal("-1.5"), uuid, Value::Time("12:00:00")}),
              HasReason(reason::kKeyNotMapped));
}

TEST(LookupResolverTest, AssignsNewKeysAsDeclared) {
  ASSERT_OK_AND_ASSIGN(const auto fixed,
                       Make(SpecOf("lookup", R"({"entries": {"1": "s0"}, "new_keys": {"assign": "s2"}})")));
  EXPECT_EQ(ShardOf(*fixed, Id(1)), 0);
  EXPECT_EQ(ShardOf(*fixed, Id(99)), 2);
  EXPECT_EQ(fixed->shards(), Shards({0, 2}));
  EXPECT_THAT(fixed->Explain(Id(99))->words,
              HasSubstr("customer_id 99 is a new key, and new keys are assigned to shard s2"));
  ASSERT_OK_AND_ASSIGN(const auto hashed, Make(SpecOf("lookup", R"({"new_keys": {"assign": "hash"}})")));
  ASSERT_OK_AND_ASSIGN(const auto hash, Make(SpecOf("hash")));
  for (int64_t id = 0; id < 50; ++id) EXPECT_EQ(ShardOf(*hashed, Id(id)), ShardOf(*hash, Id(id)));
}

TEST(LookupResolverTest, SaysWhereToAskWhenADirectoryMayKnow) {
  ASSERT_OK_AND_ASSIGN(
      const auto resolver,
      Make(
          SpecOf("lookup",
                 R"({"entries": {"1": "s0"}, "directory": {"shard": "s3"}, "new_keys": {"assign": "s2"}})")));
  const LookupResolver* lookup = AsLookup(*resolver);
  ASSERT_NE(lookup, nullptr);
  EXPECT_EQ(lookup->directory(), ShardId{3});
  EXPECT_EQ(resolver->shards(), Shards({0, 1, 2, 3}));
  const absl::StatusOr<ShardId> unknown = resolver->Resolve(Id(5));
  EXPECT_THAT(unknown, HasReason(reason::kKeyNotMapped));
  EXPECT_EQ(DetailOf(unknown.status()).facts["directory"], "s3");
  EXPECT_EQ(*lookup->NewKeyShard(Id(5)), ShardId{2});
}

TEST(LookupResolverTest, RemembersAndForgetsWhatTheDirectorySaid) {
  ASSERT_OK_AND_ASSIGN(const auto resolver,
                       Make(SpecOf("lookup", R"({"entries": {"1": "s0"}, "directory": {"shard": "s3"}})")));
  const LookupResolver& lookup = *AsLookup(*resolver);
  lookup.Learn(Id(5), ShardId{1});
  EXPECT_EQ(ShardOf(*resolver, Id(5)), 1);
  EXPECT_THAT(resolver->Explain(Id(5))->words, HasSubstr("is in the stored directory, for shard s1"));
  lookup.Learn(Id(5), ShardId{2});
  EXPECT_EQ(ShardOf(*resolver, Id(5)), 2);
  EXPECT_EQ(lookup.keys_learned(), 1U);
  lookup.Learn(Id(1), ShardId{2});
  EXPECT_EQ(ShardOf(*resolver, Id(1)), 0) << "a declared entry stays above the directory";
  lookup.Forget(Id(5));
  EXPECT_THAT(resolver->Resolve(Id(5)), HasReason(reason::kKeyNotMapped));
  lookup.Learn(Id(6), ShardId{77});
  lookup.Learn({Value::Double(1)}, ShardId{1});
  lookup.Learn({}, ShardId{1});
  EXPECT_EQ(lookup.keys_learned(), 1U);
  lookup.ForgetAll();
  EXPECT_EQ(lookup.keys_learned(), 0U);
  EXPECT_THAT(lookup.NewKeyShard(Id(5)), HasReason(reason::kKeyNotMapped));
}

TEST(LookupResolverTest, RefusesNullsAndKeysOfAnotherWidth) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("lookup", R"({"new_keys": {"assign": "hash"}})")));
  EXPECT_THAT(resolver->Resolve({Value::Null()}), HasReason(reason::kInvalidField));
  EXPECT_THAT(resolver->Resolve({}), HasReason(reason::kInvalidField));
  EXPECT_THAT(resolver->Resolve({Value::Json("1")}), HasReason(reason::kInvalidField));
}

TEST(LookupResolverTest, ReportsEveryMistakeAtOnce) {
  EXPECT_THAT(
      Mistakes(SpecOf(
          "lookup",
          R"({"entries": [{"key": 1, "shard": "s0"}, {"key": 1, "shard": "s1"}, {"shard": "s1"}, {"key": 2},
                                             {"key": [1, 2], "shard": "s0"}, "x"],
                                 "new_keys": "maybe", "directory": {}, "cache_keys": 0})")),
      ElementsAre(HasSubstr("entries[1].key: is mapped twice"), HasSubstr("entries[2].key: is missing"),
                  HasSubstr("entries[3].shard: is missing"), HasSubstr("entries[4].key: must hold 1 value"),
                  HasSubstr("entries[5]: must be an object"), HasSubstr("new_keys: must be `refuse`"),
                  HasSubstr("directory.shard: is missing"), HasSubstr("cache_keys: must be an integer")));
  EXPECT_THAT(Mistakes(SpecOf("lookup", "{}")), ElementsAre(HasSubstr("entries: no key has a shard")));
  EXPECT_THAT(
      Mistakes(SpecOf("lookup", R"({"entries": {"x": "s0", "2": "s9"}, "new_keys": {"assign": "s7"}})")),
      ElementsAre(HasSubstr("entries.2: there is no shard"),
                  HasSubstr("entries.x: is not a well-formed int64"),
                  HasSubstr("new_keys.assign: there is no shard")));
  EXPECT_THAT(Mistakes(WithKey(SpecOf("lookup", R"({"entries": {"x": "s0"}})"),
                               {{"a", TypeKind::kText}, {"b", TypeKind::kText}})),
              ElementsAre(HasSubstr("entries: the key has several columns")));
  EXPECT_THAT(Mistakes(SpecOf("lookup", R"({"directory": {"shard": "s0"}})")), IsEmpty());
}

TEST(ResolutionCacheTest, StaysWithinItsBoundAndKeepsWhatIsAskedFor) {
  constexpr size_t kKeysMax = 256;
  ResolutionCache cache(kKeysMax);
  const Key hot = Id(-1);
  cache.Learn(*ProbeOf(hot), ShardId{3});
  for (int64_t id = 0; id < 20'000; ++id) {
    const Key key = Id(id);
    cache.Learn(*ProbeOf(key), ShardId{static_cast<uint32_t>(id % 4)});
    ASSERT_EQ(cache.Find(*ProbeOf(hot)), ShardId{3}) << id;
  }
  EXPECT_LE(cache.size(), kKeysMax);
  EXPECT_GT(cache.size(), kKeysMax / 2);
}

TEST(ResolutionCacheTest, ReusesThePlacesOfForgottenKeys) {
  ResolutionCache cache(1);
  for (int64_t id = 0; id < 100; ++id) {
    const Key key = Id(id);
    cache.Learn(*ProbeOf(key), ShardId{1});
    EXPECT_EQ(cache.size(), 1U);
    if (id % 2 == 0) cache.Forget(*ProbeOf(key));
  }
  cache.Clear();
  EXPECT_EQ(cache.size(), 0U);
}

TEST(ResolutionCacheTest, NeverAnswersAnotherKeysShardUnderConcurrentUse) {
  ResolutionCache cache(512);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&cache, &wrong, thread] {
      for (int64_t i = 0; i < 20'000; ++i) {
        const int64_t id = (i * 31 + thread * 17) % 2000;
        const Key key = {Value::Int64(id)};
        const KeyProbe probe = *ProbeOf(key);
        const std::optional<ShardId> found = cache.Find(probe);
        if (found && *found != ShardId{static_cast<uint32_t>(id % 7)}) ++wrong;
        if (!found) cache.Learn(probe, ShardId{static_cast<uint32_t>(id % 7)});
        if (i % 13 == 0) cache.Forget(probe);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(cache.size(), 512U);
}

}  // namespace
}  // namespace quarry
