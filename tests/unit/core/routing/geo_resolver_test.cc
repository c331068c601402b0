#include "core/routing/geo_resolver.h"

#include "absl/strings/str_cat.h"
#include "tests/unit/core/routing/routing_testing.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kRegions[] = R"({"default": "s3", "regions": [
  {"match": {"country": "US"}, "shard": "s0"},
  {"match": {"country": "US", "state": ["CA", "OR"]}, "shard": "s1"},
  {"match": {"country": ["DE", "FR"]}, "shard": "s2"},
  {"match": {"state": "XX"}, "shard": "s1"}]})";

ResolverSpec GeoSpec(const char* options = kRegions) {
  return WithKey(SpecOf("geo", options), {{"country", TypeKind::kText}, {"state", TypeKind::kText}});
}

Key Place(const char* country, const char* state) { return {Value::Text(country), Value::Text(state)}; }

TEST(GeoResolverTest, TheMostSpecificRegionWins) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(GeoSpec()));
  EXPECT_EQ(ShardOf(*resolver, Place("US", "CA")), 1);
  EXPECT_EQ(ShardOf(*resolver, Place("US", "OR")), 1);
  EXPECT_EQ(ShardOf(*resolver, Place("US", "NY")), 0);
  EXPECT_EQ(ShardOf(*resolver, Place("DE", "BY")), 2);
  EXPECT_EQ(ShardOf(*resolver, Place("JP", "13")), 3);
  EXPECT_EQ(ShardOf(*resolver, Place("us", "CA")), 3) << "text equality is byte equality";
  EXPECT_EQ(resolver->shards(), Shards({0, 1, 2, 3}));
}

TEST(GeoResolverTest, AmongEquallySpecificRegionsTheOneOfTheEarlierColumnWins) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(GeoSpec()));
  EXPECT_EQ(ShardOf(*resolver, Place("DE", "XX")), 2);
  EXPECT_EQ(ShardOf(*resolver, Place("JP", "XX")), 1);
}

TEST(GeoResolverTest, AKeyMayHoldMoreThanThePlace) {
  const auto spec = WithKey(
      SpecOf("geo", R"({"columns": ["country"], "regions": [{"match": {"country": "US"}, "shard": "s2"}]})"),
      {{"id", TypeKind::kInt64}, {"country", TypeKind::kText}});
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(spec));
  EXPECT_EQ(ShardOf(*resolver, {Value::Int64(1), Value::Text("US")}), 2);
  EXPECT_THAT(resolver->Resolve({Value::Int64(1), Value::Text("DE")}), HasReason(reason::kKeyNotMapped));
  EXPECT_THAT(resolver->Resolve({Value::Int64(1)}), HasReason(reason::kInvalidField));
}

TEST(GeoResolverTest, ExplainsItsAnswer) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(GeoSpec()));
  EXPECT_EQ(resolver->Explain(Place("US", "CA"))->words,
            "country 'US', state 'CA' is in regions[1], matched by country, state, which shard s1 owns");
  EXPECT_EQ(resolver->Explain(Place("JP", "13"))->words,
            "country 'JP', state '13' is in no declared region, so it goes to the default, shard s3");
  EXPECT_EQ(resolver->Explain(Place("DE", "BY"))->facts.at("matched"), "country");
}

TEST(GeoResolverTest, ReportsEveryMistakeAtOnce) {
  EXPECT_THAT(
      Mistakes(GeoSpec(R"({"default": "nowhere", "columns": ["country", "stat", "country"], "regions": [
                {"match": {"country": 5}, "shard": "s0"}, {"match": {}, "shard": "s0"}, {"match": {"county": "x"}},
                {"shard": "s1", "match": {"country": []}}, 3]})")),
      ElementsAre(
          HasSubstr("columns[1]: \"stat\" is no column of the shard key (did you mean \"state\"?)"),
          HasSubstr("columns[2]: stands twice"), HasSubstr("default: there is no shard"),
          HasSubstr(
              "regions[0].match.country: must be of the column's type text, is a number: write it in quotes"),
          HasSubstr("regions[1].match: must be an object"), HasSubstr("regions[2].shard: is missing"),
          HasSubstr("regions[2].match.county: is no column of this resolver (did you mean \"country\"?)"),
          HasSubstr("regions[3].match.country: an empty list"), HasSubstr("regions[4]: must be an object")));
  EXPECT_THAT(Mistakes(GeoSpec(R"({"regions": [{"match": {"country": ["US", "DE"]}, "shard": "s0"},
                                               {"match": {"country": "DE"}, "shard": "s1"}]})")),
              ElementsAre(HasSubstr("regions[1].match: repeats a place of regions[0]")));
  EXPECT_THAT(Mistakes(GeoSpec("{}")), ElementsAre(HasSubstr("regions: must be a list")));
}

TEST(GeoResolverTest, RefusesARegionOfTooManyCombinations) {
  const auto mistakes = [](int states) {
    nlohmann::json countries = nlohmann::json::array();
    for (int i = 0; i < 500; ++i) countries.push_back(absl::StrCat("c", i));
    nlohmann::json more = nlohmann::json::array();
    for (int i = 0; i < states; ++i) more.push_back(absl::StrCat("t", i));
    ResolverSpec spec = GeoSpec("{}");
    spec.options["regions"] = {
        {{"match", {{"country", countries}, {"state", more}}}, {"shard", "s0"}}};
    return Mistakes(spec);
  };
  EXPECT_THAT(mistakes(200), IsEmpty());
  EXPECT_THAT(mistakes(201),
              ElementsAre("regions[0].match: lists more than 100000 combinations: split it"));
}

TEST(GeoResolverTest, APartOfAKeyMeetsTheRegionsThatAgree) {
  const ResolverSpec spec = WithKey(
      SpecOf("geo", R"({"columns": ["country", "state"], "regions": [{"match": {"country": "US"}, "shard": "s0"},
          {"match": {"country": "US", "state": ["CA", "OR"]}, "shard": "s1"}, {"match": {"country": "DE"}, "shard": "s2"}],
          "default": "s3"})"),
      {{"country", TypeKind::kText}, {"state", TypeKind::kText}, {"id", TypeKind::kInt64}});
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const Resolver> resolver, Make(spec));
  const auto partial = [&](std::optional<Value> country, std::optional<Value> state) {
    const std::vector<std::optional<Value>> key = {country, state, std::nullopt};
    return *resolver->ResolvePartial(key);
  };
  EXPECT_EQ(partial(Value::Text("US"), std::nullopt), Shards({0, 1}));
  EXPECT_EQ(partial(Value::Text("US"), Value::Text("CA")), Shards({1}));
  EXPECT_EQ(partial(Value::Text("US"), Value::Text("TX")), Shards({0}));
  EXPECT_EQ(partial(Value::Text("DE"), std::nullopt), Shards({2}));
  EXPECT_EQ(partial(std::nullopt, Value::Text("CA")), Shards({0, 1, 2, 3}));
  EXPECT_EQ(partial(std::nullopt, Value::Text("TX")), Shards({0, 2, 3}));
  const Key prefix = {Value::Text("US")};
  EXPECT_EQ(*resolver->ResolvePrefix(prefix), Shards({0, 1}));
}

}  // namespace
}  // namespace quarry
