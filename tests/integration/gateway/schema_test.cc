// What the gateway says of itself: tables, routes of every resolver, shards, health, reflection.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpcpp/channel.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "tests/integration/gateway/gateway_test.h"
#include "tests/unit/server/rpc_client.h"

namespace quarry::gateway_test {
namespace {

using client::Key;
using client::Value;

QUARRY_GATEWAY_SUITE(SchemaTest);

TEST_P(SchemaTest, TablesAreListedAndDescribed) {
  ASSERT_OK_AND_ASSIGN(const auto tables, client().ListTables());
  ASSERT_EQ(tables.size(), 15U);
  EXPECT_TRUE(std::is_sorted(tables.begin(), tables.end(), [](const auto& a, const auto& b) { return a.name() < b.name(); }));
  ASSERT_OK_AND_ASSIGN(const v1::Table customers, client().GetTable("customers"));
  EXPECT_EQ(customers.kind(), v1::TABLE_KIND_SHARDED);
  ASSERT_EQ(customers.columns_size(), 5);
  EXPECT_EQ(customers.columns(0).name(), "id");
  EXPECT_EQ(customers.columns(0).type().code(), v1::TYPE_CODE_INT64);
  EXPECT_FALSE(customers.columns(1).nullable());
  EXPECT_TRUE(customers.columns(2).nullable());
  EXPECT_TRUE(customers.columns(3).has_default());
  EXPECT_EQ(customers.columns(4).type().code(), v1::TYPE_CODE_DECIMAL);
  EXPECT_EQ(customers.primary_key(0), "id");
  ASSERT_EQ(customers.unique_constraints_size(), 1);
  EXPECT_EQ(customers.unique_constraints(0).columns(0), "email");
  EXPECT_EQ(customers.colocated_with_size(), 4) << "all_types and stamps share its resolver";
  EXPECT_EQ(customers.shards_size(), shards());
  ASSERT_OK_AND_ASSIGN(const v1::Table orders, client().GetTable("orders"));
  ASSERT_EQ(orders.foreign_keys_size(), 1);
  EXPECT_EQ(orders.foreign_keys(0).referenced_table(), "customers");
  EXPECT_EQ(orders.resolver(), "by_customer");
  ASSERT_OK_AND_ASSIGN(const v1::Table notes, client().GetTable("notes"));
  EXPECT_TRUE(notes.columns(0).has_default());
  EXPECT_EQ(notes.shards_size(), 1);
  ASSERT_OK_AND_ASSIGN(const v1::Table countries, client().GetTable("countries"));
  EXPECT_EQ(countries.kind(), v1::TABLE_KIND_REFERENCE);
  const absl::Status unknown = client().GetTable("custmers").status();
  EXPECT_THAT(unknown, Fails(absl::StatusCode::kNotFound, reason::kTableNotFound));
  EXPECT_NE(unknown.message().find("customers"), absl::string_view::npos) << "did you mean";
}

TEST_P(SchemaTest, HashAndConsistentHashRoutesAreExplainedAndFollowed) {
  std::set<std::string> hash_shards;
  std::set<std::string> bucket_shards;
  for (int i = 0; i < 60; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto hash, client().ResolveKey("customers", {i}));
    EXPECT_EQ(hash.resolver_type(), "hash");
    EXPECT_TRUE(hash.has_hash());
    EXPECT_EQ(hash.bucket(), static_cast<int64_t>(hash.hash() % static_cast<uint64_t>(shards())));
    EXPECT_EQ(hash.shard(), TestGateway::ShardName(static_cast<int>(hash.bucket())));
    EXPECT_FALSE(hash.explanation().empty());
    hash_shards.insert(hash.shard());
    const Value day = Value::Date("2026-01-31");
    const std::string tenant = absl::StrCat("tenant ", i, " ", gateway_.NewId());
    ASSERT_OK_AND_ASSIGN(const auto bucket, client().ResolveKey("readings", {tenant, day, 1}));
    EXPECT_EQ(bucket.resolver_type(), "consistent_hash");
    EXPECT_TRUE(bucket.has_bucket());
    // By the shard key alone, too.
    ASSERT_OK_AND_ASSIGN(const auto alone,
                         client().ResolveKey("readings", Key::ByName({{"day", day}, {"tenant", tenant}})));
    EXPECT_EQ(alone.shard(), bucket.shard());
    bucket_shards.insert(bucket.shard());
    if (i % 10 != 0) continue;
    ASSERT_OK_AND_ASSIGN(const auto written, client().Insert("readings", {{"tenant", tenant}, {"day", day}, {"seq", i},
                                                                          {"amount", 0.5}}));
    EXPECT_EQ(written.served_by.shards_answered(0), bucket.shard());
    ASSERT_OK_AND_ASSIGN(const auto read, client().Get("readings", {tenant, day, i}));
    EXPECT_EQ(read.record["amount"], Value(0.5));
  }
  EXPECT_EQ(static_cast<int>(hash_shards.size()), shards());
  EXPECT_EQ(static_cast<int>(bucket_shards.size()), shards());
}

TEST_P(SchemaTest, RangeAndGeoRoutesPutRowsWhereTheirRulesSay) {
  EXPECT_EQ(gateway_.ShardOf("tickets", {999}), "s0");
  EXPECT_EQ(gateway_.ShardOf("tickets", {1000}), "s1");
  EXPECT_EQ(gateway_.ShardOf("tickets", {std::numeric_limits<int64_t>::min()}), "s0");
  EXPECT_EQ(gateway_.ShardOf("tickets", {std::numeric_limits<int64_t>::max()}), "s1");
  ASSERT_THAT(client().Insert("tickets", {{"number", 999}, {"title", "a"}}), IsOk());
  ASSERT_THAT(client().Insert("tickets", {{"number", 1000}, {"title", "b"}}), IsOk());
  EXPECT_EQ(NumberOn(gateway_, 0, "SELECT number FROM tickets"), 999);
  EXPECT_EQ(NumberOn(gateway_, 1, "SELECT number FROM tickets"), 1000);
  ASSERT_OK_AND_ASSIGN(const auto batch, client().BatchGet("tickets", {{1000}, {5}, {999}}));
  EXPECT_EQ(batch.missing, std::vector<int>{1});
  ASSERT_THAT(client().Delete("tickets", {999}), IsOk());
  ASSERT_THAT(client().Delete("tickets", {1000}), IsOk());
  EXPECT_EQ(gateway_.ShardOf("people", {"US", "NY", 1}), "s0");
  EXPECT_EQ(gateway_.ShardOf("people", {"US", "CA", 1}), "s1");
  EXPECT_EQ(gateway_.ShardOf("people", {"DE", "CA", 1}), "s0");
  const int64_t id = gateway_.NewId();
  ASSERT_OK_AND_ASSIGN(const auto person, client().Insert("people", {{"country", "US"}, {"state", "OR"}, {"id", id}}));
  EXPECT_EQ(person.served_by.shards_answered(0), "s1");
  ASSERT_OK_AND_ASSIGN(const auto geo, client().ResolveKey("people", {"FR", "x", 1}));
  EXPECT_EQ(geo.resolver_type(), "geo");
  EXPECT_NE(geo.explanation().find("default"), std::string::npos) << geo.explanation();
}

TEST_P(SchemaTest, ALookupRemembersNewKeysInItsDirectoryBeyondARestart) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TestGateway> own, TestGateway::Start(GetParam()));
  client::Client* client = &own->client();
  EXPECT_EQ(own->ShardOf("owners", {"acme"}), "s1");
  EXPECT_THAT(client->Get("owners", {"new"}).status(), StatusIs(absl::StatusCode::kNotFound));
  std::vector<std::pair<std::string, std::string>> homes;
  std::set<std::string> used;
  for (int i = 0; i < 24; ++i) {
    const std::string name = absl::StrCat("owner ", i);
    ASSERT_OK_AND_ASSIGN(const auto written, client->Insert("owners", {{"name", name}, {"plan", "p"}}));
    homes.emplace_back(name, written.served_by.shards_answered(0));
    used.insert(homes.back().second);
    ASSERT_OK_AND_ASSIGN(const auto child, client->Insert("owner_files", {{"name", name}, {"file", 1}}));
    EXPECT_EQ(child.served_by.shards_answered(0), homes.back().second);
  }
  EXPECT_GT(used.size(), 1U);
  ASSERT_OK_AND_ASSIGN(const auto unmapped, client->BatchGet("members", {{"m"}, {"n"}}));
  EXPECT_EQ(unmapped.missing.size(), 2U);
  EXPECT_THAT(client->MapKey("customers", {1}, "s1"),
              Fails(absl::StatusCode::kFailedPrecondition, reason::kNoDirectory));
  EXPECT_THAT(client->MapKey("members", {"m"}, "s77"), Fails(absl::StatusCode::kNotFound, reason::kShardNotFound));
  EXPECT_THAT(client->Insert("members", {{"name", "m"}}), Fails(absl::StatusCode::kNotFound, reason::kKeyNotMapped));
  ASSERT_THAT(client->MapKey("members", {"m"}, "s1"), IsOk());
  ASSERT_THAT(client->MapKey("members", {"m"}, "s1"), IsOk());
  EXPECT_THAT(client->MapKey("members", {"m"}, "s0"), Fails(absl::StatusCode::kAlreadyExists, reason::kKeyMapped));
  EXPECT_THAT(client->Insert("members", {{"name", "m"}}), IsOk());
  ASSERT_THAT(own->Restart(), IsOk());
  client = &own->client();
  std::vector<Key> keys;
  for (const auto& [name, shard] : homes) keys.push_back({name});
  ASSERT_OK_AND_ASSIGN(const auto batch, client->BatchGet("owners", keys));
  EXPECT_TRUE(batch.missing.empty());
  for (const auto& [name, shard] : homes) {
    ASSERT_OK_AND_ASSIGN(const auto resolved, client->ResolveKey("owner_files", {name, 1}));
    EXPECT_EQ(resolved.shard(), shard);
    EXPECT_EQ(resolved.resolver_type(), "lookup");
    EXPECT_THAT(client->Update("owners", {name}, {{"plan", "q"}}), IsOk());
  }
  EXPECT_EQ(own->ShardOf("members", {"m"}), "s1");
  EXPECT_THAT(client->Get("members", {"m"}), IsOk());
  EXPECT_TRUE(own->SettlesToNoSessions());
}

TEST_P(SchemaTest, ReferenceAndSingleTablesAreResolvedWithoutAResolver) {
  ASSERT_OK_AND_ASSIGN(const auto reference, client().ResolveKey("countries", {"x"}));
  EXPECT_EQ(reference.shards_size(), shards());
  EXPECT_TRUE(reference.resolver().empty());
  ASSERT_OK_AND_ASSIGN(const auto single, client().ResolveKey("settings", {"x"}));
  EXPECT_EQ(single.shard(), "s0");
  EXPECT_EQ(single.shards_size(), 1);
}

TEST_P(SchemaTest, ShardsAndTheGatewayAreDescribedForOperators) {
  AddCustomer();
  ASSERT_OK_AND_ASSIGN(const auto listed, client().ListShards());
  ASSERT_EQ(static_cast<int>(listed.size()), shards());
  for (const v1::Shard& shard : listed) {
    EXPECT_EQ(shard.kind(), postgres() ? v1::BACKEND_KIND_POSTGRESQL : v1::BACKEND_KIND_SQLITE);
    ASSERT_EQ(shard.servers_size(), 1);
    EXPECT_GT(shard.servers(0).pool().sessions_max(), 0);
    EXPECT_GT(shard.servers(0).pool().waiters_max(), 0);
    EXPECT_EQ(shard.servers(0).address().find("password"), std::string::npos);
    EXPECT_EQ(shard.servers(0).address().find("user"), std::string::npos);
  }
  ASSERT_OK_AND_ASSIGN(const auto info, client().GetInfo());
  EXPECT_EQ(info.version(), "test");
  EXPECT_EQ(info.deployment(), "integration");
  EXPECT_GT(info.epoch(), 0);
  EXPECT_GE(info.uptime().seconds(), 0);
}

TEST_P(SchemaTest, HealthIsToldForTheWholeForEachServiceAndForEachShard) {
  std::vector<std::string> names = {"", "quarry.v1.DataService", "quarry.v1.LockService", "quarry.v1.ShardService", "quarry.v1.TransactionService",
                                    "quarry.v1.SchemaService", "quarry.v1.AdminService"};
  for (int shard = 0; shard < shards(); ++shard) {
    EXPECT_GT(NumberOn(gateway_, shard, "SELECT 1"), 0);
    names.push_back("shard/" + TestGateway::ShardName(shard));
  }
  for (const std::string& name : names) {
    EXPECT_TRUE(Eventually([&] {
      const absl::StatusOr<bool> healthy = client().Health(name);
      return healthy.ok() && *healthy;
    })) << name;
  }
  EXPECT_THAT(client().Health("shard/nowhere"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(gateway_.HttpGet("/livez", nullptr), 200);
  EXPECT_EQ(gateway_.HttpGet("/readyz", nullptr), 200);
  EXPECT_GT(gateway_.Metric("grpc_server_handled_total").value_or(0), 0);
  EXPECT_EQ(gateway_.Metric("quarry_shard_up"), shards());
  EXPECT_THAT(client().Get("customers", {1}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_GT(gateway_.Metric("quarry_resolutions_total").value_or(0), 0);
}

template <typename Request, typename Response>
std::set<std::string> ServicesBy(int port, const std::string& path) {
  const std::shared_ptr<grpc::Channel> channel = ConnectTo(port);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Soon()));
  const auto stream = CallBidi<Request, Response>(*channel, path, context);
  Request request;
  request.set_list_services("");
  EXPECT_TRUE(stream->Write(request));
  Response response;
  EXPECT_TRUE(stream->Read(&response));
  stream->WritesDone();
  std::set<std::string> names;
  for (const auto& service : response.list_services_response().service()) names.insert(service.name());
  EXPECT_TRUE(stream->Finish().ok());
  return names;
}

TEST_P(SchemaTest, ReflectionListsTheServicesInBothVersions) {
  const int port = gateway_.gateway().grpc_port();
  const auto current = ServicesBy<grpc::reflection::v1::ServerReflectionRequest,
                                  grpc::reflection::v1::ServerReflectionResponse>(
      port, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
  const auto older = ServicesBy<grpc::reflection::v1alpha::ServerReflectionRequest,
                                grpc::reflection::v1alpha::ServerReflectionResponse>(
      port, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
  EXPECT_EQ(current, older);
  for (const char* name : {"quarry.v1.DataService", "quarry.v1.ShardService", "grpc.health.v1.Health"}) {
    EXPECT_EQ(current.count(name), 1U) << name;
  }
}

}  // namespace
}  // namespace quarry::gateway_test
