// What a client should not send: each gets a typed error that names the field, nothing happens, the gateway goes on.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "grpcpp/channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "tests/integration/gateway/gateway_test.h"
#include "tests/unit/server/rpc_client.h"

namespace quarry::gateway_test {
namespace {

using client::Key;
using client::Mutation;
using client::MutationOptions;
using client::Value;

class BadInputTest : public GatewayTest {
 protected:
  BadInputTest() : id_(AddCustomer()) {}
  void TearDown() override {
    // The gateway answers, and its tables are all there.
    EXPECT_THAT(client().Get("customers", {id_}), IsOk());
    EXPECT_EQ(client().ListTables()->size(), 15U);
    for (int shard = 0; shard < shards(); ++shard) {
      EXPECT_GE(NumberOn(gateway_, shard, "SELECT count(*) FROM order_items"), 0);
      EXPECT_GE(NumberOn(gateway_, shard, "SELECT count(*) FROM customers"), 0);
    }
    GatewayTest::TearDown();
  }
  void RefuseKeysOfTheWrongForm() {
    EXPECT_THAT(client().Get("customers", {}), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(client().Get("customers", {1, 2}), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(client().Get("customers", {nullptr}), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(client().Get("customers", {"1"}), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(client().Get("orders", {1}), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(client().Get("orders", Key::ByName({{"customer_id", 1}})), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(client().Get("orders", Key::ByName({{"customer_id", 1}, {"order_id", nullptr}})), InvalidAt("key.order_id"));
    EXPECT_THAT(client().Insert("customers", {{"name", "no key"}}), InvalidAt("record.id"));
    EXPECT_THAT(client().Insert("customers", {{"id", nullptr}, {"name", "null key"}}), InvalidAt("record.id"));
    EXPECT_THAT(client().Upsert("orders", {{"order_id", 1}}), InvalidAt("record.customer_id"));
    EXPECT_THAT(client().Update("customers", {1}, {}), InvalidAt("record"));
    EXPECT_THAT(client().Update("customers", {1}, {{"id", 2}}),
                Fails(absl::StatusCode::kInvalidArgument, reason::kShardKeyImmutable));
    v1::GetRequest both;
    both.set_table("customers");
    *both.mutable_key() = Key({1}).proto();
    (*both.mutable_key()->mutable_columns())["id"] = Value(1).proto();
    EXPECT_THAT(raw().Get(both, Soon()), StatusIs(absl::StatusCode::kInvalidArgument));
    v1::GetRequest unset;
    unset.set_table("customers");
    unset.mutable_key()->add_values();
    EXPECT_THAT(raw().Get(unset, Soon()), InvalidAt("key.values[0]"));
  }
  const int64_t id_;
};

INSTANTIATE_TEST_SUITE_P(Backends, BadInputTest, testing::ValuesIn(SetupsOr({{Kind::kSqlite, 4}, {Kind::kPostgres, 4}})),
                         SetupName);

bool Suggests(const absl::Status& status, const std::string& name) {
  std::string text(status.message());
  for (const FieldViolation& violation : DetailOf(status).violations) absl::StrAppend(&text, violation.description);
  return text.find("did you mean \"" + name) != std::string::npos;
}

TEST_P(BadInputTest, UnknownNamesAreNamedAndABetterOneIsSuggested) {
  absl::Status status = client().Get("custmers", {1}).status();
  EXPECT_THAT(status, Fails(absl::StatusCode::kNotFound, reason::kTableNotFound));
  EXPECT_TRUE(Suggests(status, "customers")) << status;
  status = client().Insert("customers", {{"id", 1}, {"nmae", "x"}, {"name", "y"}}).status();
  EXPECT_THAT(status, InvalidAt("record.nmae"));
  EXPECT_TRUE(Suggests(status, "name")) << status;
  client::ReadOptions columns;
  columns.columns = {"vists"};
  status = client().Get("customers", {1}, columns).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(Suggests(status, "visits")) << status;
  MutationOptions returning;
  returning.returning = {"emial"};
  EXPECT_TRUE(Suggests(client().Update("customers", {id_}, {{"visits", 1}}, returning).status(), "email"));
  EXPECT_THAT(client().Get("customers", Key::ByName({{"idd", 1}})), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client().ResolveKey("ordres", {1, 1}), Fails(absl::StatusCode::kNotFound, reason::kTableNotFound));
  MutationOptions generate;
  generate.generate = {{"nmae", v1::COLUMN_GENERATOR_UUID_V7}};
  EXPECT_THAT(client().Insert("customers", {{"id", 1}}, generate), StatusIs(absl::StatusCode::kInvalidArgument));
  generate.generate = {{"id", v1::COLUMN_GENERATOR_UUID_V7}};
  EXPECT_THAT(client().Insert("customers", {{"name", "x"}}, generate), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(BadInputTest, KeysOfTheWrongFormAreRefusedBeforeAnySql) {
  const auto statements = [this] { return gateway_.Metric("quarry_shard_calls_total").value_or(0); };
  // The gateway has work of its own now and then, which counts too; that does not meet every attempt.
  EXPECT_TRUE(Eventually([&] {
    const double before = statements();
    RefuseKeysOfTheWrongForm();
    return statements() == before;
  })) << "SQL was run";
}

TEST_P(BadInputTest, EveryBadFieldOfARequestIsListedAtOnce) {
  const absl::Status status =
      client()
          .CommitMutations({Mutation::Insert("customers", {{"id", "x"}, {"visits", "y"}, {"nope", 1}, {"name", "n"}}),
                            Mutation::Update("customers", {nullptr}, {{"visits", 1.5}})})
          .status();
  for (const char* field : {"mutations[0].record.id", "mutations[0].record.visits", "mutations[0].record.nope",
                            "mutations[1].record.visits"}) {
    EXPECT_TRUE(Names(status, field)) << field;
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(BadInputTest, PreconditionsThatMakeNoSenseAreRefused) {
  MutationOptions exists;
  exists.exists = true;
  MutationOptions absent;
  absent.exists = false;
  EXPECT_THAT(client().Insert("customers", {{"id", 1}, {"name", "n"}}, exists), InvalidAt("precondition.exists"));
  EXPECT_THAT(client().Update("customers", {1}, {{"visits", 1}}, absent), InvalidAt("precondition.exists"));
  EXPECT_THAT(client().Delete("customers", {1}, absent), InvalidAt("precondition.exists"));
  MutationOptions etag;
  etag.etag = "abc";
  EXPECT_THAT(client().Insert("customers", {{"id", 1}, {"name", "n"}}, etag), InvalidAt("precondition.etag"));
  EXPECT_THAT(client().Update("customers", {id_}, {{"visits", 1}}, etag),
              Fails(absl::StatusCode::kAborted, reason::kEtagMismatch));
}

TEST_P(BadInputTest, RequestsWithoutAMeaningAreRefused) {
  EXPECT_THAT(raw().BatchWrite({}, Soon()), InvalidAt("mutations"));
  v1::BatchWriteRequest empty;
  empty.add_mutations();
  const absl::StatusOr<v1::BatchWriteResponse> hollow = raw().BatchWrite(empty, Soon());
  EXPECT_THAT(hollow, InvalidAt("mutations[0]"));
  EXPECT_THAT(raw().Commit({}, Soon()), InvalidAt("transaction_id"));
  v1::BatchGetRequest no_keys;
  no_keys.set_table("customers");
  EXPECT_THAT(raw().BatchGet(no_keys, Soon()), InvalidAt("keys"));
  client::CallOptions call;
  call.request_id = "not-a-uuid";
  EXPECT_THAT(client().Update("customers", {id_}, {{"visits", 1}}, {}, call), InvalidAt("request_id"));
  v1::GetRequest target;
  target.set_table("customers");
  *target.mutable_key() = Key({id_}).proto();
  target.mutable_target();
  EXPECT_THAT(raw().Get(target, Soon()), InvalidAt("target"));
  const bool on_first = gateway_.ShardOf("customers", {id_}) == "s0";
  target.mutable_target()->set_shard(on_first ? "s1" : "s0");
  EXPECT_THAT(raw().Get(target, Soon()), InvalidAt("target"));
  target.mutable_target()->set_shard("s01");
  EXPECT_THAT(raw().Get(target, Soon()), Fails(absl::StatusCode::kNotFound, reason::kShardNotFound));
}

TEST_P(BadInputTest, SqlInTheNameOfAnythingIsOnlyAnUnknownName) {
  for (const std::string& evil :
       {std::string("customers; DROP TABLE order_items; --"), std::string("customers\" WHERE 1=1; DROP TABLE order_items; --"),
        std::string("x'); DELETE FROM customers; --"), std::string("\"customers\""), std::string("CUSTOMERS"),
        std::string("public.customers"), std::string("main.customers"), std::string("sqlite_master"),
        std::string("pg_catalog.pg_class"), std::string("quarry_requests"), std::string("*"), std::string(100'000, 'a')}) {
    SCOPED_TRACE(evil.substr(0, 60));
    EXPECT_THAT(client().Get(evil, {1}), Fails(absl::StatusCode::kNotFound, reason::kTableNotFound));
    EXPECT_THAT(client().Insert(evil, {{"id", 1}}), Fails(absl::StatusCode::kNotFound, reason::kTableNotFound));
    EXPECT_THAT(client().GetTable(evil), Fails(absl::StatusCode::kNotFound, reason::kTableNotFound));
    EXPECT_THAT(client().Update("customers", {id_}, {{evil, 1}}), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(client().Upsert("customers", {{"id", id_}, {"name", "n"}, {evil, 1}}),
                StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(client().Get("customers", Key::ByName({{evil, 1}})), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(client().Delete("customers", Key::ByName({{"id", 1}, {evil, 1}})),
                StatusIs(absl::StatusCode::kInvalidArgument));
    if (evil != "*") {
      MutationOptions returning;
      returning.returning = {evil};
      EXPECT_THAT(client().Update("customers", {id_}, {{"visits", 1}}, returning),
                  StatusIs(absl::StatusCode::kInvalidArgument));
      client::ReadOptions columns;
      columns.columns = {evil};
      EXPECT_THAT(client().Get("customers", {id_}, columns), StatusIs(absl::StatusCode::kInvalidArgument));
    }
    MutationOptions generate;
    generate.generate = {{evil, v1::COLUMN_GENERATOR_UUID_V7}};
    EXPECT_THAT(client().Insert("customers", {{"id", 1}, {"name", "n"}}, generate),
                StatusIs(absl::StatusCode::kInvalidArgument));
    v1::OnShardRequest sql = SqlOn(0, "SELECT 1");
    sql.mutable_target()->set_shard(evil);
    EXPECT_THAT(ReadAll(raw().OnShard(sql, Soon())).status, Fails(absl::StatusCode::kNotFound, reason::kShardNotFound));
    ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin());
    ASSERT_THAT(txn.Get("customers", {id_}), IsOk());
    EXPECT_THAT(txn.Savepoint(evil), evil == "CUSTOMERS" || evil == "sqlite_master" || evil == "quarry_requests"
                                         ? testing::Matcher<absl::Status>(IsOk())
                                         : testing::Matcher<absl::Status>(InvalidAt("name")));
    EXPECT_THAT(txn.RollbackTo("a\"; DROP TABLE order_items; --"), InvalidAt("name"));
    EXPECT_THAT(client().Health(evil), StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST_P(BadInputTest, NulAndInvalidUtf8AreRefusedWhereverTextIsMeant) {
  const std::string nul("a\0b", 3);
  EXPECT_THAT(client().Update("customers", {id_}, {{"name", nul}}), InvalidAt("record.name"));
  EXPECT_THAT(client().Get(nul, {1}).status().code(), testing::AnyOf(absl::StatusCode::kNotFound,
                                                                     absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client().Update("customers", {id_}, {{nul, 1}}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client().Get("owners", {nul}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadAll(raw().OnShard(SqlOn(0, "SELECT 1" + nul), Soon())).status, InvalidAt("sql"));
  EXPECT_THAT(client().Update("all_types", {1}, {{"c_texts", Value::Array({"x", nul})}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  // Bytes on the wire that are no UTF-8 cannot be sent with protobuf's classes: by hand.
  const std::shared_ptr<grpc::Channel> channel = ConnectTo(gateway_.gateway().grpc_port());
  for (const std::string& bytes : {std::string("\x0a\x03" "a\xff" "b"), std::string("\x0a\x05"), std::string("\xff\xff\xff\xff"),
                                   std::string("\x0a\x09" "customers\x12\x06\x0a\x04\x2a\x02\xc3\x28", 19)}) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(Soon()));
    grpc::Slice slice(bytes);
    grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer reply;
    const absl::Status status = CallUnary(*channel, "/quarry.v1.DataService/Get", context, request, &reply);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status.code(), testing::AnyOf(absl::StatusCode::kInvalidArgument, absl::StatusCode::kNotFound)) << status;
  }
}

TEST_P(BadInputTest, WhatIsTooLargeIsRefusedWithItsSize) {
  std::vector<Key> keys(1001, Key({1}));
  EXPECT_THAT(client().BatchGet("customers", keys), InvalidAt("keys"));
  std::vector<Mutation> mutations(1001, Mutation::Delete("customers", {1}));
  EXPECT_THAT(client().BatchWrite(mutations), InvalidAt("mutations"));
  EXPECT_THAT(client().CommitMutations(mutations), InvalidAt("mutations"));
  const std::string row(2'200'000, 'x');
  const absl::Status too_large = client().Update("customers", {id_}, {{"name", row}}).status();
  EXPECT_THAT(too_large, Fails(absl::StatusCode::kInvalidArgument, reason::kRowTooLarge));
  EXPECT_EQ(Fact(too_large, "table"), "customers");
  EXPECT_THAT(client().Update("customers", {id_}, {{"name", std::string(5'000'000, 'x')}}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  // Rows that each fit, and a reply that does not.
  const std::string large(1'500'000, 'y');
  std::vector<Key> three;
  for (int i = 0; i < 3; ++i) {
    three.push_back({AddCustomer(0)});
    ASSERT_THAT(client().Update("customers", three.back(), {{"name", large}}), IsOk());
  }
  EXPECT_THAT(client().BatchGet("customers", three), Fails(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded));
  for (const Key& key : three) ASSERT_THAT(client().Delete("customers", key), IsOk());
}

TEST_P(BadInputTest, FiltersThatAreTooLargeAreRefusedWhereTheyStand) {
  v1::ListRequest list;
  list.set_table("customers");
  const auto text_of = [](int values) {
    return absl::StrCat("id IN (", absl::StrJoin(std::vector<int>(static_cast<size_t>(values), 7), ","), ")");
  };
  list.set_filter(text_of(10'000));
  EXPECT_THAT(raw().List(list, Soon()), IsOk());
  list.set_filter(text_of(10'001));
  EXPECT_THAT(raw().List(list, Soon()), InvalidAt("filter"));
  list.set_filter(absl::StrCat("name = '", std::string(70'000, 'x'), "'"));
  EXPECT_THAT(raw().List(list, Soon()), InvalidAt("filter"));
  list.set_filter("id IN @ids");
  v1::ArrayValue* ids = (*list.mutable_params())["ids"].mutable_array_value();
  for (int i = 0; i < 10'001; ++i) ids->add_elements()->set_int64_value(7);
  EXPECT_THAT(raw().List(list, Soon()), InvalidAt("filter"));
  list.clear_filter();
  list.clear_params();
  v1::InCondition* in = list.mutable_where()->mutable_in();
  in->set_column("id");
  for (int i = 0; i < 10'001; ++i) in->add_values()->set_int64_value(7);
  EXPECT_THAT(raw().List(list, Soon()), InvalidAt("where.in.values"));
  v1::ConditionList* all = list.mutable_where()->mutable_and_();
  for (int i = 0; i < 2'001; ++i) all->add_conditions()->mutable_is_null()->set_column("name");
  const absl::Status many = raw().List(list, Soon()).status();
  EXPECT_THAT(many, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(many.message()), testing::HasSubstr("more than 2000"));
}

TEST_P(BadInputTest, MetadataIsBoundedAndUnknownMethodsAreUnimplemented) {
  v1::GetInfoRequest request;
  v1::GetInfoResponse response;
  {
    const std::shared_ptr<grpc::Channel> channel = ConnectTo(gateway_.gateway().grpc_port(), 1);
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(Soon()));
    context.AddMetadata("x-large", std::string(200'000, 'x'));
    const absl::Status status = CallUnary(*channel, "/quarry.v1.AdminService/GetInfo", context, request, &response);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("metadata"));
  }
  const std::shared_ptr<grpc::Channel> channel = ConnectTo(gateway_.gateway().grpc_port());
  for (const char* path : {"/quarry.v1.AdminService/Nothing", "/no.such.Service/Get", "/quarry.v1.DataService/"}) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(Soon()));
    EXPECT_THAT(CallUnary(*channel, path, context, request, &response), StatusIs(absl::StatusCode::kUnimplemented)) << path;
  }
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Soon()));
  EXPECT_THAT(CallUnary(*channel, "/quarry.v1.AdminService/GetInfo", context, request, &response), IsOk());
}

TEST_P(BadInputTest, ADeadlineThatIsOverCostsNothing) {
  v1::GetRequest request;
  request.set_table("customers");
  *request.mutable_key() = Key({id_}).proto();
  EXPECT_THAT(raw().Get(request, absl::Now() - absl::Seconds(1)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  const std::string slow = postgres() ? "SELECT pg_sleep(30)"
                                      : "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
  const absl::Time start = absl::Now();
  EXPECT_THAT(ReadAll(raw().OnShard(SqlOn(0, slow), absl::Now() + absl::Milliseconds(200))).status,
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

}  // namespace
}  // namespace quarry::gateway_test
