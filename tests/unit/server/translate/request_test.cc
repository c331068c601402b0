#include "server/translate/request.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

constexpr char kRequestId[] = "0190A6E0-0000-7000-8000-000000000001";

v1::InsertRequest Insert() {
  v1::InsertRequest request;
  request.set_table("customers");
  auto& columns = *request.mutable_record()->mutable_columns();
  columns["id"].set_int64_value(1);
  columns["name"].set_text_value("Ada");
  return request;
}

TEST(RequestTest, AnInsertBecomesOneMutation) {
  v1::InsertRequest request = Insert();
  request.add_returning("*");
  request.set_request_id(kRequestId);
  request.mutable_precondition()->set_exists(false);
  v1::GeneratedColumn* generated = request.add_generate();
  generated->set_column("code");
  generated->set_generator(v1::COLUMN_GENERATOR_INT64_TIME_ORDERED);
  ASSERT_OK_AND_ASSIGN(const WriteOperation op, ToOperation(request));
  ASSERT_EQ(op.mutations.size(), 1u);
  const Mutation& mutation = op.mutations[0];
  EXPECT_EQ(mutation.kind, MutationKind::kInsert);
  EXPECT_EQ(mutation.table, "customers");
  EXPECT_EQ(mutation.record.at("name"), Value::Text("Ada"));
  EXPECT_EQ(mutation.returning, std::vector<std::string>{"*"});
  EXPECT_EQ(mutation.precondition.exists, std::optional<bool>(false));
  EXPECT_EQ(mutation.generate[0].kind, GeneratedKind::kInt64TimeOrdered);
  EXPECT_EQ(op.request_id, "0190a6e0-0000-7000-8000-000000000001");
  EXPECT_NE(op.request_hash, 0u);
  EXPECT_FALSE(op.indexed_paths);
}

TEST(RequestTest, ReadsTheFilterOfAPreconditionWithItsParameters) {
  v1::CommitRequest request;
  request.add_mutations();
  v1::UpdateMutation* update = request.mutable_mutations(0)->mutable_update();
  update->set_table("customers");
  update->mutable_key()->add_values()->set_int64_value(1);
  update->mutable_precondition()->set_filter("version = @read");
  (*update->mutable_precondition()->mutable_params())["read"].set_int64_value(3);
  ASSERT_OK_AND_ASSIGN(const WriteOperation op, ToOperation(request));
  ASSERT_TRUE(op.mutations[0].precondition.filter.has_value());
  EXPECT_EQ(op.mutations[0].precondition.filter->column, "version");
  EXPECT_EQ(op.mutations[0].precondition.filter->values, std::vector<Value>{Value::Int64(3)});
  update->mutable_precondition()->set_filter("version = = 3");
  EXPECT_EQ(FieldsOf(ToOperation(request).status()),
            std::set<std::string>{"mutations[0].precondition.filter"});
  update->mutable_precondition()->clear_filter();
  EXPECT_EQ(FieldsOf(ToOperation(request).status()), std::set<std::string>{"mutations[0].precondition.params.read"});
}

TEST(RequestTest, ReportsEveryBadFieldAtOnceWithItsPath) {
  v1::BatchWriteRequest request;
  request.set_request_id("no uuid");
  request.add_mutations();
  v1::UpdateMutation* update = request.add_mutations()->mutable_update();
  update->set_table("customers");
  (*update->mutable_record()->mutable_columns())["born"].mutable_timestamp_value()->set_nanos(1);
  v1::InsertMutation* insert = request.add_mutations()->mutable_insert();
  insert->add_generate()->set_column("id");
  (*insert->mutable_record()->mutable_columns())["name"];
  const absl::Status status = ToOperation(request).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(FieldsOf(status),
            (std::set<std::string>{"request_id", "mutations[0]", "mutations[1].record.born", "mutations[1].key",
                                   "mutations[2].generate[0].generator", "mutations[2].record.name"}));
}

TEST(RequestTest, AThousandBadFieldsStayWithinAReply) {
  v1::BatchWriteRequest request;
  for (int i = 0; i < 1000; ++i) request.add_mutations();
  const absl::Status status = ToOperation(request).status();
  EXPECT_EQ(DetailOf(status).violations.size(), 20u);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("980 more"));
}

TEST(RequestTest, TheHashIgnoresTheIdAndTheOrderOfMaps) {
  v1::InsertRequest one;
  v1::InsertRequest two;
  one.set_request_id(kRequestId);
  for (int i = 0; i < 100; ++i) {
    (*one.mutable_record()->mutable_columns())[absl::StrCat("c", i)].set_int64_value(i);
    (*two.mutable_record()->mutable_columns())[absl::StrCat("c", 99 - i)].set_int64_value(99 - i);
  }
  EXPECT_EQ(RequestHash(one), RequestHash(two));
  (*two.mutable_record()->mutable_columns())["c1"].set_int64_value(2);
  EXPECT_NE(RequestHash(one), RequestHash(two));
}

TEST(RequestTest, TheHashTellsMethodsApart) {
  v1::UpdateRequest update;
  v1::DeleteRequest remove;
  update.set_table("t");
  remove.set_table("t");
  EXPECT_NE(RequestHash(update), RequestHash(remove));
}

TEST(RequestTest, ChecksReadOptionsAndTargets) {
  v1::GetRequest request;
  request.mutable_key()->add_values()->set_int64_value(1);
  EXPECT_THAT(ToOperation(request), IsOk());
  request.mutable_target();
  request.mutable_read_options()->set_strong(false);
  EXPECT_EQ(FieldsOf(ToOperation(request).status()), (std::set<std::string>{"target", "read_options.strong"}));
  request.mutable_target()->set_shard("s1");
  request.mutable_read_options()->mutable_max_staleness()->set_seconds(1);
  EXPECT_THAT(ToOperation(request), IsOk());
  request.set_transaction_id("x");
  EXPECT_EQ(FieldsOf(ToOperation(request).status()), (std::set<std::string>{"read_options"}));
}

TEST(RequestTest, ACommitHasATransactionOrMutations) {
  v1::CommitRequest request;
  EXPECT_THAT(ToOperation(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_transaction_id("x");
  EXPECT_THAT(ToOperation(request), IsOk());
  *request.add_mutations()->mutable_insert() = v1::InsertMutation();
  EXPECT_THAT(ToOperation(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.clear_transaction_id();
  ASSERT_OK_AND_ASSIGN(const WriteOperation op, ToOperation(request));
  EXPECT_EQ(op.atomicity, Atomicity::kAll);
  EXPECT_TRUE(op.indexed_paths);
}

TEST(RequestTest, RawSqlNamesItsShardsInTheFormOfItsCall) {
  v1::OnShardRequest one;
  one.set_sql("SELECT 1");
  EXPECT_EQ(FieldsOf(ToOperation(one).status()), std::set<std::string>{"target"});
  one.mutable_target()->set_all_shards(true);
  EXPECT_EQ(FieldsOf(ToOperation(one).status()), std::set<std::string>{"target"});
  one.mutable_target()->set_shard("s1");
  EXPECT_THAT(ToOperation(one), IsOk());
  one.set_request_id(kRequestId);
  EXPECT_EQ(FieldsOf(ToOperation(one).status()), std::set<std::string>{"request_id"});

  v1::OnAllShardsRequest all;
  all.set_sql("SELECT 1");
  ASSERT_OK_AND_ASSIGN(const RawSqlOperation op, ToOperation(all));
  EXPECT_TRUE(op.target.all_shards);
  all.mutable_target()->mutable_shards()->add_names("s1");
  all.mutable_target()->mutable_shards()->add_names("s1");
  EXPECT_EQ(FieldsOf(ToOperation(all).status()), std::set<std::string>{"target.shards"});
  all.mutable_target()->set_shard("s1");
  EXPECT_EQ(FieldsOf(ToOperation(all).status()), std::set<std::string>{"target"});
}

TEST(RequestTest, ChecksTheOptionsOfBegin) {
  v1::BeginRequest request;
  request.set_isolation(v1::ISOLATION_LEVEL_SERIALIZABLE);
  request.mutable_idle_timeout()->set_seconds(5);
  ASSERT_OK_AND_ASSIGN(const BeginOptions options, ToBeginOptions(request));
  EXPECT_EQ(options.isolation, Isolation::kSerializable);
  EXPECT_EQ(options.idle_timeout, absl::Seconds(5));
  request.set_isolation(static_cast<v1::IsolationLevel>(99));
  request.mutable_idle_timeout()->set_seconds(-5);
  EXPECT_EQ(FieldsOf(ToBeginOptions(request).status()), (std::set<std::string>{"isolation", "idle_timeout"}));
}

}  // namespace
}  // namespace quarry
