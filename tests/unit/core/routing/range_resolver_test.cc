#include "core/routing/range_resolver.h"

#include <limits>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/unit/core/routing/routing_testing.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kTens[] = R"({"ranges": [{"from": 10, "to": 20, "shard": "s1"}, {"to": 10, "shard": "s0"},
                                        {"from": 20, "shard": "s2"}]})";

KeyRange Ints(std::optional<int64_t> from, std::optional<int64_t> to) {
  KeyRange range;
  if (from) range.from = Key{Value::Int64(*from)};
  if (to) range.to = Key{Value::Int64(*to)};
  return range;
}

TEST(RangeResolverTest, TakesTheFirstKeyOfARangeAndNotItsEnd) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("range", kTens)));
  const auto shard = [&resolver](int64_t id) { return ShardOf(*resolver, {Value::Int64(id)}); };
  EXPECT_EQ(shard(std::numeric_limits<int64_t>::min()), 0);
  EXPECT_EQ(shard(9), 0);
  EXPECT_EQ(shard(10), 1);
  EXPECT_EQ(shard(19), 1);
  EXPECT_EQ(shard(20), 2);
  EXPECT_EQ(shard(std::numeric_limits<int64_t>::max()), 2);
  EXPECT_EQ(resolver->shards(), Shards({0, 1, 2}));
}

TEST(RangeResolverTest, PrunesARangeToTheShardsThatMayHoldIt) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("range", kTens)));
  EXPECT_EQ(*resolver->ResolveRange(Ints(10, 20)), Shards({1}));
  EXPECT_EQ(*resolver->ResolveRange(Ints(9, 10)), Shards({0}));
  EXPECT_EQ(*resolver->ResolveRange(Ints(9, 11)), Shards({0, 1}));
  EXPECT_EQ(*resolver->ResolveRange(Ints(19, std::nullopt)), Shards({1, 2}));
  EXPECT_EQ(*resolver->ResolveRange(Ints(std::nullopt, 10)), Shards({0}));
  EXPECT_EQ(*resolver->ResolveRange(Ints(std::nullopt, 11)), Shards({0, 1}));
  EXPECT_EQ(*resolver->ResolveRange({}), Shards({0, 1, 2}));
  EXPECT_THAT(*resolver->ResolveRange(Ints(5, 5)), IsEmpty());
  EXPECT_THAT(*resolver->ResolveRange(Ints(30, 5)), IsEmpty());
  EXPECT_THAT(resolver->ResolveRange({Key{Value::Double(1)}, std::nullopt}),
              HasReason(reason::kInvalidField));
}

TEST(RangeResolverTest, PruningNeverLosesAShardThatHoldsAKey) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  std::uniform_int_distribution<int64_t> number(-60, 60);
  for (int round = 0; round < 200; ++round) {
    nlohmann::json options = {{"default", "s3"}, {"ranges", nlohmann::json::array()}};
    int64_t at = -50;
    for (int i = 0; i < 6; ++i) {
      const int64_t from = at + static_cast<int64_t>(random() % 8);
      at = from + 1 + static_cast<int64_t>(random() % 10);
      options["ranges"].push_back({{"from", from}, {"to", at}, {"shard", absl::StrCat("s", random() % 3)}});
    }
    ResolverSpec spec = SpecOf("range");
    spec.options = options;
    ASSERT_OK_AND_ASSIGN(const auto resolver, Make(spec));
    const int64_t from = number(random);
    const int64_t to = number(random);
    std::vector<ShardId> expected;
    for (int64_t id = from; id < to; ++id) expected.push_back(*resolver->Resolve({Value::Int64(id)}));
    std::sort(expected.begin(), expected.end());
    expected.erase(std::unique(expected.begin(), expected.end()), expected.end());
    EXPECT_EQ(*resolver->ResolveRange(Ints(from, to)), expected)
        << options << " from " << from << " to " << to;
  }
}

TEST(RangeResolverTest, LeavesTheRestToTheDefault) {
  ASSERT_OK_AND_ASSIGN(
      const auto resolver,
      Make(SpecOf("range", R"({"default": "s3", "ranges": [{"from": 0, "to": 5, "shard": "s0"},
                                                                            {"from": 7, "to": 9, "shard": "s1"}]})")));
  const auto shard = [&resolver](int64_t id) { return ShardOf(*resolver, {Value::Int64(id)}); };
  EXPECT_EQ(shard(-1), 3);
  EXPECT_EQ(shard(4), 0);
  EXPECT_EQ(shard(5), 3);
  EXPECT_EQ(shard(7), 1);
  EXPECT_EQ(shard(9), 3);
  EXPECT_EQ(*resolver->ResolveRange(Ints(1, 6)), Shards({0, 3}));
  EXPECT_THAT(resolver->Explain({Value::Int64(6)})->words,
              HasSubstr("customer_id 6 is in no declared range"));
}

TEST(RangeResolverTest, OrdersCompositeKeysPartByPartWithPrefixes) {
  const auto spec = WithKey(
      SpecOf("range",
             R"({"ranges": [{"to": ["DE"], "shard": "s0"}, {"from": "DE", "to": ["DE", 100], "shard": "s1"},
                                                {"from": ["DE", 100], "to": ["FR"], "shard": "s2"}, {"from": ["FR"], "shard": "s3"}]})"),
      {{"country", TypeKind::kText}, {"id", TypeKind::kInt32}});
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(spec));
  const auto shard = [&resolver](const char* country, int64_t id) {
    return ShardOf(*resolver, {Value::Text(country), Value::Int64(id)});
  };
  EXPECT_EQ(shard("CZ", 999), 0);
  EXPECT_EQ(shard("DE", std::numeric_limits<int32_t>::min()), 1);
  EXPECT_EQ(shard("DE", 99), 1);
  EXPECT_EQ(shard("DE", 100), 2);
  EXPECT_EQ(shard("ES", 0), 2);
  EXPECT_EQ(shard("FR", -5), 3);
  EXPECT_EQ(*resolver->ResolveRange({Key{Value::Text("DE")}, Key{Value::Text("DE"), Value::Int64(100)}}),
            Shards({1}));
  EXPECT_EQ(*resolver->ResolveRange({Key{Value::Text("DE")}, Key{Value::Text("DF")}}), Shards({1, 2}));
  EXPECT_EQ(*resolver->ResolveRange({std::nullopt, Key{Value::Text("DE")}}), Shards({0}));
  EXPECT_THAT(resolver->Resolve({Value::Text("DE")}), HasReason(reason::kInvalidField));
}

TEST(RangeResolverTest, OrdersTextByBytes) {
  const auto spec = WithKey(
      SpecOf("range", R"({"ranges": [{"to": "a", "shard": "s0"}, {"from": "a", "to": "z", "shard": "s1"},
                                                {"from": "z", "shard": "s2"}]})"),
      {{"name", TypeKind::kText}});
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(spec));
  EXPECT_EQ(ShardOf(*resolver, {Value::Text("")}), 0);
  EXPECT_EQ(ShardOf(*resolver, {Value::Text("Zebra")}), 0);
  EXPECT_EQ(ShardOf(*resolver, {Value::Text("zebra")}), 2);
  EXPECT_EQ(ShardOf(*resolver, {Value::Text("élan")}), 2);
}

TEST(RangeResolverTest, OrdersDatesTimestampsTimesAndUuids) {
  const auto make = [](TypeKind kind, const char* bound) {
    return *Make(WithKey(
        SpecOf("range", absl::StrCat(R"({"ranges": [{"to": ")", bound, R"(", "shard": "s0"}, {"from": ")",
                                     bound, R"(", "shard": "s1"}]})")),
        {{"at", kind}}));
  };
  const auto dates = make(TypeKind::kDate, "0999-01-01");
  EXPECT_EQ(ShardOf(*dates, {Value::Date("0044-03-15 BC")}), 0);
  EXPECT_EQ(ShardOf(*dates, {Value::Date("0998-12-31")}), 0);
  EXPECT_EQ(ShardOf(*dates, {Value::Date("10000-01-01")}), 1);
  EXPECT_THAT(dates->Resolve({Value::Date("soon")}), HasReason(reason::kInvalidField));
  const auto instants = make(TypeKind::kTimestampTz, "1970-01-01T00:00:00+00:00");
  EXPECT_EQ(ShardOf(*instants, {Value::Timestamp(-1)}), 0);
  EXPECT_EQ(ShardOf(*instants, {Value::Timestamp(0)}), 1);
  const auto times = make(TypeKind::kTime, "12:00");
  EXPECT_EQ(ShardOf(*times, {Value::Time("11:59:59.999999")}), 0);
  EXPECT_EQ(ShardOf(*times, {Value::Time("12:00:00")}), 1);
  const auto uuids = make(TypeKind::kUuid, "80000000-0000-0000-0000-000000000000");
  EXPECT_EQ(ShardOf(*uuids, {Value::Uuid("7fffffff-ffff-ffff-ffff-ffffffffffff")}), 0);
  EXPECT_EQ(ShardOf(*uuids, {Value::Uuid("80000000-0000-0000-0000-000000000000")}), 1);
}

TEST(RangeResolverTest, ExplainsItsAnswer) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("range", kTens)));
  ASSERT_OK_AND_ASSIGN(const RouteExplanation explanation, resolver->Explain({Value::Int64(15)}));
  EXPECT_EQ(explanation.words, "customer_id 15 is in the range [10, 20), which shard s1 owns");
  EXPECT_EQ(resolver->Explain({Value::Int64(1)})->facts.at("range"), "[lowest, 10)");
}

TEST(RangeResolverTest, ReportsGapsAndOverlapsWithTheirPlaces) {
  EXPECT_THAT(
      Mistakes(SpecOf(
          "range",
          R"({"ranges": [{"from": 0, "to": 10, "shard": "s0"}, {"from": 20, "to": 30, "shard": "s1"}]})")),
      ElementsAre(HasSubstr("no range covers the keys from the lowest to 0"),
                  HasSubstr("no range covers the keys from 10 to 20"),
                  HasSubstr("no range covers the keys from 30 to the highest")));
  EXPECT_THAT(
      Mistakes(SpecOf("range", R"({"ranges": [{"to": 10, "shard": "s0"}, {"from": 5, "to": 7, "shard": "s1"},
                                                      {"from": 8, "shard": "s1"}]})")),
      ElementsAre(HasSubstr("ranges[1]: overlaps ranges[0]"), HasSubstr("ranges[2]: overlaps ranges[0]")));
  EXPECT_THAT(
      Mistakes(SpecOf("range", R"({"ranges": [{"shard": "s0"}, {"from": 5, "to": 7, "shard": "s1"}]})")),
      ElementsAre(HasSubstr("ranges[1]: overlaps ranges[0]")));
  EXPECT_THAT(Mistakes(SpecOf("range", R"({"ranges": [{"shard": "s0"}, {"shard": "s1"}]})")),
              ElementsAre(HasSubstr("ranges[1]: overlaps ranges[0]")));
  EXPECT_THAT(Mistakes(SpecOf("range", R"({"ranges": [{"shard": "s0"}]})")), IsEmpty());
}

TEST(RangeResolverTest, ReportsEveryMistakeAtOnce) {
  EXPECT_THAT(
      Mistakes(SpecOf(
          "range", R"({"ranges": [{"from": 9, "to": 3, "shard": "s0"}, {"from": "x", "to": 5, "shard": "s9"},
                                            {"from": 1.5, "shrad": "s1"}, 7, {"from": [1, 2], "shard": "s1"},
                                            {"from": 18446744073709551615, "shard": "s1"}]})")),
      ElementsAre(HasSubstr("ranges[0]: is empty"), HasSubstr("ranges[1].from: is not a well-formed int64"),
                  HasSubstr("ranges[1].shard: there is no shard \"s9\""),
                  HasSubstr("ranges[2].shrad: unknown option (did you mean \"shard\"?)"),
                  HasSubstr("ranges[2].from: must be an integer"), HasSubstr("ranges[2].shard: is missing"),
                  HasSubstr("ranges[3]: must be an object"),
                  HasSubstr("ranges[4].from: must hold at most 1 value"),
                  HasSubstr("ranges[5].from: must be an integer")));
  EXPECT_THAT(Mistakes(SpecOf("range", R"({"ranges": []})")),
              ElementsAre(HasSubstr("ranges: must be a list")));
  EXPECT_THAT(Mistakes(WithKey(SpecOf("range", kTens), {{"price", TypeKind::kDecimal}})),
              ::testing::Contains(HasSubstr("key.price: a column of type decimal cannot be a range key")));
  EXPECT_THAT(
      Mistakes(WithKey(SpecOf("range", R"({"ranges": [{"to": 70000, "shard": "s0"}], "default": "s1"})"),
                       {{"id", TypeKind::kInt16}})),
      ElementsAre(HasSubstr("ranges[0].to: must be an integer from -32768 to 32767")));
}

TEST(RangeResolverTest, APrefixMeetsTheRangesThatHoldItsKeys) {
  const ResolverSpec spec = WithKey(
      SpecOf("range", R"({"ranges": [{"to": ["b"], "shard": "s0"}, {"from": ["b"], "to": ["b", 5], "shard": "s1"},
                          {"from": ["b", 5], "to": ["d"], "shard": "s2"}, {"from": ["d"], "shard": "s3"}]})"),
      {{"place", TypeKind::kText}, {"n", TypeKind::kInt64}});
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const Resolver> resolver, Make(spec));
  const auto prefix = [&](Key key) { return *resolver->ResolvePrefix(key); };
  EXPECT_EQ(prefix({Value::Text("a")}), Shards({0}));
  EXPECT_EQ(prefix({Value::Text("b")}), Shards({1, 2}));
  EXPECT_EQ(prefix({Value::Text("c")}), Shards({2}));
  EXPECT_EQ(prefix({Value::Text("d")}), Shards({3}));
  EXPECT_EQ(prefix({Value::Text("b"), Value::Int64(4)}), Shards({1}));
  EXPECT_EQ(prefix({}), Shards({0, 1, 2, 3}));
  EXPECT_THAT(resolver->ResolvePrefix(Key{Value::Double(1)}), HasReason(reason::kInvalidField));
  const std::vector<std::optional<Value>> second_only = {std::nullopt, Value::Int64(4)};
  EXPECT_EQ(*resolver->ResolvePartial(second_only), Shards({0, 1, 2, 3}));
}

}  // namespace
}  // namespace quarry
