#include "core/routing/resolver.h"

#include <limits>
#include <random>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/unit/core/routing/routing_testing.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ResolverRegistryTest, HoldsTheBuiltinTypesOnce) {
  ResolverRegistry registry;
  RegisterBuiltinResolvers(registry);
  EXPECT_THAT(registry.types(), ElementsAre("consistent_hash", "geo", "hash", "lookup", "range"));
  EXPECT_THAT(registry.Register("hash", nullptr), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST(ResolverRegistryTest, GivesTheResolverItsNameAndType) {
  const std::pair<const char*, const char*> specs[] = {
      {"hash", "{}"},
      {"consistent_hash", "{}"},
      {"range", R"({"ranges": [{"shard": "s0"}]})"},
      {"lookup", R"({"entries": {"7": "s1"}})"},
      {"geo", R"({"regions": [{"match": {"customer_id": 7}, "shard": "s0"}]})"},
  };
  for (const auto& [type, options] : specs) {
    ASSERT_OK_AND_ASSIGN(const auto resolver, Make(SpecOf(type, options)));
    EXPECT_EQ(resolver->name(), "by_customer");
    EXPECT_EQ(resolver->type(), type);
  }
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

// A lookup with one entry, whose key has one column of this type.
ResolverSpec EntrySpec(const ColumnType& type, const nlohmann::json& key) {
  ResolverSpec spec = SpecOf("lookup");
  spec.key_types = {type};
  spec.options["entries"] = nlohmann::json::array({{{"key", key}, {"shard", "s1"}}});
  return spec;
}

TEST(ResolverOptionsTest, ReadsAKeysValuesByTheirColumnsType) {
  const std::tuple<TypeKind, nlohmann::json, Value> cases[] = {
      {TypeKind::kInt16, -32768, Value::Int64(-32768)},
      {TypeKind::kInt32, "2147483647", Value::Int64(2147483647)},
      {TypeKind::kBool, true, Value::Bool(true)},
      {TypeKind::kBool, "true", Value::Bool(true)},
      {TypeKind::kBool, "false", Value::Bool(false)},
      {TypeKind::kBytes, "\\x", Value::Bytes("")},
      {TypeKind::kBytes, "\\x00fF", Value::Bytes(std::string("\0\xff", 2))},
      {TypeKind::kTimestamp, "1970-01-01 00:00:01", Value::Timestamp(1'000'000)},
      {TypeKind::kTimestampTz, "1970-01-01T01:00:00+01:00", Value::Timestamp(0)},
      {TypeKind::kDate, "2026-01-31", Value::Date("2026-01-31")},
      {TypeKind::kTime, "12:30", Value::Time("12:30:00")},
      {TypeKind::kDecimal, 12, Value::Decimal("12.0")},
      {TypeKind::kUuid, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
       Value::Uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")},
  };
  for (const auto& [kind, written, value] : cases) {
    SCOPED_TRACE(absl::StrCat(TypeName({kind, false, ""}), " ", written.dump()));
    ASSERT_OK_AND_ASSIGN(const auto resolver, Make(EntrySpec({kind, false, ""}, written)));
    EXPECT_EQ(ShardOf(*resolver, {value}), 1);
  }
}

TEST(ResolverOptionsTest, RefusesValuesThatAreNotOfTheirColumnsType) {
  const std::tuple<TypeKind, nlohmann::json, const char*> cases[] = {
      {TypeKind::kInt16, 32768, "must be an integer from -32768 to 32767"},
      {TypeKind::kInt32, "2147483648", "is not a well-formed int32"},
      {TypeKind::kBool, "yes", "is not a well-formed bool"},
      {TypeKind::kBool, 1, "must be of the column's type bool, is a number: write it in quotes"},
      {TypeKind::kBytes, "00ff", "is not a well-formed bytes: write bytes as \"\\x00ff\""},
      {TypeKind::kBytes, "\\", "is not a well-formed bytes"},
      {TypeKind::kBytes, "\\x0", "is not a well-formed bytes"},
      {TypeKind::kBytes, "\\x0g", "is not a well-formed bytes"},
      {TypeKind::kTimestamp, "yesterday", "is not a well-formed timestamp"},
      {TypeKind::kDate, "2026-02-30", "is not a well-formed date"},
      {TypeKind::kTime, "25:00", "is not a well-formed time"},
      {TypeKind::kDecimal, "1.2.3", "is not a well-formed decimal"},
      {TypeKind::kUuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g", "is not a well-formed uuid"},
      {TypeKind::kText, nullptr, "is missing"},
      {TypeKind::kText, false,
       "must be of the column's type text, is a boolean: write it in quotes"},
  };
  for (const auto& [kind, written, mistake] : cases) {
    SCOPED_TRACE(absl::StrCat(TypeName({kind, false, ""}), " ", written.dump()));
    EXPECT_THAT(Mistakes(EntrySpec({kind, false, ""}, written)),
                ElementsAre(HasSubstr(absl::StrCat("entries[0].key: ", mistake))));
  }
}

TEST(ResolverOptionsTest, RefusesColumnsWithoutAStableHashAndTheirValues) {
  for (const ColumnType& type :
       {ColumnType{TypeKind::kInt64, true, ""}, ColumnType{TypeKind::kJson, false, ""},
        ColumnType{TypeKind::kDouble, false, ""}, ColumnType{TypeKind::kInterval, false, ""}}) {
    const std::string column = absl::StrCat("a column of type ", TypeName(type));
    EXPECT_THAT(
        Mistakes(EntrySpec(type, "1")),
        ElementsAre(HasSubstr(absl::StrCat("key.customer_id: ", column, " has no stable hash")),
                    HasSubstr(absl::StrCat("entries[0].key: ", column,
                                           " cannot be part of this resolver's key"))));
  }
}

TEST(ResolverOptionsTest, ReadsValuesByTheirOwnTypeBeforeTheCatalogIsKnown) {
  const auto spec_of = [](const nlohmann::json& key) {
    ResolverSpec spec = EntrySpec({}, key);
    spec.key_types.clear();
    return spec;
  };
  const std::pair<nlohmann::json, Value> cases[] = {
      {7, Value::Int64(7)}, {"7", Value::Text("7")}, {true, Value::Bool(true)}};
  for (const auto& [written, value] : cases) {
    ASSERT_OK_AND_ASSIGN(const auto resolver, Make(spec_of(written)));
    EXPECT_EQ(ShardOf(*resolver, {value}), 1) << written;
  }
  for (const nlohmann::json& number :
       {nlohmann::json(1.5), nlohmann::json(std::numeric_limits<uint64_t>::max())}) {
    EXPECT_THAT(Mistakes(spec_of(number)),
                ElementsAre("entries[0].key: must be an integer, text or a boolean, is a number "
                            "that no key can hold"));
  }
  EXPECT_THAT(Mistakes(spec_of(nlohmann::json::object())),
              ElementsAre("entries[0].key: must be an integer, text or a boolean, is object"));
}

TEST(ResolverOptionsTest, AKeyOfSeveralColumnsIsAListOfAllItsValues) {
  const auto mistakes = [](const char* key) {
    const std::string options = absl::StrCat(R"({"entries": [{"shard": "s1", "key": )", key, "}]}");
    return Mistakes(
        WithKey(SpecOf("lookup", options), {{"a", TypeKind::kInt64}, {"b", TypeKind::kText}}));
  };
  EXPECT_THAT(
      mistakes("7"),
      ElementsAre("entries[0].key: the key has 2 columns (a, b): write a list of their values"));
  EXPECT_THAT(
      mistakes("[7]"),
      ElementsAre(HasSubstr("entries[0].key: must hold 2 value(s), one per key column, holds 1")));
  EXPECT_THAT(mistakes(R"(["x", "y"])"),
              ElementsAre(HasSubstr("entries[0].key[0]: is not a well-formed int64")));
  EXPECT_THAT(mistakes(R"([7, "y"])"), IsEmpty());
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
