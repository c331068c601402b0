#include "tests/unit/core/config/support.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kRich[] = R"(
deployment: shop
pools: {sessions: 3}
limits: {row_bytes: 1025, calls_max: 7}
shards:
  pg:
    postgres:
      primary: "postgresql://app:s3cret@db1/shop"
      replicas: ["host=db2 password='s3 cret' dbname=shop"]
    pool: {pipelines: 4}
  "7": {sqlite: {file: "odd: #name $${x}.db"}}
resolvers:
  r:
    type: range
    ranges: [{from: "1", to: 5, shard: pg}, {from: 1.5, to: null, shard: "7"}]
    empty: {}
    none: []
    secret: ${env:TOKEN}
    quoted: "${env:TOKEN}"
    mixed: "x ${env:TOKEN}"
    true: "true"
    "a: b": yes
plugins: [/lib/p.so]
peers: {addresses: ["quarry-1:7400"], dns: "gateways:7400"}
tables:
  orders: {kind: sharded, key: [a, b], resolver: r, scatter: deny}
  lines: {kind: sharded, key: [a, b], co_located_with: orders, relations: {order: {table: orders, columns: [a, b], references: [a, b]}}}
  rates: {kind: reference}
  settings: {kind: single, shard: pg}
)";

ConfigOptions WithToken() {
  ConfigOptions options = WithoutFiles();
  options.environment = {{"TOKEN", "12345"}};
  return options;
}

TEST(PrintConfigTest, PrintsWhatReadsAgainAsTheSame) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(kRich, WithToken()));
  const std::string printed = PrintConfig(config);
  ASSERT_OK_AND_ASSIGN(const Config again, Parse(printed, WithToken()));
  EXPECT_EQ(PrintConfig(again), printed);
  EXPECT_EQ(again.resolvers[0].options, config.resolvers[0].options);
  EXPECT_EQ(again.resolvers[0].options["secret"], 12345);
  EXPECT_EQ(again.resolvers[0].options["quoted"], "12345");
  EXPECT_EQ(again.shards[1].file, "odd: #name ${x}.db");
  EXPECT_EQ(again.shards[0].pool.pipelines, 4);
  EXPECT_EQ(again.shards[0].pool.sessions, 3);
  EXPECT_EQ(again.limits.row_bytes, 1025);
  EXPECT_EQ(again.tables.size(), config.tables.size());
  EXPECT_EQ(again.tables[1].resolver, "r");
  ASSERT_EQ(again.tables[1].relations.size(), 1U);
  EXPECT_EQ(again.tables[1].relations[0].references, (std::vector<std::string>{"a", "b"}));
}

TEST(PrintConfigTest, HidesSecrets) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(kRich, WithToken()));
  const std::string printed = PrintConfig(config);
  EXPECT_THAT(printed, Not(HasSubstr("s3")));
  EXPECT_THAT(printed, Not(HasSubstr("12345")));
  EXPECT_THAT(printed, HasSubstr("postgresql://app:***@db1/shop"));
}

TEST(PrintConfigTest, ShowsDefaults) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(kShop));
  const std::string printed = PrintConfig(config);
  EXPECT_THAT(printed, HasSubstr("requests:\n  keep: 24h\n"));
  EXPECT_THAT(printed, HasSubstr("  message_bytes: 4MiB\n"));
}

}  // namespace
}  // namespace quarry
