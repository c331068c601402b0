// How many connections a gateway has to a PostgreSQL database.
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

// docs/operating.md: loops x (sessions + pipelines + 13) + 1.
TEST(ConnectionsTest, ADatabaseSeesNoMoreThanIsWritten) {
  constexpr int kSessions = 2;
  constexpr int kPipelines = 1;
  constexpr int kWriters = 12;
  constexpr int kWritesEach = 20;
  GatewaySettings settings;
  settings.overrides = {"loops=1", absl::StrCat("pools.sessions=", kSessions), absl::StrCat("pools.pipelines=", kPipelines)};
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TestGateway> own, TestGateway::Start({Kind::kPostgres, 2}, settings));
  const int64_t customer = own->NewCustomerOn(0);
  ASSERT_THAT(own->client().Insert("customers", {{"id", customer}, {"name", "n"}}), IsOk());

  // A country is on every shard: each write is a commit over both.
  std::atomic<int> left = kWriters;
  std::vector<std::thread> writers;
  writers.reserve(kWriters);
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&own, &left, customer, writer] {
      const std::unique_ptr<client::Client> client = own->NewClient(1, 5);
      for (int i = 0; i < kWritesEach; ++i) {
        const std::string code = absl::StrCat("c", writer, "-", i);
        EXPECT_THAT(client->Upsert("countries", {{"code", code}, {"name", code}}), IsOk());
        EXPECT_THAT(client->Get("customers", {customer}), IsOk());
      }
      --left;
    });
  }
  int64_t most = 0;
  do {
    // Home is the first shard; the other one has the branches that commits end.
    most = std::max(most, NumberOn(*own, 1, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                                            "backend_type = 'client backend'"));
  } while (left > 0);
  for (std::thread& writer : writers) writer.join();
  EXPECT_GT(most, kSessions + kPipelines + 1);  // Commits over several shards have their own.
  EXPECT_LE(most, kSessions + kPipelines + 13 + 1);
}

}  // namespace
}  // namespace quarry::gateway_test
