#include "server/http/http_server.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "gtest/gtest.h"
#include "httplib.h"
#include "nlohmann/json.hpp"
#include "quarry/v1/data.pb.h"
#include "server/http/json_call.h"
#include "server/observe/build_info.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

// While it is true, calls for the table "held" do not end; so many are under way.
std::atomic<bool> held{false};
std::atomic<int> holding{0};

Async<absl::Status> Get(const v1::GetRequest& request, v1::GetResponse& response, CallScope& scope) {
  if (request.table() == "missing") {
    co_return MakeError(absl::StatusCode::kNotFound, reason::kTableNotFound, "no such table", {{"table", "missing"}});
  }
  if (request.table() == "slow") {
    SleepUntil sleep(scope.ctx.loop, scope.ctx.loop.Now() + absl::Hours(1));
    co_await sleep;
  }
  if (request.table() == "held") ++holding;
  while (request.table() == "held" && held) {
    SleepUntil sleep(scope.ctx.loop, scope.ctx.loop.Now() + absl::Milliseconds(1));
    co_await sleep;
  }
  (*response.mutable_record()->mutable_columns())["id"].set_int64_value(INT64_MAX);
  response.set_etag(scope.ctx.call_id);
  co_return absl::OkStatus();
}

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() {
    table_.AddUnary<v1::GetRequest, v1::GetResponse>("quarry.v1.DataService", "Get", Get);
    grpc_ = std::make_unique<GrpcServer>(GrpcServerOptions(), table_, nullptr);
    http_ = std::make_unique<HttpServer>(HttpServerOptions(), *grpc_, board_,
                                         std::vector<std::shared_ptr<const prometheus::Collectable>>{
                                             MakeRegistry("1.2.3", "shop")});
    EXPECT_THAT(http_->Start(), IsOk());
    client_ = std::make_unique<httplib::Client>("127.0.0.1", http_->port());
  }
  void ShardIs(ShardState state) {
    ShardSample sample;
    sample.health.state = state;
    board_.Publish(0, {sample}, 0, absl::Now());
  }
  nlohmann::json Post(const std::string& path, const std::string& body, int status,
                      const httplib::Headers& headers = {}) {
    const httplib::Result result = client_->Post(path, headers, body, "application/json");
    EXPECT_TRUE(result);
    EXPECT_EQ(result->status, status) << result->body;
    return nlohmann::json::parse(result->body);
  }

  RpcTable table_;
  ShardBoard board_{{"s0"}, 1};
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<httplib::Client> client_;
};

TEST_F(HttpServerTest, ServesMetricsAndProbes) {
  EXPECT_EQ(client_->Get("/livez")->status, 200);
  EXPECT_EQ(client_->Get("/readyz")->status, 503);
  ShardIs(ShardState::kUp);
  board_.SetCatalogProblem("table t is missing on s0");
  EXPECT_EQ(client_->Get("/readyz")->status, 503);
  EXPECT_EQ(client_->Get("/readyz")->body, "the tables are not known: table t is missing on s0\nshard s0: UP\n");
  board_.SetCatalogProblem("");
  EXPECT_EQ(client_->Get("/readyz")->status, 200);
  board_.SetDraining();
  EXPECT_EQ(client_->Get("/readyz")->status, 503);
  EXPECT_EQ(client_->Get("/livez")->status, 200);
  EXPECT_THAT(client_->Get("/metrics")->body, testing::HasSubstr("quarry_build_info{"));
}

TEST_F(HttpServerTest, AnswersAUnaryCallInProtobufsJson) {
  const nlohmann::json reply =
      Post("/quarry.v1.DataService/Get", R"({"table": "t", "key": {"values": [{"int64Value": "7"}]}})", 200,
           {{"X-Request-Id", "from-http"}});
  EXPECT_EQ(reply["record"]["columns"]["id"]["int64Value"], "9223372036854775807");
  EXPECT_EQ(reply["etag"], "from-http");
}

TEST_F(HttpServerTest, AnswersErrorsAsStatusWithDetails) {
  const nlohmann::json reply = Post("/quarry.v1.DataService/Get", R"({"table": "missing"})", 404);
  EXPECT_EQ(reply["code"], 5);
  EXPECT_EQ(reply["details"][0]["reason"], "TABLE_NOT_FOUND");
  EXPECT_EQ(reply["details"][0]["metadata"]["table"], "missing");
}

TEST_F(HttpServerTest, RefusesBadBodiesPathsAndTypes) {
  EXPECT_EQ(Post("/quarry.v1.DataService/Get", "{\"tabel\": 1}", 400)["code"], 3);
  EXPECT_EQ(Post("/quarry.v1.DataService/Get", "\xff\xfe", 400)["code"], 3);
  EXPECT_EQ(Post("/quarry.v1.DataService/Get", std::string(100'000, '['), 400)["code"], 3);
  EXPECT_EQ(Post("/quarry.v1.DataService/Nothing", "{}", 404)["code"], 12);
  const httplib::Result page = client_->Get("/nothing");
  EXPECT_EQ(page->status, 404);
  EXPECT_THAT(page->body, testing::HasSubstr("/metrics"));
  EXPECT_EQ(client_->Post("/quarry.v1.DataService/Get", "{}", "text/plain")->status, 415);
  EXPECT_EQ(client_->Post("/quarry.v1.DataService/Get", std::string(5 << 20, ' '), "application/json")->status, 413);
}

TEST_F(HttpServerTest, EndsACallAtTheTimeoutOfItsHeader) {
  EXPECT_EQ(Post("/quarry.v1.DataService/Get", R"({"table": "slow"})", 504, {{"X-Timeout", "20ms"}})["code"], 4);
  EXPECT_EQ(Post("/quarry.v1.DataService/Get", R"({"table": "slow"})", 504, {{"grpc-timeout", "20m"}})["code"], 4);
  EXPECT_EQ(Post("/quarry.v1.DataService/Get", "{}", 400, {{"X-Timeout", "soon"}})["code"], 3);
}

TEST_F(HttpServerTest, ConnectionsThatWaitForANextCallLeaveThreadsForProbes) {
  HttpServerOptions options;
  options.threads = 4;
  options.kept_open = 2;
  HttpServer narrow(options, *grpc_, board_, {});
  ASSERT_THAT(narrow.Start(), IsOk());
  std::vector<std::unique_ptr<httplib::Client>> clients;
  const auto connect_and_call = [&] {
    clients.push_back(std::make_unique<httplib::Client>("127.0.0.1", narrow.port()));
    clients.back()->set_keep_alive(true);
    const httplib::Result reply = clients.back()->Post("/quarry.v1.DataService/Get", R"({"table": "t"})", "application/json");
    EXPECT_EQ(reply->status, 200);
    return reply->get_header_value("Connection");
  };
  EXPECT_EQ(connect_and_call(), "");
  EXPECT_EQ(connect_and_call(), "");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(connect_and_call(), "close") << i;
  EXPECT_EQ(httplib::Client("127.0.0.1", narrow.port()).Get("/livez")->status, 200);
}

TEST_F(HttpServerTest, CallsThatHangLeaveThreadsForProbesAndRefuseMoreCalls) {
  HttpServerOptions options;
  options.threads = 4;
  options.calls_max = 2;
  HttpServer narrow(options, *grpc_, board_, {});
  ASSERT_THAT(narrow.Start(), IsOk());
  const auto post = [&narrow](const char* table) {
    return httplib::Client("127.0.0.1", narrow.port())
        .Post("/quarry.v1.DataService/Get", absl::StrCat("{\"table\": \"", table, "\"}"), "application/json");
  };
  held = true;
  std::atomic<int> answered{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back([&] {
      EXPECT_EQ(post("held")->status, 200);
      ++answered;
    });
  }
  for (const absl::Time end = absl::Now() + absl::Seconds(30); holding < 2 && absl::Now() < end;) {
    std::this_thread::yield();
  }
  EXPECT_EQ(holding, 2);
  const httplib::Result refused = post("t");
  EXPECT_EQ(refused->status, 429) << refused->body;
  EXPECT_EQ(refused->get_header_value("Retry-After"), "1");
  EXPECT_EQ(nlohmann::json::parse(refused->body)["code"], 8);
  EXPECT_THAT(refused->body, testing::HasSubstr(R"("reason":"LIMIT_EXCEEDED")"));
  EXPECT_THAT(refused->body, testing::HasSubstr(R"("size":"2")"));
  httplib::Client probe("127.0.0.1", narrow.port());
  EXPECT_EQ(probe.Get("/livez")->status, 200);
  EXPECT_EQ(probe.Get("/metrics")->status, 200);
  EXPECT_EQ(answered, 0) << "all the while";
  held = false;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(post("t")->status, 200);
}

TEST_F(HttpServerTest, RefusesAPortThatIsTaken) {
  HttpServerOptions options;
  options.port = http_->port();
  HttpServer other(options, *grpc_, board_, {});
  EXPECT_THAT(other.Start(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(ParseTimeoutTest, ReadsDurations) {
  EXPECT_EQ(ParseTimeout("1.5s"), absl::Milliseconds(1500));
  EXPECT_EQ(ParseTimeout("2m"), absl::Minutes(2));
  for (const char* bad : {"", "5", "-5s", "0s", "s", "5x"}) EXPECT_EQ(ParseTimeout(bad), std::nullopt) << bad;
}

TEST(ParseTimeoutTest, ReadsTheFormOfGrpc) {
  EXPECT_EQ(ParseGrpcTimeout("5S"), absl::Seconds(5));
  EXPECT_EQ(ParseGrpcTimeout("2m"), absl::Milliseconds(2));
  for (const char* bad : {"", "5", "-5S", "0S", "S", "1234567890S", "5x"}) {
    EXPECT_EQ(ParseGrpcTimeout(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace quarry
