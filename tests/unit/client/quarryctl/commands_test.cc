// Whole command lines against a server whose answers are scripted.
#include "client/quarryctl/commands.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "client/quarryctl/failure.h"
#include "client/quarryctl/import_state.h"
#include "core/base/ids.h"
#include "core/base/rpc_status.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/client/scripted_server.h"

namespace quarry::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CommandsTest : public ::testing::Test {
 protected:
  CommandsTest() {
    std::string pattern = ::testing::TempDir() + "quarryctl-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    setenv("QUARRYCTL_CONFIG", (folder_ + "/config.yaml").c_str(), 1);
    setenv("QUARRY_ADDRESS", server_.address().c_str(), 1);
    server_.set_table(OrdersTable());
  }
  ~CommandsTest() override { std::filesystem::remove_all(folder_); }

  int Run(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv = {"quarryctl"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::ostringstream out;
    std::ostringstream err;
    const int code = RunQuarryctl(static_cast<int>(argv.size()), argv.data(), out, err);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  std::string File(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
    return folder_ + "/" + name;
  }
  static std::string Read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  // A CSV file of orders 1 to `rows`.
  std::string Orders(int rows) {
    std::string text = "customer_id,order_id,status,total,placed\n";
    for (int i = 1; i <= rows; ++i)
      absl::StrAppend(&text, i % 7, ",", i, ",paid,", i, ".50,2026-01-31T00:00:00Z\n");
    return File("orders.csv", text);
  }

  ScriptedServer server_;
  std::string folder_;
  std::string out_;
  std::string err_;
};

TEST_F(CommandsTest, GetPrintsTheRowAsTextAndAsJson) {
  EXPECT_EQ(Run({"get", "orders", "42", "7"}), kExitOk) << err_;
  EXPECT_EQ(out_, "customer_id  42\norder_id     7\n-- shard s1, etag e1\n");
  EXPECT_EQ(Run({"get", "orders", "42", "9223372036854775807", "-o", "json"}), kExitOk) << err_;
  EXPECT_EQ(out_, "{\"customer_id\": 42, \"order_id\": 9223372036854775807}\n");
}

TEST_F(CommandsTest, OptionsMayComeBeforeWhatTheyDoNotTake) {
  EXPECT_EQ(Run({"get", "--columns", "customer_id,order_id", "orders", "-5", "7"}), kExitOk)
      << err_;
  EXPECT_THAT(out_, HasSubstr("customer_id  -5"));
  EXPECT_EQ(Run({"insert", "--returning", "*", "orders", "customer_id=1", "-o", "json"}), kExitOk)
      << err_;
}

TEST_F(CommandsTest, EndsWithTheExitCodeOfTheError) {
  EXPECT_EQ(Run({"get", "order", "42", "7"}), kExitNotFound);
  EXPECT_THAT(err_, HasSubstr("get order failed: NOT_FOUND"));
  EXPECT_EQ(Run({"get", "orders", "42"}), kExitInvalid);
  EXPECT_THAT(err_, HasSubstr("(customer_id, order_id)"));
  EXPECT_EQ(Run({"get", "orders", "x", "7"}), kExitInvalid);
  EXPECT_THAT(err_, HasSubstr("why: customer_id: \"x\" is not a whole number"));
  EXPECT_EQ(Run({"frobnicate"}), kExitUsage);
  EXPECT_EQ(Run({"heath"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("there is no command \"heath\"; did you mean \"health\"?"));
  EXPECT_EQ(Run({"tables", "lst"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("tables: there is no command \"lst\"; did you mean \"list\"?"));
  EXPECT_EQ(Run({"shards"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("Usage: quarryctl shards"));
  EXPECT_EQ(Run({}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("Subcommands:"));
  EXPECT_EQ(Run({"get", "orders"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("key is required"));
  EXPECT_EQ(Run({"get", "orders", "\xff"}), kExitUsage);
  EXPECT_EQ(err_, "argument 3 is not UTF-8\n");
  EXPECT_EQ(Run({"--timeout", "soon", "get", "orders", "1", "2"}), kExitUsage);
  server_.AnswerWith({absl::FailedPreconditionError("no")});
  EXPECT_EQ(Run({"insert", "orders", "customer_id=1"}), kExitConflict);
}

TEST_F(CommandsTest, LivenessIsAnyAnswerAndAsksNothingElse) {
  EXPECT_EQ(Run({"health", "--live"}), kExitOk) << err_;
  EXPECT_EQ(out_, "live, serving\n");
  server_.set_serving(false);
  EXPECT_EQ(Run({"health", "--live"}), kExitOk) << err_;
  EXPECT_EQ(out_, "live, not serving\n");
  EXPECT_EQ(Run({"health", "--live", "-o", "json"}), kExitOk) << err_;
  EXPECT_EQ(out_, "{\"live\": true, \"serving\": false}\n");
  EXPECT_EQ(server_.calls(), std::vector<std::string>(3, "Check"));
  server_.AnswerWith({MakeError(absl::StatusCode::kResourceExhausted, reason::kPoolExhausted, "full")});
  EXPECT_EQ(Run({"health", "--live"}), kExitOk) << err_;
  EXPECT_EQ(out_, "live, not serving\n");
  const absl::Status draining = MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "a gateway of before");
  server_.AnswerWith({draining, draining, draining, draining, draining, draining, draining, draining});
  EXPECT_EQ(Run({"health", "--live"}), kExitOk) << err_;
  EXPECT_EQ(out_, "live, not serving\n");
  server_.AnswerWith({});
  EXPECT_EQ(Run({"--address", "127.0.0.1:1", "--timeout", "1s", "health", "--live"}), kExitUnavailable) << out_;
}

TEST_F(CommandsTest, WritesTypedColumnsAndSplitsTheKeyOfAnUpdate) {
  EXPECT_EQ(Run({"insert", "orders", "customer_id=1", "order_id=2", "total=1.50", "status:=null",
                 "-o", "json"}),
            kExitOk)
      << err_;
  EXPECT_THAT(out_, HasSubstr("\"record\": {\"customer_id\": 1, \"order_id\": 2, \"status\": null, "
                              "\"total\": \"1.50\"}"));
  EXPECT_EQ(Run({"update", "orders", "customer_id=1", "order_id=2", "status=sent", "--etag", "e7",
                 "-o", "json"}),
            kExitOk)
      << err_;
  EXPECT_THAT(
      out_,
      HasSubstr(
          "{\"key\": {\"customer_id\": 1, \"order_id\": 2}, \"record\": {\"status\": \"sent\"}"));
  EXPECT_THAT(out_, HasSubstr("\"etag\": \"e7\""));
}

TEST_F(CommandsTest, AWriteOfUnknownOutcomeNamesTheRequestIdThatItWasSentUnder) {
  ErrorDetail broken;
  broken.reason = reason::kWriteOutcomeUnknown;
  broken.retry_after = absl::Hours(1);  // Longer than the call has: it is not tried again.
  const absl::Status unknown = MakeError(absl::StatusCode::kUnknown, "the connection broke", broken);
  const absl::Status late = MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "deadline ended");
  server_.AnswerWith({late});
  EXPECT_EQ(Run({"insert", "orders", "customer_id=1", "order_id=2"}), kExitDeadline);
  ASSERT_EQ(server_.request_ids().size(), 1);
  EXPECT_THAT(err_, HasSubstr("run it again with --request-id " + server_.request_ids().back() + ", or"));
  const std::string own = "0198c3f5-6e5a-7c1e-9a54-3f1f0c2b7d10";
  server_.AnswerWith({unknown});
  EXPECT_EQ(Run({"update", "orders", "customer_id=1", "order_id=2", "status=x", "--request-id", own}), kExitOutcomeUnknown);
  EXPECT_EQ(server_.request_ids().back(), own);
  EXPECT_THAT(err_, HasSubstr("run it again with --request-id " + own + ", or"));
}

TEST_F(CommandsTest, AWriteWhoseConnectionBrokeNamesItsRequestIdAndOneThatAShardRefusedDoesNot) {
  const std::string id = "0198c3f5-6e5a-7c1e-9a54-3f1f0c2b7d10";
  EXPECT_THAT(ctl::Describe("insert", absl::UnavailableError("Socket closed"), id),
              HasSubstr("run it again with --request-id " + id + ", or"));
  EXPECT_THAT(ctl::Describe("get", absl::UnavailableError("Socket closed"), ""), Not(HasSubstr("request-id")));
  EXPECT_THAT(ctl::Describe("insert", MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable, "down"), id),
              Not(HasSubstr("request-id")));
}

TEST_F(CommandsTest, WhatWritesNothingSaysNothingOfAWriteWhenItIsLate) {
  const absl::Status late = MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "deadline ended");
  const std::vector<std::vector<std::string>> commands = {
      {"get", "orders", "1", "2"}, {"transactions", "list"}, {"sql", "--all", "SELECT 1"}};
  for (const std::vector<std::string>& command : commands) {
    server_.AnswerWith({late});
    EXPECT_EQ(Run(command), kExitDeadline) << command[0];
    EXPECT_THAT(err_, HasSubstr("do: give more time with --timeout\n")) << command[0];
  }
}

TEST_F(CommandsTest, ReportsEveryBadColumnAtOnce) {
  EXPECT_EQ(Run({"insert", "orders", "statsu=x", "total=1,5", "order_id"}), kExitInvalid);
  EXPECT_THAT(err_, HasSubstr("did you mean \"status\"?"));
  EXPECT_THAT(err_, HasSubstr("field total: \"1,5\" is not a decimal number"));
  EXPECT_THAT(err_, HasSubstr("field order_id: write name=value"));
}

TEST_F(CommandsTest, EveryCommandExplainsItselfWithAnExample) {
  const std::vector<std::vector<std::string>> commands = {{},
                                                          {"get"},
                                                          {"insert"},
                                                          {"update"},
                                                          {"upsert"},
                                                          {"delete"},
                                                          {"list"},
                                                          {"query"},
                                                          {"aggregate"},
                                                          {"update-where"},
                                                          {"delete-where"},
                                                          {"explain"},
                                                          {"top"},
                                                          {"insights"},
                                                          {"sql"},
                                                          {"import"},
                                                          {"tables"},
                                                          {"tables", "list"},
                                                          {"tables", "describe"},
                                                          {"resolve"},
                                                          {"shards"},
                                                          {"shards", "list"},
                                                          {"health"},
                                                          {"context"},
                                                          {"context", "list"},
                                                          {"context", "use"},
                                                          {"context", "set"}};
  for (std::vector<std::string> command : commands) {
    command.push_back("--help");
    EXPECT_EQ(Run(command), kExitOk) << command.front();
    EXPECT_THAT(out_, HasSubstr("Example: ")) << command.front();
  }
  EXPECT_EQ(Run({"--version"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("quarryctl 0."));
}

v1::TopQuery TopQuery(const std::string& id, const std::string& method, const std::string& shape, int scattered) {
  v1::TopQuery query;
  query.set_query_id(id);
  query.set_method(method);
  query.set_table("orders");
  query.set_shape(shape);
  query.set_calls(4);
  query.set_errors(1);
  query.set_rows(40);
  query.set_scatter_calls(scattered);
  query.set_shards_asked(4 + scattered);
  query.mutable_total_duration()->set_seconds(1);
  query.mutable_mean_duration()->set_nanos(250'000'000);
  query.mutable_max_duration()->set_nanos(700'000'000);
  return query;
}

TEST_F(CommandsTest, TopListsWhatQueriesCost) {
  server_.set_top_queries({TopQuery("00000000000000aa", "List", "status = ?", 2), TopQuery("bb", "Query", "all rows", 0)});
  EXPECT_EQ(Run({"top"}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("query             calls  errors  rows  total ms  mean ms  max ms  shards/call  scatter  method  table"));
  EXPECT_THAT(out_, HasSubstr("00000000000000aa      4       1    40    1000.0    250.0   700.0          1.5      50%  List    orders"));
  EXPECT_THAT(out_, HasSubstr("1.0       0%  Query   orders  all rows"));
  EXPECT_EQ(Run({"top", "--limit", "1", "-o", "json"}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("\"query_id\": \"00000000000000aa\""));
  EXPECT_THAT(out_, ::testing::Not(HasSubstr("all rows")));
  EXPECT_EQ(Run({"top", "--by", "size"}), kExitUsage);
  EXPECT_EQ(Run({"top", "--limit", "0"}), kExitUsage);
}

TEST_F(CommandsTest, TopTellsWhichShardTakesTheTime) {
  v1::TopQuery scattered = TopQuery("00000000000000aa", "List", "status = ?", 2);
  for (int shard = 0; shard < 2; ++shard) {
    v1::TopQueryShard* of_shard = scattered.add_shards();
    of_shard->set_shard(absl::StrCat("s", shard));
    of_shard->set_calls(4);
    of_shard->set_rows(20 + shard);
    of_shard->mutable_total_duration()->set_nanos(100'000'000 + 800'000'000 * shard);
    of_shard->mutable_mean_duration()->set_nanos(25'000'000 + 200'000'000 * shard);
  }
  server_.set_top_queries({scattered});
  EXPECT_EQ(Run({"top", "--shards"}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("query             shard  calls  rows  total ms  mean ms  method  table   shape"));
  EXPECT_THAT(out_, HasSubstr("00000000000000aa  s0         4    20     100.0     25.0  List    orders  status = ?"));
  EXPECT_THAT(out_, HasSubstr("00000000000000aa  s1         4    21     900.0    225.0  List    orders  status = ?"));
  EXPECT_EQ(Run({"top", "-o", "json"}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("\"shard\": \"s1\""));
  EXPECT_EQ(Run({"insights", "--shards"}), kExitUsage);
}

TEST_F(CommandsTest, InsightsFindScattersScansAndSkew) {
  v1::TopQuery kept = TopQuery("aa", "List", "status = ?", 3);
  kept.set_has_example(true);
  server_.set_top_queries({kept});
  v1::ExplainResponse explanation;
  for (const int rows : {100, 1'900}) {
    v1::ShardQuery* shard = explanation.add_shard_queries();
    shard->set_shard("s" + std::to_string(explanation.shard_queries_size() - 1));
    shard->set_rows(rows);
    shard->set_database_plan(rows > 1'000 ? "Seq Scan on orders t0" : "SEARCH t0 USING INDEX by_status");
  }
  explanation.add_shard_queries()->set_shard("s2");
  server_.set_explanation(explanation);
  EXPECT_EQ(Run({"insights"}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("! 3 of 4 calls asked several shards: List orders status = ?\n  add equality on the shard key (customer_id)"));
  EXPECT_THAT(out_, HasSubstr("! shard s1 reads its whole table: List orders status = ?\n  an index on"));
  EXPECT_THAT(out_, HasSubstr("! shard s1 gives 1900 of 2000 rows: List orders status = ?\n  a shard key"));
  EXPECT_THAT(out_, HasSubstr("  quarryctl explain --query-id aa --analyze\n"));
  EXPECT_THAT(out_, HasSubstr("-- 3 found in 1 shapes of queries\n"));
  EXPECT_THAT(server_.calls(), ::testing::ElementsAre("ListTopQueries", "Explain analyze"));
  EXPECT_EQ(Run({"insights", "-o", "json"}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("{\"query_id\": \"aa\", \"what\": \"3 of 4 calls asked several shards: List orders status = ?\""));
}

TEST_F(CommandsTest, InsightsKnowTheShardKeyFromColumnsThatEndLikeIt) {
  v1::Table table = OrdersTable();
  table.clear_shard_key();
  table.add_shard_key("id");
  server_.set_table(table);
  server_.set_top_queries({TopQuery("aa", "List", "order_id = ?", 3), TopQuery("bb", "List", "status = ? AND (order_id IN (?))", 3),
                           TopQuery("cc", "List", "id = ?", 3), TopQuery("dd", "List", "(id IN (?) OR status = ?)", 3),
                           TopQuery("ee", "List", "order_id = ? AND id = ?", 3)});
  EXPECT_EQ(Run({"insights"}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("--query-id aa"));
  EXPECT_THAT(out_, HasSubstr("--query-id bb"));
  EXPECT_THAT(out_, HasSubstr("-- 2 found in 5 shapes"));
}

TEST_F(CommandsTest, InsightsGoOnAfterAQueryThatCannotBeRun) {
  v1::TopQuery kept = TopQuery("aa", "List", "customer_id = ?", 0);
  kept.set_has_example(true);
  server_.set_top_queries({kept, TopQuery("bb", "List", "status = ?", 3)});
  server_.AnswerWith({absl::OkStatus(), absl::PermissionDeniedError("no")});
  EXPECT_EQ(Run({"insights"}), kExitDenied);
  EXPECT_THAT(err_, HasSubstr("explain of query aa failed: PERMISSION_DENIED"));
  EXPECT_THAT(out_, HasSubstr("-- 1 found in 2 shapes of queries"));
}

TEST_F(CommandsTest, BulkWritesAskForYesBeforeTheyAskTheGateway) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"delete-where", "orders", "--filter", "order_id = 1"},
        std::vector<std::string>{"update-where", "orders", "status=late", "--filter", "order_id = 1", "--all-shards"}}) {
    EXPECT_EQ(Run(command), kExitInvalid);
    EXPECT_THAT(err_, HasSubstr("--yes: is missing"));
    EXPECT_THAT(err_, HasSubstr("quarryctl aggregate orders"));
  }
  EXPECT_THAT(server_.calls(), IsEmpty());
  EXPECT_EQ(Run({"delete-where", "orders", "--filter", "order_id = 1", "--yes"}), kExitOk) << err_;
  EXPECT_EQ(out_, "shard  rows  batches  status\ns1        3        0  done\n-- 3 rows\n");
  server_.AnswerWith({absl::FailedPreconditionError("a constraint")});
  EXPECT_EQ(Run({"delete-where", "orders", "--filter", "order_id = 1", "--yes"}), kExitConflict);
  EXPECT_THAT(err_, HasSubstr("delete-where orders on shard s1 failed: FAILED_PRECONDITION"));
  EXPECT_THAT(out_, HasSubstr("-- 3 rows\n")) << "what other batches did is told";
}

TEST_F(CommandsTest, AQueryThatBreaksPrintsItsRowsAndEndsWithTheError) {
  v1::QueryResponse header;
  header.mutable_header()->add_columns()->set_name("order_id");
  v1::QueryResponse batch;
  batch.mutable_batch()->add_rows()->add_values()->set_int64_value(7);
  batch.mutable_batch()->set_resume_token("t1");
  v1::QueryResponse summary;
  summary.mutable_summary()->set_rows(1);
  server_.set_queries({{{header, batch}, absl::InternalError("broken")}, {{header, batch, summary}, absl::OkStatus()}});
  EXPECT_EQ(Run({"query", "orders"}), kExitError);
  EXPECT_EQ(out_, "order_id\n7\n") << "no total: there may be more";
  EXPECT_THAT(err_, HasSubstr("query orders failed: INTERNAL"));
  EXPECT_EQ(Run({"query", "orders", "-o", "json"}), kExitOk) << err_;
  EXPECT_EQ(out_, "{\"order_id\": 7}\n");
}

TEST_F(CommandsTest, RemembersContexts) {
  EXPECT_EQ(Run({"context", "set", "local", "--address", server_.address()}), kExitOk) << err_;
  EXPECT_EQ(Run({"context", "set", "other", "--address", "other:1", "--timeout", "5s"}), kExitOk)
      << err_;
  EXPECT_EQ(Run({"context", "list"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("*  local"));
  EXPECT_EQ(Run({"context", "use", "other"}), kExitOk);
  EXPECT_EQ(Run({"context", "use", "nobody"}), kExitUsage);
  unsetenv("QUARRY_ADDRESS");
  EXPECT_EQ(Run({"--context", "local", "get", "orders", "1", "2"}), kExitOk) << err_;
}

TEST_F(CommandsTest, ImportWritesEveryRowOnce) {
  const std::string file = Orders(1000);
  EXPECT_EQ(Run({"import", file, "--table", "orders", "--batch", "64", "--parallel", "3"}), kExitOk)
      << err_;
  EXPECT_THAT(out_, HasSubstr("1,000 written, 0 replayed, 0 skipped, 0 rejected"));
  EXPECT_FALSE(std::filesystem::exists(file + ".quarry-import"));
  EXPECT_EQ(Run({"import", file, "--table", "orders", "--batch", "64"}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("0 written, 1,000 replayed"));
  EXPECT_EQ(server_.applied(), 1000);
  EXPECT_EQ(Run({"import", file, "--table", "orders", "--batch", "64", "--run", "2"}), kExitOk)
      << err_;
  EXPECT_EQ(server_.applied(), 2000);
}

TEST_F(CommandsTest, ImportThatWasInterruptedGoesOnAndRepeatsNothing) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const std::string file = Orders(500);
  int left = std::uniform_int_distribution<int>(1, 499)(random);
  server_.set_on_mutation([&left](const v1::Mutation&) {
    return left-- > 0 ? absl::OkStatus() : absl::PermissionDeniedError("pulled the plug");
  });
  EXPECT_EQ(Run({"import", file, "--table", "orders", "--batch", "10", "--parallel", "2"}),
            kExitDenied);
  EXPECT_THAT(err_, HasSubstr("--resume"));
  EXPECT_TRUE(std::filesystem::exists(file + ".quarry-import"));
  server_.set_on_mutation(nullptr);
  EXPECT_EQ(
      Run({"import", file, "--table", "orders", "--batch", "10", "--parallel", "2", "--resume"}),
      kExitOk)
      << err_;
  EXPECT_EQ(server_.applied(), 500);
  EXPECT_THAT(out_, HasSubstr("500 rows"));
}

TEST_F(CommandsTest, ImportSkipsWhatTheStateFileSaysIsWritten) {
  const std::string file = Orders(100);
  std::string rows = Read(file);
  int seen = 0;
  server_.set_on_mutation([&seen](const v1::Mutation&) {
    return ++seen == 55 ? absl::UnavailableError("gone") : absl::OkStatus();
  });
  EXPECT_EQ(Run({"import", file, "--table", "orders", "--batch", "10", "--parallel", "1"}), kExitOk)
      << err_;
  EXPECT_EQ(server_.applied(), 100);  // The client sent that batch again.

  const std::string second = File("second.csv", rows + "1,1000,paid,bad,2026-01-31T00:00:00Z\n");
  EXPECT_EQ(Run({"import", second, "--table", "orders", "--batch", "10", "--parallel", "1"}),
            kExitInvalid);
  EXPECT_THAT(err_, HasSubstr("second.csv:102: total: \"bad\" is not a decimal number"));
  EXPECT_EQ(Run({"import", second, "--table", "orders", "--batch", "10", "--resume", "--max-errors",
                 "1"}),
            kExitOk)
      << err_;
  EXPECT_THAT(out_, HasSubstr("101 skipped"));
  EXPECT_EQ(server_.applied(), 200);
  std::ofstream(second, std::ios::app) << "1,1001,paid,1,2026-01-31T00:00:00Z\n";
  File("second.csv.quarry-import", R"({"import_id": "x", "done_below": 0, "done": []})");
  EXPECT_EQ(Run({"import", second, "--table", "orders", "--resume"}), kExitConflict);
  EXPECT_THAT(err_, HasSubstr("is of another import"));
}

TEST_F(CommandsTest, ImportNamesTheLineAndColumnOfABadRowAndKeepsIt) {
  const std::string file = File("bad.csv",
                                "customer_id,order_id,note,total\n"
                                "1,1,\"two\nlines\",1.5\n"
                                "1,x,,1.5\n"
                                "1,2,,\n"
                                "1,3\n"
                                "1,4,,2.5\n");
  server_.set_on_mutation([](const v1::Mutation& mutation) {
    const bool fourth = mutation.insert().record().columns().at("order_id").int64_value() == 4;
    return fourth ? MakeError(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation,
                              "order 4 exists")
                  : absl::OkStatus();
  });
  const std::string rejects = folder_ + "/rejects.csv";
  EXPECT_EQ(Run({"import", file, "--table", "orders", "--map", "note=", "--max-errors", "5",
                 "--rejects", rejects}),
            kExitRejectedRows);
  EXPECT_THAT(err_, HasSubstr("bad.csv:4: order_id: \"x\" is not a whole number"));
  EXPECT_THAT(err_, HasSubstr("bad.csv:6: has 2 fields instead of 4"));
  EXPECT_THAT(err_, HasSubstr("bad.csv:7: order 4 exists (UNIQUE_VIOLATION)"));
  EXPECT_THAT(out_, HasSubstr("5 rows"));
  EXPECT_THAT(out_, HasSubstr("2 written, 0 replayed, 0 skipped, 3 rejected"));
  EXPECT_EQ(Read(rejects), "customer_id,order_id,note,total\n1,x,,1.5\n1,3\n1,4,,2.5\n");
}

TEST_F(CommandsTest, ImportReadsJsonLinesExactly) {
  std::vector<std::string> totals;
  server_.set_on_mutation([&totals](const v1::Mutation& mutation) {
    const auto& columns = mutation.insert().record().columns();
    totals.push_back(absl::StrCat(columns.at("order_id").int64_value(), " ",
                                  columns.at("total").decimal_value()));
    return absl::OkStatus();
  });
  const std::string file =
      File("orders.jsonl",
           "{\"customer_id\": 1, \"id\": 9007199254740993, \"total\": 0.1000000000000000000001}\n\n"
           "{\"customer_id\": 1, \"id\": 2, \"total\": \"7.10\"}");
  EXPECT_EQ(Run({"import", file, "--table", "orders", "--map", "id=order_id"}), kExitOk) << err_;
  EXPECT_THAT(totals,
              ::testing::ElementsAre("9007199254740993 0.1000000000000000000001", "2 7.10"));
}

TEST_F(CommandsTest, ImportRefusesAHeaderThatDoesNotFit) {
  const std::string file = File("orders.csv", "customer_id,order_idd,statsu\n");
  EXPECT_EQ(Run({"import", file, "--table", "orders"}), kExitInvalid);
  EXPECT_THAT(err_, HasSubstr("did you mean \"order_id\"?"));
  EXPECT_THAT(err_, HasSubstr("did you mean \"status\"?"));
  EXPECT_THAT(server_.request_ids(), IsEmpty());
}

TEST(ImportIdTest, MakesRequestIdsThatDependOnImportBatchAndRoundAlone) {
  const std::string a = ImportId::Make("content", "options");
  EXPECT_EQ(a, ImportId::Make("content", "options"));
  EXPECT_NE(a, ImportId::Make("content", "option"));
  EXPECT_NE(ImportId::Make("ab", "c"), ImportId::Make("a", "bc"));
  const std::string id = ImportId::RequestId(a, 3, 0);
  EXPECT_EQ(id, ImportId::RequestId(a, 3, 0));
  EXPECT_NE(id, ImportId::RequestId(a, 4, 0));
  EXPECT_NE(id, ImportId::RequestId(a, 3, 1));
  EXPECT_EQ(CanonicalUuid(id), id);
  EXPECT_EQ(id[14], '8');
}

v1::ShardStatus StatusOfShard(const std::string& shard, const absl::Status& status) {
  v1::ShardStatus wire;
  wire.set_shard(shard);
  *wire.mutable_status() = ToRpcStatus(status);
  return wire;
}

TEST_F(CommandsTest, ListsTransactionsInDoubtAndWhoCouldNotBeAsked) {
  v1::ListInDoubtTransactionsResponse list;
  v1::InDoubtTransaction& one = *list.add_transactions();
  one.set_transaction_id("t2-1");
  one.set_state(v1::TRANSACTION_STATE_IN_DOUBT);
  one.set_home("s9");
  one.set_home_unknown(true);
  one.add_prepared_shards("s0");
  one.add_prepared_shards("s1");
  one.mutable_age()->set_seconds(61);
  server_.set_in_doubt(list);
  EXPECT_EQ(Run({"transactions", "list"}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("t2-1         in_doubt  s9 (not configured)  s0, s1                 1m1s"));
  EXPECT_THAT(out_, HasSubstr("-- 1 not at their end"));
  *list.add_failed_shards() =
      StatusOfShard("s2", MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable, "down"));
  server_.set_in_doubt(list);
  EXPECT_EQ(Run({"transactions", "list", "--min-age", "1500ms", "-o", "json"}), kExitUnavailable);
  EXPECT_THAT(out_, HasSubstr("\"transaction_id\": \"t2-1\""));
  EXPECT_THAT(err_, HasSubstr("shard: s2"));
  EXPECT_EQ(Run({"transactions", "list", "--min-age", "soon"}), kExitInvalid);
  EXPECT_THAT(server_.calls(), ::testing::ElementsAre("ListInDoubt", "ListInDoubt 1.500000000"));
}

TEST_F(CommandsTest, ShowsAndResolvesATransaction) {
  v1::GetTransactionResponse fate;
  fate.set_state(v1::TRANSACTION_STATE_COMMITTED);
  fate.add_shards("s0");
  fate.add_shards("s1");
  fate.set_home("s1");
  fate.add_unfinished_shards("s0");
  server_.set_fate(fate);
  EXPECT_EQ(Run({"transactions", "show", "t2-1"}), kExitOk) << err_;
  EXPECT_EQ(out_,
            "transaction     t2-1\nstate           committed\nshards          s0, s1\n"
            "deciding shard  s1\nunfinished on   s0\n");
  v1::ResolveTransactionResponse end;
  end.set_state(v1::TRANSACTION_STATE_ROLLED_BACK);
  end.set_home("s1");
  server_.set_resolution(end);
  EXPECT_EQ(Run({"transactions", "resolve", "t2-1"}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("rolled_back"));
  end.set_state(v1::TRANSACTION_STATE_IN_DOUBT);
  end.add_unfinished_shards("s0");
  server_.set_resolution(end);
  EXPECT_EQ(Run({"transactions", "resolve", "t2-1"}), kExitUnavailable);
  EXPECT_THAT(out_, HasSubstr("! not ended yet on s0"));
  *end.add_failed_shards() = StatusOfShard("s1", absl::UnavailableError("down"));
  server_.set_resolution(end);
  EXPECT_EQ(Run({"transactions", "resolve", "t2-1", "-o", "json"}), kExitUnavailable);
  EXPECT_THAT(err_, HasSubstr("shard: s1"));
  end.set_state(v1::TRANSACTION_STATE_COMMITTED);
  end.clear_failed_shards();
  end.add_contradicting_shards("s0");
  server_.set_resolution(end);
  EXPECT_EQ(Run({"transactions", "resolve", "t2-1"}), kExitError);
  EXPECT_THAT(err_, HasSubstr("is not as decided"));
  EXPECT_EQ(Run({"transactions"}), kExitUsage);
  EXPECT_EQ(Run({"transactions", "resolve"}), kExitUsage);
}

TEST_F(CommandsTest, InitsOneShardOrAllAndFailsWithTheirErrors) {
  v1::InitShardResponse reply;
  *reply.add_shards() = StatusOfShard("s0", absl::OkStatus());
  server_.set_init(reply);
  EXPECT_EQ(Run({"init-shard", "s0"}), kExitOk) << err_;
  EXPECT_EQ(out_, "s0  ready\n");
  *reply.add_shards() = StatusOfShard(
      "s1", MakeError(absl::StatusCode::kFailedPrecondition, reason::kTwoPhaseUnavailable, "grant it"));
  server_.set_init(reply);
  EXPECT_EQ(Run({"init-shard", "--all"}), kExitConflict);
  EXPECT_EQ(out_, "s0  ready\n");
  EXPECT_THAT(err_, HasSubstr("TWO_PHASE_UNAVAILABLE"));
  EXPECT_THAT(err_, HasSubstr("shard: s1"));
  EXPECT_EQ(Run({"init-shard"}), kExitInvalid);
  EXPECT_EQ(Run({"init-shard", "s0", "--all"}), kExitInvalid);
  EXPECT_THAT(server_.calls(), ::testing::ElementsAre("InitShard s0", "InitShard all"));
}

}  // namespace
}  // namespace quarry::ctl
