#include "core/config/config.h"

#include <set>

#include "core/config/schema.h"
#include "tests/unit/core/config/support.h"

namespace quarry {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

TEST(ParseConfigTest, FillsInDefaultsAroundWhatIsWritten) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(kShop));
  EXPECT_EQ(config.deployment, "quarry");
  EXPECT_EQ(config.file, "quarry.yaml");
  ASSERT_EQ(config.shards.size(), 2u);
  EXPECT_EQ(config.shards[1].name, "s1");
  EXPECT_EQ(config.shards[1].path, "data/s1.db");
  EXPECT_EQ(config.shards[1].address(), "data/s1.db");
  EXPECT_EQ(config.shards[1].dialect, Dialect::kSqlite);
  ASSERT_EQ(config.resolvers.size(), 1u);
  EXPECT_EQ(config.resolvers[0].type, "hash");
  EXPECT_EQ(config.resolvers[0].options, (nlohmann::json{{"modulus", 2}}));
  ASSERT_EQ(config.tables.size(), 1u);
  EXPECT_EQ(config.tables[0].kind, TableKind::kSharded);
  EXPECT_THAT(config.tables[0].shard_key, ElementsAre("id"));
  EXPECT_EQ(config.tables[0].resolver, "by_customer");
  EXPECT_TRUE(config.tables[0].scatter_allowed);
  EXPECT_EQ(config.requests_keep, absl::Hours(24));
}

TEST(ParseConfigTest, KeepsTheOrderOfShards) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse("shards: {z: {sqlite: {file: z}}, a: {sqlite: {file: /abs/a}}}"));
  EXPECT_EQ(config.shards[0].name, "z");
  EXPECT_EQ(config.shards[1].name, "a");
  EXPECT_EQ(config.shards[1].path, "/abs/a");
}

TEST(ParseConfigTest, ReadsEveryGlobalSetting) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(std::string(kShop) + R"(
deployment: shop-1
data_dir: /var/lib/quarry
listen: {grpc: "0.0.0.0:1", http: "[::1]:2"}
log: {level: debug, format: json}
loops: 4
pools: {sessions: 3, waiters: 0, pipelines: 5, connect_timeout: 1500ms}
plugins: [/a.so]
peers: {addresses: ["quarry-1:7400", "[fd00::7]:7400"], dns: "gateways.shop.svc:7400", interval: 700ms}
transactions:
  {idle_timeout: 5s, idle_timeout_max: 1m, open_max: 7, commit_timeout: 6s, recovery_interval: 300ms, recovery_age: 2s,
   outcome_keep: 3h, audit_interval: 4m, allow_async_two_phase: true, snapshot_order: strict}
requests: {keep: 48h}
limits: {batch_items: 9, row_bytes: 64KiB, reply_bytes: 1 MiB, message_bytes: 2097152, scatter_width: 3, calls_max: 11}
raw_sql: {enabled: false}
breaker: {faults: 2, probe_interval: 250ms}
drain_timeout: 10s
default_deadline: 3s
)"));
  EXPECT_EQ(config.deployment, "shop-1");
  EXPECT_EQ(config.shards[0].path, "/var/lib/quarry/s0.db");
  EXPECT_EQ(config.listen.grpc, "0.0.0.0:1");
  EXPECT_EQ(config.listen.http, "[::1]:2");
  EXPECT_EQ(config.log.level, "debug");
  EXPECT_EQ(config.log.format, "json");
  EXPECT_EQ(config.loops, 4);
  EXPECT_EQ(config.shards[0].pool.sessions, 3);
  EXPECT_EQ(config.shards[0].pool.waiters, 0);
  EXPECT_EQ(config.shards[0].pool.pipelines, 5);
  EXPECT_EQ(config.shards[0].pool.connect_timeout, absl::Milliseconds(1500));
  EXPECT_THAT(config.plugins, ElementsAre("/a.so"));
  EXPECT_THAT(config.peers.addresses, ElementsAre("quarry-1:7400", "[fd00::7]:7400"));
  EXPECT_EQ(config.peers.dns, "gateways.shop.svc:7400");
  EXPECT_EQ(config.peers.interval, absl::Milliseconds(700));
  EXPECT_EQ(config.transactions.idle_timeout, absl::Seconds(5));
  EXPECT_EQ(config.transactions.idle_timeout_max, absl::Minutes(1));
  EXPECT_EQ(config.transactions.open_max, 7);
  EXPECT_EQ(config.transactions.commit_timeout, absl::Seconds(6));
  EXPECT_EQ(config.transactions.recovery_interval, absl::Milliseconds(300));
  EXPECT_EQ(config.transactions.recovery_age, absl::Seconds(2));
  EXPECT_EQ(config.transactions.outcome_keep, absl::Hours(3));
  EXPECT_EQ(config.transactions.audit_interval, absl::Minutes(4));
  EXPECT_TRUE(config.transactions.allow_async_two_phase);
  EXPECT_EQ(config.transactions.snapshot_order, "strict");
  EXPECT_EQ(config.requests_keep, absl::Hours(48));
  EXPECT_EQ(config.limits.batch_items, 9);
  EXPECT_EQ(config.limits.row_bytes, 64 << 10);
  EXPECT_EQ(config.limits.reply_bytes, 1 << 20);
  EXPECT_EQ(config.limits.message_bytes, 2 << 20);
  EXPECT_EQ(config.limits.scatter_width, 3);
  EXPECT_EQ(config.limits.calls_max, 11);
  EXPECT_FALSE(config.raw_sql_enabled);
  EXPECT_EQ(config.breaker.faults, 2);
  EXPECT_EQ(config.breaker.probe_interval, absl::Milliseconds(250));
  EXPECT_EQ(config.drain_timeout, absl::Seconds(10));
  EXPECT_EQ(config.default_deadline, absl::Seconds(3));
}

TEST(ParseConfigTest, LaysAShardsOwnPoolOverTheGlobalOne) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(R"(
pools: {sessions: 3, waiters: 5}
shards:
  s0: {sqlite: {file: a}, pool: {sessions: 4}}
  s1: {sqlite: {file: b}}
)"));
  EXPECT_EQ(config.shards[0].pool.sessions, 4);
  EXPECT_EQ(config.shards[0].pool.waiters, 5);
  EXPECT_EQ(config.shards[1].pool.sessions, 3);
}

TEST(ParseConfigTest, TypesPlainOptionsOfResolversAndKeepsQuotedText) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(R"(
shards: {s0: {sqlite: {file: a}}}
resolvers:
  r:
    type: range
    options: [1, -7, "1", 1.5, true, no, null, ~, 0123, 2026-01-31, 99999999999999999999, 1e3, .5]
)"));
  EXPECT_EQ(config.resolvers[0].options["options"],
            nlohmann::json({1, -7, "1", 1.5, true, "no", nullptr, nullptr, "0123", "2026-01-31",
                            "99999999999999999999", 1000.0, ".5"}));
}

TEST(ParseConfigTest, ReportsEveryMistakeWithItsPlace) {
  const auto config = Parse(R"(shards:
  s0: {sqlite: {file: a.db}}
  s1: {sqlite: {file: ./x/../a.db}}
  "bad name": {sqlite: {file: c.db}}
  s3: {}
  s4: {sqlite: {fil: d.db}}
loops: many
limits:
  batch_items: 0
  batch_itms: 5
resolvers:
  r: {modulus: 2}
tables:
  orders: {kind: sharded, kee: id, resolver: rr}
  plain: {key: id}
  single: {kind: single, shard: s9}
  everywhere: {kind: reference, key: id}
)");
  EXPECT_THAT(config, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(config, HasReason("INVALID_FIELD"));
  EXPECT_THAT(
      Mistakes(config),
      UnorderedElementsAre(
          StartsWith("quarry.yaml:3:23 shards.s1.sqlite.file: is the database of shard s0 too"),
          StartsWith("quarry.yaml:4:3 shards.bad name: a name has"),
          StartsWith("quarry.yaml:5:7 shards.s3: needs one of sqlite and postgres"),
          "quarry.yaml:6:17 shards.s4.sqlite.fil: unknown key (did you mean \"file\"?)",
          StartsWith("quarry.yaml:6:16 shards.s4.sqlite: needs a file"), "quarry.yaml:7:8 loops: expects a whole number",
          "quarry.yaml:9:16 limits.batch_items: is outside of 1 to 100000",
          "quarry.yaml:10:3 limits.batch_itms: unknown key (did you mean \"batch_items\"?)",
          StartsWith("quarry.yaml:12:6 resolvers.r: needs a type"),
          "quarry.yaml:14:27 tables.orders.kee: unknown key (did you mean \"key\"?)",
          StartsWith("quarry.yaml:14:11 tables.orders: a sharded table needs a key"),
          "quarry.yaml:14:46 tables.orders.resolver: no resolver is named \"rr\" (did you mean \"r\"?)",
          StartsWith("quarry.yaml:15:10 tables.plain: needs a kind"),
          "quarry.yaml:16:33 tables.single.shard: no shard is named \"s9\" (did you mean \"s0\"?)",
          "quarry.yaml:17:38 tables.everywhere.key: is only for sharded tables"));
  EXPECT_THAT(std::string(config.status().message()),
              HasSubstr("\nquarry.yaml:14:27 tables.orders.kee: unknown key (did you mean \"key\"?)\n"));
}

TEST(ParseConfigTest, RefusesOneDatabaseForTwoShardsHoweverItIsWritten) {
  ConfigOptions options = WithoutFiles();
  options.environment = {{"PGPORT", "17502"}};
  EXPECT_THAT(Mistakes(Parse(R"(shards:
  s0: {postgres: {primary: "postgresql://shop:x@127.0.0.1:17502/shop"}}
  s1: {postgres: {primary: "host=127.0.0.1 port=17502 dbname=shop user=other"}}
  s2: {postgres: {primary: "host=127.0.0.1 port=17503 dbname=shop user=shop"}}
  s3: {postgres: {primary: "host=db7,127.0.0.1 dbname=shop"}}
)", options)),
              ElementsAre(StartsWith("quarry.yaml:3:28 shards.s1.postgres.primary: is the database of shard s0 too"),
                          StartsWith("quarry.yaml:5:28 shards.s3.postgres.primary: is the database of shard s0 too")));
}

TEST(ParseConfigTest, RefusesRepeatedKeys) {
  EXPECT_THAT(Mistakes(Parse("shards:\n  s0: {sqlite: {file: a}}\n  s0: {sqlite: {file: b}}\n")),
              ElementsAre("quarry.yaml:3:3 shards.s0: the key is given twice; first in line 2"));
}

TEST(ParseConfigTest, NeedsAShard) {
  for (const char* yaml : {"", "# nothing\n", "shards:\n", "shards: {}\n"}) {
    EXPECT_THAT(Mistakes(Parse(yaml)), ElementsAre(HasSubstr("shards: at least one shard is needed"))) << yaml;
  }
}

TEST(ParseConfigTest, RefusesOtherShapesThanSections) {
  EXPECT_THAT(Mistakes(Parse("[1, 2]")), Contains(HasSubstr("expects a section")));
  EXPECT_THAT(Mistakes(Parse("just text")), Contains(HasSubstr("expects a section")));
  EXPECT_THAT(Mistakes(Parse("shards: 5")), ElementsAre(HasSubstr("shards: expects a section")));
  EXPECT_THAT(Mistakes(Parse(std::string(kShop) + "listen: 5\n")), ElementsAre(HasSubstr("listen: expects a section")));
  EXPECT_THAT(Mistakes(Parse(std::string(kShop) + "loops: [1]\n")), ElementsAre(HasSubstr("loops: expects a single value")));
  EXPECT_THAT(Mistakes(Parse(std::string(kShop) + "loops:\n")), ElementsAre(HasSubstr("loops: expects a single value")));
}

TEST(ParseConfigTest, ReportsSyntaxErrorsWithTheirPlace) {
  EXPECT_THAT(Mistakes(Parse("shards:\n  - a: [1\n")), ElementsAre(StartsWith("quarry.yaml:")));
  EXPECT_THAT(Mistakes(Parse("a: !!binary x")), ElementsAre(HasSubstr("tags are not supported")));
  EXPECT_THAT(Mistakes(Parse(std::string(kShop) + "---\na: 1\n")), Contains(HasSubstr("more than one document")));
  EXPECT_THAT(Mistakes(Parse("a: \xff")), ElementsAre(HasSubstr("not valid UTF-8")));
  EXPECT_THAT(Mistakes(Parse("a: *b")), ElementsAre(StartsWith("quarry.yaml:1:")));
  EXPECT_THAT(Mistakes(Parse("a: &b [*b]")), ElementsAre(HasSubstr("refers to the value that holds it")));
}

TEST(ParseConfigTest, BoundsSizeDepthAndAliases) {
  EXPECT_THAT(Mistakes(Parse(std::string((1 << 20) + 1, '#'))), ElementsAre(HasSubstr("larger than")));
  EXPECT_THAT(Mistakes(Parse("a: " + std::string(40, '[') + std::string(40, ']'))), ElementsAre(HasSubstr("nested deeper")));
  EXPECT_THAT(Mistakes(Parse("a: " + std::string(100'000, '['))), ElementsAre(StartsWith("quarry.yaml:")));
  std::string bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int copy = 0; copy < 9; ++copy) bomb += ", " + last;
    bomb += "]\n";
  }
  EXPECT_THAT(Mistakes(Parse(bomb)), ElementsAre(HasSubstr("more than 50000 values")));
}

TEST(ParseConfigTest, ExpandsAliasesOfOrdinarySize) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(R"(
pools: {sessions: 3}
shards:
  s0: {sqlite: {file: a}, pool: &small {sessions: 2}}
  s1: {sqlite: {file: b}, pool: *small}
)"));
  EXPECT_EQ(config.shards[1].pool.sessions, 2);
}

TEST(ParseConfigTest, ClampsNothing) {
  for (const char* line : {"loops: 257", "loops: -1", "limits: {row_bytes: 1023}", "limits: {row_bytes: 99999999999GiB}",
                           "requests: {keep: 59s}", "drain_timeout: inf", "default_deadline: 30", "raw_sql: {enabled: yes}",
                           "log: {level: inof}", "listen: {grpc: localhost}", "listen: {http: \"h:65536\"}",
                           "deployment: \"a b\"", "data_dir: \"\"", "transactions: {idle_timeout: 11m}",
                           "limits: {reply_bytes: 1MiB}", "limits: {message_bytes: 2MiB, row_bytes: 1KiB}",
                           "listen: {http: \"127.0.0.1:7400\"}", "breaker: {faults: 0}", "loops: 4.0"}) {
    EXPECT_THAT(Parse(std::string(kShop) + line + "\n"), StatusIs(absl::StatusCode::kInvalidArgument)) << line;
  }
}

TEST(ParseConfigTest, ResolvesChainsOfCoLocation) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(std::string(kShop) + R"(  lines: {kind: sharded, key: customer, co_located_with: orders}
  orders: {kind: sharded, key: [customer_id], co_located_with: customers, scatter: deny}
)"));
  EXPECT_EQ(config.tables[1].resolver, "by_customer");
  EXPECT_EQ(config.tables[1].co_located_with, "orders");
  EXPECT_EQ(config.tables[2].resolver, "by_customer");
  EXPECT_FALSE(config.tables[2].scatter_allowed);
}

TEST(ParseConfigTest, RefusesCoLocationThatLeadsNowhere) {
  const auto with = [](const std::string& tables) { return Mistakes(Parse(std::string(kShop) + tables)); };
  EXPECT_THAT(with("  a: {kind: sharded, key: x, co_located_with: b}\n  b: {kind: sharded, key: x, co_located_with: a}\n"),
              ElementsAre(HasSubstr("tables.a.co_located_with: leads around in a circle"), HasSubstr("tables.b")));
  EXPECT_THAT(with("  a: {kind: sharded, key: [x, y], co_located_with: customers}\n"),
              ElementsAre(HasSubstr("tables.a.key: has 2 columns")));
  EXPECT_THAT(with("  a: {kind: sharded, key: [x, y], resolver: by_customer}\n"),
              ElementsAre(HasSubstr("tables.a.key: has 2 columns, but the table shares its resolver")));
  EXPECT_THAT(with("  a: {kind: sharded, key: x, co_located_with: custmers}\n"),
              ElementsAre(HasSubstr("did you mean \"customers\"?")));
  EXPECT_THAT(with("  r: {kind: reference}\n  a: {kind: sharded, key: x, co_located_with: r}\n"),
              ElementsAre(HasSubstr("table \"r\" is not sharded")));
  EXPECT_THAT(with("  a: {kind: sharded, key: [x, x], resolver: by_customer, co_located_with: customers}\n"),
              Contains(HasSubstr("names a column twice")));
}

TEST(ParseConfigTest, ReadsRelationsOfTables) {
  const auto with = [](const std::string& relations) {
    return Parse(std::string(kShop) + "  orders:\n    kind: sharded\n    key: id\n    resolver: by_customer\n    relations: " + relations + "\n");
  };
  ASSERT_OK_AND_ASSIGN(const Config config, with("{buyer: {table: customers, columns: [a, b], references: [c, d]}}"));
  const std::vector<RelationDeclaration>& relations = config.tables[1].relations;
  ASSERT_EQ(relations.size(), 1u);
  EXPECT_EQ(relations[0].name, "buyer");
  EXPECT_EQ(relations[0].table, "customers");
  EXPECT_THAT(relations[0].columns, ElementsAre("a", "b"));
  EXPECT_THAT(relations[0].references, ElementsAre("c", "d"));
  EXPECT_THAT(Mistakes(with("[]")), ElementsAre(HasSubstr("tables.orders.relations: expects a section")));
  EXPECT_THAT(Mistakes(with("{x: {table: customers}}")), ElementsAre(HasSubstr("tables.orders.relations.x: needs the related table")));
  EXPECT_THAT(Mistakes(with("{x: {table: custmers, columns: a, references: b}}")),
              ElementsAre(HasSubstr("relations.x.table: no table is named \"custmers\" (did you mean \"customers\"?)")));
  EXPECT_THAT(Mistakes(with("{x: {table: customers, columns: [a], references: [b, c]}}")),
              ElementsAre(HasSubstr("relations.x.references: has 2 columns, but columns has 1")));
  EXPECT_THAT(Mistakes(with("{x: {table: customers, column: a, columns: a, references: b}}")),
              ElementsAre(HasSubstr("did you mean \"columns\"?")));
}

TEST(LoadConfigTest, SaysWhyAFileCannotBeRead) {
  const auto missing = LoadConfig("/nonexistent/quarry.yaml", {});
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("No such file"));
  EXPECT_THAT(std::string(LoadConfig("/", {}).status().message()), HasSubstr("not a regular file"));
}

TEST(KnownConfigKeysTest, NamesEveryVariableOnce) {
  std::set<std::string> variables;
  for (const ConfigKey& key : KnownConfigKeys()) {
    if (key.environment.empty()) continue;
    EXPECT_TRUE(variables.insert(key.environment).second) << key.environment;
  }
  EXPECT_THAT(variables, Contains("QUARRY_LISTEN_GRPC"));
  EXPECT_THAT(KeysBelow("tables.<name>"),
              UnorderedElementsAre("kind", "key", "resolver", "co_located_with", "shard", "scatter",
                                   "cache_max_age", "merge_reads", "relations"));
  EXPECT_THAT(KeysBelow("tables.<name>.relations.<name>"), UnorderedElementsAre("table", "columns", "references"));
}

}  // namespace
}  // namespace quarry
