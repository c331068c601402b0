#include "core/routing/plugin_loader.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/routing/plugin.h"
#include "tests/unit/core/routing/routing_testing.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PluginLoaderTest : public ::testing::Test {
 protected:
  std::string Failure(const std::string& path) {
    const absl::StatusOr<std::string> type = LoadResolverPlugin(path, registry_);
    EXPECT_THAT(type, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(type, HasReason(reason::kInvalidField));
    EXPECT_EQ(DetailOf(type.status()).facts["plugin"], path);
    return std::string(type.status().message());
  }

  std::vector<std::string> PluginMistakes(const ResolverSpec& spec) {
    std::vector<std::string> mistakes;
    for (const FieldViolation& violation : DetailOf(registry_.Make(spec).status()).violations) {
      mistakes.push_back(violation.field + ": " + violation.description);
    }
    return mistakes;
  }

  ResolverRegistry registry_;
};

TEST_F(PluginLoaderTest, TheExampleResolvesLikeABuiltinOne) {
  ASSERT_OK_AND_ASSIGN(const std::string type, LoadResolverPlugin(QUARRY_MODULO_PLUGIN, registry_));
  EXPECT_EQ(type, "modulo");
  ASSERT_OK_AND_ASSIGN(const auto resolver, registry_.Make(SpecOf("modulo", R"({"block": 10})")));
  EXPECT_EQ(resolver->name(), "by_customer");
  EXPECT_EQ(resolver->type(), "modulo");
  EXPECT_EQ(resolver->shards(), Shards({0, 1, 2, 3}));
  EXPECT_EQ(ShardOf(*resolver, {Value::Int64(0)}), 0);
  EXPECT_EQ(ShardOf(*resolver, {Value::Int64(19)}), 1);
  EXPECT_EQ(ShardOf(*resolver, {Value::Int64(40)}), 0);
  EXPECT_EQ(ShardOf(*resolver, {Value::Int64(-1)}), 3);
  ASSERT_OK_AND_ASSIGN(const std::vector<ShardId> many,
                       resolver->ResolveMany(std::vector<Key>{{Value::Int64(5)}, {Value::Int64(15)}}));
  EXPECT_EQ(many, (std::vector<ShardId>{ShardId{0}, ShardId{1}}));
  EXPECT_EQ(*resolver->ResolveRange({Key{Value::Int64(5)}, Key{Value::Int64(15)}}), Shards({0, 1}));
  EXPECT_EQ(*resolver->ResolveRange({Key{Value::Int64(5)}, std::nullopt}), Shards({0, 1, 2, 3}));
  EXPECT_EQ(resolver->Explain({Value::Int64(42)})->words,
            "42 is in block 4 of 10 keys, dealt to shard number 0");
  EXPECT_THAT(resolver->Resolve({Value::Text("x")}), HasReason(reason::kInvalidField));
  EXPECT_THAT(resolver->Resolve({Value::Double(1)}), HasReason(reason::kInvalidField));
  EXPECT_THAT(resolver->Resolve({}), HasReason(reason::kInvalidField));
}

TEST_F(PluginLoaderTest, TheExampleReportsBadOptions) {
  ASSERT_THAT(LoadResolverPlugin(QUARRY_MODULO_PLUGIN, registry_), IsOk());
  EXPECT_THAT(PluginMistakes(SpecOf("modulo", R"({"block": 0})")),
              ElementsAre(HasSubstr("block: must be a number from 1")));
  EXPECT_THAT(PluginMistakes(SpecOf("modulo", R"({"block": 5, "more": 1})")),
              ElementsAre(HasSubstr("block: must be")));
  EXPECT_THAT(
      PluginMistakes(
          WithKey(SpecOf("modulo", R"({"size": 1})"), {{"a", TypeKind::kText}, {"b", TypeKind::kInt64}})),
      ElementsAre(HasSubstr("the only option is block"), HasSubstr("key: modulo takes one key column"),
                  HasSubstr("key: modulo takes an integer key column")));
}

TEST_F(PluginLoaderTest, AResolverOutlivesItsRegistry) {
  std::shared_ptr<const Resolver> resolver;
  {
    ResolverRegistry registry;
    ASSERT_THAT(LoadResolverPlugin(QUARRY_MODULO_PLUGIN, registry), IsOk());
    ASSERT_OK_AND_ASSIGN(resolver, registry.Make(SpecOf("modulo")));
  }
  EXPECT_EQ(ShardOf(*resolver, {Value::Int64(6)}), 2);
}

TEST_F(PluginLoaderTest, ATypeIsRegisteredOnce) {
  ASSERT_THAT(LoadResolverPlugin(QUARRY_MODULO_PLUGIN, registry_), IsOk());
  const absl::StatusOr<std::string> again = LoadResolverPlugin(QUARRY_MODULO_PLUGIN, registry_);
  EXPECT_THAT(again, StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(DetailOf(again.status()).facts["plugin"], QUARRY_MODULO_PLUGIN);
}

TEST_F(PluginLoaderTest, SaysWhyAFileIsNoPlugin) {
  EXPECT_THAT(Failure("/nonexistent/resolver.so"), HasSubstr("No such file"));
  EXPECT_THAT(Failure("resolver.so"), HasSubstr("write a path with a slash"));
  EXPECT_THAT(Failure(QUARRY_TEXT_FILE), HasSubstr("invalid ELF header"));
  EXPECT_THAT(Failure(QUARRY_NOT_A_PLUGIN), HasSubstr("it exports no quarry_resolver_plugin_v1"));
  EXPECT_THAT(Failure(QUARRY_WRONG_VERSION_PLUGIN),
              HasSubstr("it is of version 99, this server takes version 1"));
  EXPECT_THAT(Failure(QUARRY_SHORT_TABLE_PLUGIN),
              HasSubstr(absl::StrCat("its table has 8 bytes, version 1 has ",
                                     sizeof(quarry_resolver_plugin))));
  EXPECT_THAT(Failure(QUARRY_LACKING_PLUGIN), HasSubstr("it lacks create, destroy or resolve"));
  EXPECT_THAT(Failure(QUARRY_BAD_TYPE_PLUGIN),
              HasSubstr("its type must be 1 to 64 characters of a-z, 0-9 and _"));
  EXPECT_THAT(Failure(QUARRY_NO_TYPE_PLUGIN),
              HasSubstr("its type must be 1 to 64 characters of a-z, 0-9 and _"));
  EXPECT_TRUE(registry_.types().empty());
}

TEST_F(PluginLoaderTest, PassesEveryKindOfKeyValue) {
  ASSERT_THAT(LoadResolverPlugin(QUARRY_ECHO_PLUGIN, registry_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto resolver, registry_.Make(SpecOf("echo")));
  const std::pair<Value, const char*> cases[] = {
      {Value::Null(), "kind 0, number 0, 0 bytes: "},
      {Value::Bool(true), "kind 1, number 1, 0 bytes: "},
      {Value::Bool(false), "kind 1, number 0, 0 bytes: "},
      {Value::Text("Straße"), "kind 3, number 0, 7 bytes: Straße"},
      {Value::Bytes(std::string("a\0b", 3)), "kind 4, number 0, 3 bytes: a"},
      {Value::Timestamp(-5), "kind 5, number -5, 0 bytes: "},
      {Value::Date("2026-01-31"), "kind 6, number 0, 10 bytes: 2026-01-31"},
      {Value::Time("23:59:59"), "kind 7, number 0, 8 bytes: 23:59:59"},
      {Value::Decimal("-12.340"), "kind 8, number 0, 7 bytes: -12.340"},
      {Value::Uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
       "kind 9, number 0, 36 bytes: a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
  };
  for (const auto& [value, echo] : cases) {
    const absl::Status told = resolver->Resolve({value}).status();
    EXPECT_THAT(told, HasReason(reason::kInvalidField));
    ASSERT_EQ(DetailOf(told).violations.size(), 1U) << echo;
    EXPECT_EQ(DetailOf(told).violations[0].description, echo);
  }
  const absl::Status refused = resolver->Resolve({Value::Json("1")}).status();
  ASSERT_EQ(DetailOf(refused).violations.size(), 1U);
  EXPECT_EQ(DetailOf(refused).violations[0].field, "key[0]");
  EXPECT_THAT(DetailOf(refused).violations[0].description,
              HasSubstr("json cannot be part of a shard key"));
}

TEST_F(PluginLoaderTest, ExplainsInGeneralWordsForAPluginWithoutAny) {
  ASSERT_THAT(LoadResolverPlugin(QUARRY_ECHO_PLUGIN, registry_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto resolver, registry_.Make(SpecOf("echo")));
  EXPECT_EQ(resolver->shards(), Shards({0, 1, 2, 3}));
  ASSERT_OK_AND_ASSIGN(const RouteExplanation explanation, resolver->Explain({Value::Int64(2)}));
  EXPECT_EQ(explanation.shard, ShardId{2});
  EXPECT_EQ(explanation.words, "customer_id 2 is on shard s2, says the plug-in \"echo\"");
  EXPECT_EQ(explanation.facts.at("plugin"), "echo");
}

TEST_F(PluginLoaderTest, APluginThatBreaksItsPromisesIsContained) {
  ASSERT_THAT(LoadResolverPlugin(QUARRY_MISBEHAVING_PLUGIN, registry_), IsOk());
  EXPECT_THAT(PluginMistakes(SpecOf("misbehaving", R"({"silent": 1})")),
              ElementsAre(HasSubstr("refused the options without a reason")));
  EXPECT_EQ(PluginMistakes(SpecOf("misbehaving", R"({"both": 1})")).size(), 1U);
  ASSERT_OK_AND_ASSIGN(const auto resolver, registry_.Make(SpecOf("misbehaving")));
  EXPECT_EQ(resolver->shards(), Shards({1}));
  EXPECT_EQ(*resolver->ResolveRange({}), Shards({1}));
  const absl::StatusOr<ShardId> outside = resolver->Resolve({Value::Int64(0)});
  EXPECT_THAT(outside, StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(std::string(outside.status().message()), HasSubstr("answered shard 1000 of 4"));
  EXPECT_THAT(resolver->Resolve({Value::Int64(1)}), HasReason(reason::kKeyNotMapped));
  EXPECT_THAT(resolver->Resolve({Value::Int64(2)}), HasReason(reason::kInvalidField));
  EXPECT_THAT(resolver->Resolve({Value::Int64(77)}), StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace quarry
