// Pruning by examples, and for random predicates over every resolver: no row is on a shard that is not asked.
#include "core/plan/prune.h"

#include <iostream>
#include <random>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/merge/aggregate.h"
#include "core/plan/route.h"
#include "core/routing/lookup_resolver.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/plan/filter_testing.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr size_t kShards = 8;

// places(country, city, n, note) with the key (country, city, n), sharded by the first two, or by n alone.
std::shared_ptr<const Snapshot> PlacesSnapshot(const std::string& type, const std::string& options, bool by_number) {
  const std::vector<std::string> key = by_number ? std::vector<std::string>{"n"} : std::vector<std::string>{"country", "city"};
  const auto made = MakeSnapshot(
      kShards, {Dialect::kPostgres},
      {{Declare("places", TableKind::kSharded, key),
        MakeSchema("places",
                   {MakeColumn("note", TypeKind::kText), MakeColumn("country", TypeKind::kText, false),
                    MakeColumn("city", TypeKind::kText, false), MakeColumn("n", TypeKind::kInt64, false)},
                   {"country", "city", "n"})}});
  ResolverSpec spec;
  spec.name = "sum";
  spec.type = type;
  spec.key_columns = key;
  for (size_t i = 0; i < key.size(); ++i) spec.key_types.push_back({by_number ? TypeKind::kInt64 : TypeKind::kText, false, ""});
  for (size_t i = 0; i < kShards; ++i) spec.shards.push_back(absl::StrCat("s", i));
  spec.options = nlohmann::json::parse(options);
  ResolverRegistry registry;
  RegisterBuiltinResolvers(registry);
  absl::StatusOr<std::shared_ptr<const Resolver>> resolver = registry.Make(spec);
  EXPECT_THAT(resolver, IsOk());
  auto snapshot = std::make_shared<Snapshot>(*made);
  snapshot->resolvers["sum"] = *resolver;
  return snapshot;
}

constexpr char kRanges[] = R"({"ranges": [{"to": 10, "shard": "s0"}, {"from": 10, "to": 20, "shard": "s1"},
                               {"from": 20, "to": 30, "shard": "s2"}, {"from": 30, "shard": "s3"}]})";
constexpr char kTextRanges[] = R"({"ranges": [{"to": ["b"], "shard": "s0"}, {"from": ["b"], "to": ["b", "m"], "shard": "s1"},
    {"from": ["b", "m"], "to": ["c", "c"], "shard": "s2"}, {"from": ["c", "c"], "shard": "s3"}]})";
constexpr char kRegions[] = R"({"regions": [{"match": {"country": "a"}, "shard": "s0"}, {"match": {"country": "b"}, "shard": "s1"},
    {"match": {"country": "b", "city": ["a", "b"]}, "shard": "s2"}, {"match": {"city": "c"}, "shard": "s3"}], "default": "s4"})";
constexpr char kEntries[] = R"({"entries": {"1": "s1", "2": "s2", "3": "s3"}, "directory": {"shard": "s0"}})";

std::vector<uint32_t> Pruned(const Snapshot& snapshot, const std::string& table, const std::string& text,
                             std::string* words = nullptr, std::vector<Key>* unmapped = nullptr) {
  const absl::StatusOr<Predicate> predicate = CheckText(snapshot, table, text);
  EXPECT_THAT(predicate, IsOk()) << text;
  if (!predicate.ok()) return {};
  const absl::StatusOr<ScatterRoute> route = Prune(*predicate, TableOf(snapshot, table), snapshot, ShardId{5}, unmapped);
  EXPECT_THAT(route, IsOk()) << text;
  if (!route.ok()) return {};
  if (words != nullptr) *words = route->words;
  std::vector<uint32_t> shards;
  for (const ShardId shard : route->shards) shards.push_back(static_cast<uint32_t>(Index(shard)));
  return shards;
}

TEST(PruneTest, EqualityAndListsGiveTheirShards) {
  const auto shop = FilterSnapshot();  // The shard is the key modulo 8.
  std::string words;
  EXPECT_THAT(Pruned(*shop, "orders", "customer = 11 AND paid = TRUE", &words), ElementsAre(3));
  EXPECT_EQ(words, "customer = … gives 1 of 8 shards (sum)");
  EXPECT_THAT(Pruned(*shop, "orders", "customer IN (1, 2, 9)", &words), ElementsAre(1, 2));
  EXPECT_EQ(words, "customer in 3 values gives 2 of 8 shards (sum)");
  EXPECT_THAT(Pruned(*shop, "orders", "customer = 1 OR (customer = 4 AND paid = TRUE) OR 5 = customer"), ElementsAre(1, 4, 5));
  EXPECT_THAT(Pruned(*shop, "orders", "customer IN (1, 2) AND customer IN (2, 3)"), ElementsAre(2));
  EXPECT_THAT(Pruned(*shop, "orders", "customer BETWEEN 3 AND 5"), ElementsAre(3, 4, 5));
  EXPECT_THAT(Pruned(*shop, "orders", "NOT (customer < 3 OR customer >= 5 OR customer = 99)"), ElementsAre(3, 4));
  EXPECT_THAT(Pruned(*shop, "orders", "customer = 1 OR paid = TRUE", &words).size(), 8u);
  EXPECT_EQ(words, "the filter says nothing of the shard key (customer), so all 8 shards are asked");
  EXPECT_EQ(Pruned(*shop, "orders", "customer != 1").size(), 8u);
  EXPECT_EQ(Pruned(*shop, "orders", "customers.id = 1").size(), 8u);
}

TEST(PruneTest, AContradictionAsksNobody) {
  const auto shop = FilterSnapshot();
  std::string words;
  EXPECT_THAT(Pruned(*shop, "orders", "customer = 1 AND customer = 2", &words), IsEmpty());
  EXPECT_EQ(words, "the filter is true of no row, so no shard is asked");
  EXPECT_THAT(Pruned(*shop, "orders", "customer > 5 AND customer < 6"), IsEmpty());
  EXPECT_THAT(Pruned(*shop, "orders", "customer IN () OR (customer = 1 AND NOT customer = 1 AND customer = 2)"), IsEmpty());
  EXPECT_THAT(Pruned(*shop, "jobs", "id IN ()"), IsEmpty());
}

TEST(PruneTest, OtherTablesHaveTheirPlace) {
  const auto shop = FilterSnapshot();
  EXPECT_THAT(Pruned(*shop, "jobs", "id = 5"), ElementsAre(0));
  std::string words;
  EXPECT_THAT(Pruned(*shop, "countries", "code = 'x'", &words), ElementsAre(5));
  EXPECT_EQ(words, "every shard holds all rows of \"countries\"; s5 is asked");
}

TEST(PruneTest, RangesGiveWhatTheyMeet) {
  const auto by_number = PlacesSnapshot("range", kRanges, true);
  EXPECT_THAT(Pruned(*by_number, "places", "n < 10"), ElementsAre(0));
  EXPECT_THAT(Pruned(*by_number, "places", "n <= 10"), ElementsAre(0, 1));
  EXPECT_THAT(Pruned(*by_number, "places", "n > 9 AND n < 200 AND n < 21"), ElementsAre(1, 2));
  EXPECT_THAT(Pruned(*by_number, "places", "n >= 20"), ElementsAre(2, 3));
  EXPECT_THAT(Pruned(*by_number, "places", "n < 5 OR n > 1000"), ElementsAre(0, 3));
  const auto by_place = PlacesSnapshot("range", kTextRanges, false);
  EXPECT_THAT(Pruned(*by_place, "places", "country = 'b'"), ElementsAre(1, 2));
  EXPECT_THAT(Pruned(*by_place, "places", "country = 'b' AND city < 'm'"), ElementsAre(1));
  EXPECT_THAT(Pruned(*by_place, "places", "country = 'b' AND city LIKE 'z%'"), ElementsAre(2));
  EXPECT_THAT(Pruned(*by_place, "places", "starts_with(country, 'a')"), ElementsAre(0));
  EXPECT_THAT(Pruned(*by_place, "places", "country > 'd'"), ElementsAre(3));
  EXPECT_THAT(Pruned(*by_place, "places", "country <= 'b'"), ElementsAre(0, 1, 2));
}

TEST(PruneTest, APatternWithoutWildcardsIsItsText) {
  const auto places = PlacesSnapshot("geo", kRegions, false);
  EXPECT_THAT(Pruned(*places, "places", "country LIKE 'b' AND city LIKE 'a'"), ElementsAre(2));
  EXPECT_THAT(Pruned(*places, "places", "country LIKE 'b' AND city LIKE '\\a'"), ElementsAre(2));
  EXPECT_THAT(Pruned(*places, "places", "country LIKE 'b' AND city LIKE '_'"), ElementsAre(1, 2));
}

// Fails for every key, in a way that says nothing of where it lives.
class BrokenResolver final : public Resolver {
 public:
  const std::string& name() const override { return name_; }
  const std::string& type() const override { return name_; }
  const ShardSet& shards() const override { return shards_; }
  absl::StatusOr<ShardId> Resolve(absl::Span<const Value>) const override { return absl::InternalError("broken"); }
  absl::StatusOr<RouteExplanation> Explain(absl::Span<const Value>) const override { return absl::InternalError("broken"); }

 private:
  const std::string name_ = "broken";
  const ShardSet shards_ = {ShardId{0}, ShardId{2}, ShardId{5}};
};

TEST(PruneTest, AsksEveryShardOfAResolverThatFails) {
  auto shop = std::make_shared<Snapshot>(*FilterSnapshot());
  shop->resolvers["sum"] = std::make_shared<BrokenResolver>();
  std::string words;
  EXPECT_THAT(Pruned(*shop, "orders", "customer = 1", &words), ElementsAre(0, 2, 5));
  EXPECT_EQ(words, "customer = … gives 3 of 3 shards (broken)");
}

TEST(PruneTest, FailsForATableWithoutItsResolver) {
  auto shop = std::make_shared<Snapshot>(*FilterSnapshot());
  shop->resolvers.clear();
  ASSERT_OK_AND_ASSIGN(const Predicate predicate, CheckText(*shop, "orders", "customer = 1"));
  const absl::Status status = Prune(predicate, TableOf(*shop, "orders"), *shop, ShardId{0}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(), "no resolver for table orders");
}

TEST(PruneTest, GeoUsesTheColumnsThatAreKnown) {
  const auto places = PlacesSnapshot("geo", kRegions, false);
  EXPECT_THAT(Pruned(*places, "places", "country = 'b' AND city = 'a'"), ElementsAre(2));
  EXPECT_THAT(Pruned(*places, "places", "country = 'b'"), ElementsAre(1, 2));
  EXPECT_THAT(Pruned(*places, "places", "country = 'a'"), ElementsAre(0));
  EXPECT_THAT(Pruned(*places, "places", "country = 'z'"), ElementsAre(3, 4));
  EXPECT_THAT(Pruned(*places, "places", "city = 'a'"), ElementsAre(0, 1, 2, 4));
}

TEST(PruneTest, TellsTheKeysThatADirectoryMayKnow) {
  const auto places = PlacesSnapshot("lookup", kEntries, true);
  std::vector<Key> unmapped;
  EXPECT_THAT(Pruned(*places, "places", "n IN (1, 3, 77)", nullptr, &unmapped), ElementsAre(1, 3));
  EXPECT_THAT(unmapped, ElementsAre(Key{Value::Int64(77)}));
  EXPECT_EQ(Pruned(*places, "places", "n IN (1, 3, 77)").size(), 8u);
  const auto closed = PlacesSnapshot("lookup", R"({"entries": {"1": "s1"}})", true);
  EXPECT_THAT(Pruned(*closed, "places", "n IN (1, 77)"), ElementsAre(1));
}

TEST(PruneTest, ALargeProductWidensAndStaysQuick) {
  const auto places = PlacesSnapshot("hash", "{}", false);
  Params params;
  std::vector<Value> names;
  for (int i = 0; i < 9'000; ++i) names.push_back(Value::Text(absl::StrCat("x", i)));
  params["names"] = Value::Array(names);
  ASSERT_OK_AND_ASSIGN(const Predicate predicate, CheckText(*places, "places", "country IN @names AND city IN @names", params));
  ASSERT_OK_AND_ASSIGN(const ScatterRoute route, Prune(predicate, TableOf(*places, "places"), *places, ShardId{0}));
  EXPECT_EQ(route.shards.size(), kShards);
}

// Random predicates over few values, so that rows match.
class Random {
 public:
  explicit Random(uint64_t seed) : random_(seed) {}
  size_t Below(size_t bound) { return random_() % bound; }
  Value Number() { return Value::Int64(static_cast<int64_t>(Below(40)) - 2); }
  Value Name() { return Value::Text(std::string(1 + Below(2), static_cast<char>('a' + Below(5)))); }

  Condition Any(size_t depth) {
    Condition condition;
    const size_t choice = Below(depth == 0 ? 6 : 10);
    if (choice >= 6) {
      condition.kind = choice == 6 ? Condition::Kind::kNot : choice == 7 ? Condition::Kind::kOr : Condition::Kind::kAnd;
      const size_t count = choice == 6 ? 1 : 1 + Below(4);
      for (size_t i = 0; i < count; ++i) condition.children.push_back(Any(depth - 1));
      return condition;
    }
    const char* const columns[] = {"country", "city", "n", "note"};
    condition.column = columns[Below(4)];
    const bool number = condition.column == "n";
    const auto value = [&] { return number ? Number() : Name(); };
    switch (number && choice == 4 ? 0 : choice) {
      case 0:
      case 1:
        condition.kind = Condition::Kind::kCompare;
        condition.op = static_cast<CompareOp>(Below(6));
        condition.values = {value()};
        break;
      case 2:
        condition.kind = Condition::Kind::kIn;
        for (size_t i = Below(5); i > 0; --i) condition.values.push_back(value());
        break;
      case 3:
        condition.kind = Condition::Kind::kBetween;
        condition.values = {value(), value()};
        break;
      case 4:
        condition.kind = Below(2) == 0 ? Condition::Kind::kPrefix : Condition::Kind::kLike;
        condition.values = {Value::Text(Name().text() + (condition.kind == Condition::Kind::kLike ? "%" : ""))};
        break;
      default:
        condition.kind = Condition::Kind::kIsNull;
    }
    return condition;
  }

 private:
  std::mt19937_64 random_;
};

void CheckAgainstRows(const Snapshot& snapshot, Random& random, int predicates) {
  const Table& table = TableOf(snapshot, "places");
  std::set<size_t> sizes;
  for (int i = 0; i < predicates; ++i) {
    const Condition condition = random.Any(3);
    ASSERT_OK_AND_ASSIGN(const Predicate predicate, CheckFilter(condition, table, snapshot.catalog, FilterLimits()));
    std::vector<Key> unmapped;
    ASSERT_OK_AND_ASSIGN(const ScatterRoute route,
                         Prune(predicate, table, snapshot, ShardId{0}, random.Below(2) == 0 ? &unmapped : nullptr));
    sizes.insert(route.shards.size());
    for (int row_index = 0; row_index < 30; ++row_index) {
      const Row row = {random.Below(4) == 0 ? Value::Null() : random.Name(), random.Name(), random.Name(), random.Number()};
      if (Evaluate(predicate, row) != true) continue;
      const absl::StatusOr<ShardId> shard = ShardOfRow(table, {row[1], row[2], row[3]}, snapshot);
      if (!shard.ok()) continue;  // No row of this key is anywhere.
      ASSERT_TRUE(std::binary_search(route.shards.begin(), route.shards.end(), *shard))
          << ConditionText(condition) << "\nrow " << ValuesText(row) << "\n" << route.words;
    }
  }
  EXPECT_GT(sizes.size(), 1u) << "nothing was pruned";
}

TEST(PruneTest, NeverLeavesOutTheShardOfAMatchingRow) {
  const uint64_t seed = std::random_device()();
  std::cerr << "seed " << seed << "\n";
  Random random(seed);
  for (const bool by_number : {false, true}) {
    CheckAgainstRows(*PlacesSnapshot("hash", "{}", by_number), random, 800);
    CheckAgainstRows(*PlacesSnapshot("consistent_hash", "{}", by_number), random, 800);
  }
  CheckAgainstRows(*PlacesSnapshot("range", kRanges, true), random, 800);
  CheckAgainstRows(*PlacesSnapshot("range", kTextRanges, false), random, 800);
  CheckAgainstRows(*PlacesSnapshot("geo", kRegions, false), random, 800);
  CheckAgainstRows(*PlacesSnapshot("lookup", kEntries, true), random, 800);
  CheckAgainstRows(*PlacesSnapshot("lookup", R"({"entries": {"1": "s1", "2": "s2"}, "new_keys": {"assign": "s7"}})", true), random,
                   800);
}

}  // namespace
}  // namespace quarry
