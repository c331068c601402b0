#include "core/routing/plugin_loader.h"

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
  EXPECT_TRUE(registry_.types().empty());
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
