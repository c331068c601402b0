#include "core/routing/resolver.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "tests/unit/core/routing/routing_testing.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ResolverRegistryTest, HoldsTheBuiltinTypesOnce) {
  ResolverRegistry registry;
  RegisterBuiltinResolvers(registry);
  EXPECT_THAT(registry.types(), ElementsAre("consistent_hash", "geo", "hash", "lookup", "range"));
  EXPECT_THAT(registry.Register("hash", nullptr), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST(ResolverRegistryTest, GivesTheResolverItsNameAndType) {
  ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf("hash")));
  EXPECT_EQ(resolver->name(), "by_customer");
  EXPECT_EQ(resolver->type(), "hash");
}

TEST(ResolverRegistryTest, ProposesATypeThatExists) {
  EXPECT_THAT(Mistakes(SpecOf("hsah")),
              ElementsAre(HasSubstr("type: there is no resolver of type \"hsah\" (did you mean \"hash\"?)")));
}

TEST(ResolverRegistryTest, RefusesSpecsThatCannotBe) {
  ResolverSpec spec = SpecOf("hash");
  spec.shards.clear();
  EXPECT_THAT(Mistakes(spec), ElementsAre(HasSubstr("shards: a resolver needs at least one shard")));
  spec = SpecOf("hash");
  spec.key_columns.push_back("another");
  EXPECT_THAT(Mistakes(spec), ElementsAre(HasSubstr("key: has 2 columns and 1 types")));
}

TEST(ResolverRegistryTest, AFactoryThatGivesNoReasonIsAnInternalError) {
  ResolverRegistry registry;
  const auto silent = [](const ResolverSpec&, std::vector<FieldViolation>&) {
    return std::unique_ptr<Resolver>();
  };
  ASSERT_THAT(registry.Register("silent", silent), IsOk());
  EXPECT_THAT(registry.Make(SpecOf("silent")), StatusIs(absl::StatusCode::kInternal));
}

// Options made at random from the words that resolvers know.
class Garbage {
 public:
  explicit Garbage(uint32_t seed) : random_(seed) {}

  nlohmann::json Make(int depth) {
    switch (random_() % (depth > 0 ? 10 : 7)) {
      case 0:
        return nullptr;
      case 1:
        return random_() % 2 == 0;
      case 2:
        return static_cast<int64_t>(random_()) - 2'000'000'000;
      case 3:
        return static_cast<double>(random_()) / 7;
      case 4:
        return std::numeric_limits<uint64_t>::max();
      case 5:
        return static_cast<int64_t>(random_() % 12);
      case 6:
        return Word();
      case 7: {
        nlohmann::json list = nlohmann::json::array();
        for (uint32_t i = random_() % 4; i > 0; --i) list.push_back(Make(depth - 1));
        return list;
      }
      default: {
        nlohmann::json object = nlohmann::json::object();
        for (uint32_t i = random_() % 5; i > 0; --i) object[Word()] = Make(depth - 1);
        return object;
      }
    }
  }

  std::string Word() {
    static constexpr const char* kWords[] = {"shards",     "modulus",
                                             "buckets",    "weights",
                                             "assignment", "entries",
                                             "key",        "shard",
                                             "ranges",     "from",
                                             "to",         "default",
                                             "directory",  "new_keys",
                                             "assign",     "columns",
                                             "regions",    "match",
                                             "country",    "s0",
                                             "s1",         "customer_id",
                                             "refuse",     "hash",
                                             "0-9",        "",
                                             "\xff\xfe",   "cache_keys",
                                             "2026-01-31", "12:00",
                                             "-1.5",       "18446744073709551616",
                                             "\\x00ff"};
    return kWords[random_() % std::size(kWords)];
  }

  uint32_t Next() { return static_cast<uint32_t>(random_()); }

 private:
  std::mt19937 random_;
};

TEST(ResolverOptionsTest, GarbageIsRefusedOrGivesAResolverThatAnswers) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Garbage garbage(seed);
  const TypeKind kinds[] = {TypeKind::kInt64,   TypeKind::kText, TypeKind::kDate, TypeKind::kTimestampTz,
                            TypeKind::kTime,    TypeKind::kUuid, TypeKind::kBool, TypeKind::kBytes,
                            TypeKind::kDecimal, TypeKind::kJson};
  for (int round = 0; round < 20'000; ++round) {
    static constexpr const char* kTypes[] = {"hash", "range", "lookup", "consistent_hash", "geo"};
    ResolverSpec spec = WithKey(SpecOf(kTypes[garbage.Next() % 5]),
                                {{"customer_id", kinds[garbage.Next() % std::size(kinds)]}});
    if (garbage.Next() % 3 == 0) spec.key_types.clear();
    spec.options = garbage.Make(4);
    const auto resolver = Make(spec);
    if (!resolver.ok()) {
      EXPECT_THAT(resolver, HasReason(reason::kInvalidField));
      EXPECT_FALSE(DetailOf(resolver.status()).violations.empty());
      continue;
    }
    for (const Value& value :
         {Value::Int64(1), Value::Text("s0"), Value::Null(), Value::Double(2), Value::Date("x")}) {
      const absl::StatusOr<ShardId> shard = (*resolver)->Resolve({value});
      if (shard.ok()) {
        EXPECT_LT(Index(*shard), spec.shards.size());
      } else {
        EXPECT_FALSE(ReasonOf(shard.status()).empty()) << shard.status();
      }
      EXPECT_EQ((*resolver)->Explain({value}).ok(), shard.ok());
    }
  }
}

TEST(ResolverTest, APrefixSaysNothingWhereOrderDoesNot) {
  const ResolverSpec spec = WithKey(SpecOf("hash"), {{"a", TypeKind::kInt64}, {"b", TypeKind::kInt64}});
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const Resolver> resolver, Make(spec));
  const Key prefix = {Value::Int64(1)};
  EXPECT_EQ(*resolver->ResolvePrefix(prefix), Shards({0, 1, 2, 3}));
  const std::vector<std::optional<Value>> partial = {Value::Int64(1), std::nullopt};
  EXPECT_EQ(*resolver->ResolvePartial(partial), Shards({0, 1, 2, 3}));
}

}  // namespace
}  // namespace quarry
