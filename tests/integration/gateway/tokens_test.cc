// Page and resume tokens over restarts and over several gateways of one deployment.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

constexpr char kSecret[] = "a secret of one deployment";

client::ListOptions ByVisits(const std::string& page_token = "") {
  client::ListOptions options;
  options.columns = {"visits"};
  options.order_by = {{"visits"}};
  options.page_size = 2;
  options.page_token = page_token;
  return options;
}

std::vector<int64_t> Visits(const v1::ListResponse& page) {
  std::vector<int64_t> visits;
  for (const v1::Row& row : page.rows()) visits.push_back(row.values(0).int64_value());
  return visits;
}

void AddCustomers(client::Client& client, int count) {
  for (int i = 0; i < count; ++i) {
    ASSERT_THAT(client.Insert("customers", {{"id", 1'000 + i}, {"name", "n"}, {"visits", i}}), IsOk());
  }
}

// The resume token of a stream's first rows.
std::string ResumeToken(client::Connection& connection, v1::QueryRequest request) {
  request.set_limit(2);
  const auto stream = connection.Query(request, Soon());
  EXPECT_THAT(stream, IsOk());
  std::string token;
  while (stream.ok()) {
    const absl::StatusOr<std::optional<v1::QueryResponse>> message = (*stream)->Next();
    EXPECT_THAT(message, IsOk());
    if (!message.ok() || !message->has_value()) break;
    if ((*message)->has_batch()) token = (*message)->batch().resume_token();
  }
  return token;
}

TEST(TokensTest, ATokenOutlivesTheGatewayThatMadeIt) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TestGateway> gateway, TestGateway::Start({Kind::kSqlite, 2}));
  AddCustomers(gateway->client(), 5);
  ASSERT_OK_AND_ASSIGN(const v1::ListResponse first, gateway->client().List("customers", {}, ByVisits()));
  EXPECT_THAT(Visits(first), testing::ElementsAre(0, 1));
  v1::QueryRequest query;
  query.set_table("customers");
  query.add_order_by()->set_column("visits");
  query.set_resume_token(ResumeToken(gateway->raw(), query));
  ASSERT_FALSE(query.resume_token().empty());

  ASSERT_THAT(gateway->Restart(), IsOk());
  ASSERT_OK_AND_ASSIGN(const v1::ListResponse second,
                       gateway->client().List("customers", {}, ByVisits(first.next_page_token())));
  EXPECT_THAT(Visits(second), testing::ElementsAre(2, 3));
  ASSERT_OK_AND_ASSIGN(const auto rest, gateway->raw().Query(query, Soon()));
  int64_t expected = 2;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const auto message, rest->Next());
    if (!message.has_value()) break;
    for (const v1::Row& row : message->batch().rows()) EXPECT_EQ(row.values(3).int64_value(), expected++);
  }
  EXPECT_EQ(expected, 5);
}

// Gateways with data directories of their own over the same PostgreSQL shards.
class DeploymentTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int shard = 0; shard < 2; ++shard) {
      const std::string name = absl::StrCat("deployment_", shard);
      ASSERT_THAT(Postgres().CreateDatabase(name), IsOk());
      ASSERT_THAT(Postgres().Run(name, SchemaSql(Kind::kPostgres)), IsOk());
      places_.push_back(absl::StrCat("{postgres: {primary: \"", Postgres().conninfo(name), "\"}}"));
    }
  }
  std::unique_ptr<Gateway> StartGateway(const std::string& secret) {
    data_.emplace_back();
    ConfigOptions options;
    options.overrides = {"loops=1"};
    if (!secret.empty()) options.overrides.push_back("tokens.secret=" + secret);
    absl::StatusOr<Config> config = ParseConfig(ConfigYaml(data_.back().path(), places_), "tokens_test.yaml", options);
    EXPECT_THAT(config, IsOk());
    GatewayOptions gateway;
    gateway.version = "test";
    gateway.catalog_wait = absl::Seconds(10);
    absl::StatusOr<std::unique_ptr<Gateway>> started = Gateway::Start(*std::move(config), gateway);
    EXPECT_THAT(started, IsOk());
    return started.ok() ? *std::move(started) : nullptr;
  }

 private:
  std::vector<std::string> places_;
  std::vector<TempDirectory> data_;
};

TEST_F(DeploymentTest, GatewaysWithOneSecretOpenEachOthersTokens) {
  const std::unique_ptr<Gateway> a = StartGateway(kSecret);
  const std::unique_ptr<Gateway> b = StartGateway(kSecret);
  ASSERT_TRUE(a != nullptr && b != nullptr);
  const std::unique_ptr<client::Client> at_a = ClientAt(a->grpc_port(), 1);
  const std::unique_ptr<client::Client> at_b = ClientAt(b->grpc_port(), 1);
  ASSERT_TRUE(at_a != nullptr && at_b != nullptr);
  AddCustomers(*at_a, 6);
  // Each page at the other gateway.
  ASSERT_OK_AND_ASSIGN(const v1::ListResponse first, at_a->List("customers", {}, ByVisits()));
  ASSERT_OK_AND_ASSIGN(const v1::ListResponse second,
                       at_b->List("customers", {}, ByVisits(first.next_page_token())));
  ASSERT_OK_AND_ASSIGN(const v1::ListResponse third,
                       at_a->List("customers", {}, ByVisits(second.next_page_token())));
  ASSERT_OK_AND_ASSIGN(const v1::ListResponse back,
                       at_b->List("customers", {}, ByVisits(third.previous_page_token())));
  EXPECT_THAT(Visits(first), testing::ElementsAre(0, 1));
  EXPECT_THAT(Visits(second), testing::ElementsAre(2, 3));
  EXPECT_THAT(Visits(third), testing::ElementsAre(4, 5));
  EXPECT_THAT(Visits(back), testing::ElementsAre(2, 3));
  EXPECT_EQ(third.next_page_token(), "");
  // As they are without one: each knows its own tokens alone.
  const std::unique_ptr<Gateway> stranger = StartGateway("");
  ASSERT_NE(stranger, nullptr);
  const std::unique_ptr<client::Client> at_stranger = ClientAt(stranger->grpc_port(), 1);
  ASSERT_NE(at_stranger, nullptr);
  EXPECT_THAT(at_stranger->List("customers", {}, ByVisits(first.next_page_token())), InvalidAt("page_token"));
  ASSERT_OK_AND_ASSIGN(const v1::ListResponse own, at_stranger->List("customers", {}, ByVisits()));
  EXPECT_THAT(at_a->List("customers", {}, ByVisits(own.next_page_token())), InvalidAt("page_token"));
  EXPECT_THAT(at_stranger->List("customers", {}, ByVisits(own.next_page_token())), IsOk());
}

}  // namespace
}  // namespace quarry::gateway_test
