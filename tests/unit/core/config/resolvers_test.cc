#include <utility>

#include "tests/unit/core/config/support.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

// Answers its first shard, whatever the key.
class FirstShardResolver final : public Resolver {
 public:
  FirstShardResolver(std::string name, std::string type) : name_(std::move(name)), type_(std::move(type)) {}
  const std::string& name() const override { return name_; }
  const std::string& type() const override { return type_; }
  absl::StatusOr<ShardId> Resolve(absl::Span<const Value>) const override { return ShardId{0}; }
  const ShardSet& shards() const override { return shards_; }
  absl::StatusOr<RouteExplanation> Explain(absl::Span<const Value>) const override { return RouteExplanation{}; }

 private:
  std::string name_;
  std::string type_;
  ShardSet shards_{ShardId{0}};
};

// Makes a resolver of type "first" and keeps what it was made from.
ResolverRegistry RegistryInto(ResolverSpec& seen, std::vector<FieldViolation> refused = {}) {
  ResolverRegistry registry;
  const absl::Status added = registry.Register(
      "first",
      [&seen, refused](const ResolverSpec& spec, std::vector<FieldViolation>& violations) -> std::unique_ptr<Resolver> {
        seen = spec;
        violations.insert(violations.end(), refused.begin(), refused.end());
        if (!refused.empty()) return nullptr;
        return std::make_unique<FirstShardResolver>(spec.name, spec.type);
      });
  EXPECT_THAT(added, IsOk());
  return registry;
}

constexpr char kConfig[] = R"(shards:
  s0: {sqlite: {file: a}}
  s1: {sqlite: {file: b}}
resolvers:
  r:
    type: first
    ranges:
      - {to: 5, shard: s0}
      - {from: 5, shard: s9}
tables:
  t: {kind: sharded, key: [a, b], resolver: r}
)";

TEST(BuildResolversTest, GivesTheResolverItsKeyShardsAndOptions) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(kConfig));
  ResolverSpec seen;
  const ResolverRegistry registry = RegistryInto(seen);
  std::vector<ColumnType> types(2);
  types[0].kind = TypeKind::kInt64;
  ASSERT_OK_AND_ASSIGN(const auto resolvers, BuildResolvers(config, registry, {{"r", types}}));
  ASSERT_EQ(resolvers.count("r"), 1u);
  EXPECT_THAT(seen.key_columns, ElementsAre("a", "b"));
  EXPECT_THAT(seen.shards, ElementsAre("s0", "s1"));
  EXPECT_EQ(seen.key_types, types);
  EXPECT_EQ(seen.options["ranges"][1]["from"], 5);
  EXPECT_FALSE(seen.options.contains("type"));
}

TEST(BuildResolversTest, PutsViolationsAtTheirPlacesInTheFile) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(kConfig));
  ResolverSpec seen;
  const ResolverRegistry registry = RegistryInto(
      seen, {{"ranges[1].shard", "no such shard"}, {"ranges[1].to", "missing"}, {"ranges[7]", "x"}, {"", "whole"}});
  const auto resolvers = BuildResolvers(config, registry);
  std::vector<std::string> fields;
  for (const FieldViolation& violation : DetailOf(resolvers.status()).violations) fields.push_back(violation.field);
  EXPECT_THAT(fields, ElementsAre("quarry.yaml:9:26 resolvers.r.ranges[1].shard", "quarry.yaml:9:9 resolvers.r.ranges[1].to",
                                  "quarry.yaml:8:7 resolvers.r.ranges[7]", "quarry.yaml:6:5 resolvers.r"));
}

TEST(BuildResolversTest, RefusesAnUnknownTypeAtItsPlace) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(kConfig));
  const auto resolvers = BuildResolvers(config, ResolverRegistry());
  EXPECT_THAT(resolvers, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(DetailOf(resolvers.status()).violations.at(0).field, ::testing::StartsWith("quarry.yaml:6:"));
}

ConfigOptions Builtin() {
  ConfigOptions options = WithoutFiles();
  options.registry = [](const Config&) -> absl::StatusOr<std::unique_ptr<ResolverRegistry>> {
    auto registry = std::make_unique<ResolverRegistry>();
    RegisterBuiltinResolvers(*registry);
    return registry;
  };
  return options;
}

TEST(CheckResolversTest, ReportsResolversBesideAllOtherMistakes) {
  const auto config = Parse(R"(shards:
  s0: {sqlite: {file: a}}
  s1: {sqlite: {fil: b}}
loops: many
resolvers:
  by_hash: {type: hash, modulus: none}
  by_range: {type: range, ranges: [{to: 5, shard: s0}, {from: 5, shard: s9}]}
  untyped: {modulus: 2}
  mistyped: {type: hsh}
  unset: {type: hash, modulus: "${env:MODULUS}"}
tables:
  t: {kind: sharded, key: a, resolver: by_hsh}
)", Builtin());
  EXPECT_THAT(Mistakes(config),
              UnorderedElementsAre(StartsWith("quarry.yaml:3:17 shards.s1.sqlite.fil: unknown key"),
                                   StartsWith("quarry.yaml:3:16 shards.s1.sqlite: needs a file"),
                                   StartsWith("quarry.yaml:4:8 loops: expects"),
                                   StartsWith("quarry.yaml:6:34 resolvers.by_hash.modulus: "),
                                   StartsWith("quarry.yaml:7:73 resolvers.by_range.ranges[1].shard: "),
                                   StartsWith("quarry.yaml:8:12 resolvers.untyped: needs a type"),
                                   StartsWith("quarry.yaml:9:20 resolvers.mistyped.type: there is no resolver of type"),
                                   StartsWith("quarry.yaml:10:32 resolvers.unset.modulus: environment variable MODULUS"),
                                   StartsWith("quarry.yaml:12:40 tables.t.resolver: no resolver is named")));
}

TEST(CheckResolversTest, SaysNothingThatFollowsFromAnotherMistake) {
  const std::string by_hash = "resolvers: {r: {type: hash, modulus: 2}}\ntables: {t: {kind: sharded, key: a, resolver: r}}\n";
  EXPECT_THAT(Mistakes(Parse("shards: 5\n" + by_hash, Builtin())), ElementsAre(StartsWith("quarry.yaml:1:9 shards: ")));
  EXPECT_THAT(Mistakes(Parse("shards: {s0: {sqlite: {file: a}}}\nplugins: x\nresolvers: {r: {type: own}}\n", Builtin())),
              ElementsAre(StartsWith("quarry.yaml:2:10 plugins: ")));
  ConfigOptions refusing = WithoutFiles();
  refusing.registry = [](const Config&) { return absl::InvalidArgumentError("cannot load own.so"); };
  EXPECT_THAT(Mistakes(Parse("shards: {s0: {sqlite: {file: a}}}\nplugins: [own.so]\nresolvers: {r: {type: own}}\n", refusing)),
              ElementsAre("quarry.yaml:2:10 plugins: cannot load own.so"));
}

}  // namespace
}  // namespace quarry
