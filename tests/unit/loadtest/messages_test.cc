#include <gmock/gmock.h>
#include <grpcpp/support/proto_buffer_writer.h>
#include <gtest/gtest.h>

#include <set>

#include "loadtest/quarry_load/reply_reader.h"
#include "loadtest/quarry_load/request_builder.h"
#include "quarry/v1/query.pb.h"
#include "quarry/v1/shard.pb.h"
#include "quarry/v1/transaction.pb.h"

namespace quarry::load {
namespace {

template <typename Message>
Message Parse(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  EXPECT_TRUE(buffer.DumpToSingleSlice(&slice).ok());
  Message message;
  EXPECT_TRUE(message.ParseFromArray(slice.begin(), static_cast<int>(slice.size())));
  return message;
}

grpc::ByteBuffer Bytes(const google::protobuf::Message& message) {
  // In pieces, as large messages arrive.
  const std::string text = message.SerializeAsString();
  std::vector<grpc::Slice> pieces;
  for (size_t at = 0; at < text.size(); at += 7) pieces.emplace_back(text.substr(at, 7));
  return {pieces.data(), pieces.size()};
}

class RequestBuilderTest : public testing::Test {
 protected:
  RequestBuilder Make() { return {scenario_, 0, random_, commit_keys_}; }

  Scenario scenario_;
  SeededRandom random_{7};
  KeysByShard commit_keys_ = {{1, 2, 3}, {10, 20}};
  int64_t key_ = 0;
};

TEST_F(RequestBuilderTest, ReadsNameTableKeyAndColumns) {
  scenario_.keys = 5;
  scenario_.batch = 3;
  scenario_.read_columns = {"id", "balance"};
  scenario_.operations = {{Operation::kGet, 1}, {Operation::kBatchGet, 1}};
  RequestBuilder builder = Make();
  const auto get = Parse<v1::GetRequest>(builder.Build(Operation::kGet, key_));
  EXPECT_EQ(get.table(), "usertable");
  EXPECT_EQ(get.key().values(0).int64_value(), key_);
  EXPECT_EQ(get.columns_size(), 2);
  const auto batch = Parse<v1::BatchGetRequest>(builder.Build(Operation::kBatchGet, key_));
  ASSERT_EQ(batch.keys_size(), 3);
  for (const v1::Key& key : batch.keys()) {
    EXPECT_TRUE(key.values(0).int64_value() >= 1 && key.values(0).int64_value() <= 5);
  }
  EXPECT_EQ(batch.columns_size(), 2);
}

TEST_F(RequestBuilderTest, WritesFillTheColumns) {
  scenario_.value_bytes = 30;
  scenario_.table = {"accounts", "no", "amount", "note"};
  RequestBuilder builder = Make();
  const auto first = Parse<v1::InsertRequest>(builder.Build(Operation::kInsert, key_));
  EXPECT_EQ(key_, 100'001);
  EXPECT_EQ(first.table(), "accounts");
  EXPECT_EQ(first.record().columns().at("no").int64_value(), key_);
  EXPECT_TRUE(first.record().columns().at("amount").has_int64_value());
  EXPECT_EQ(first.record().columns().at("note").text_value().size(), 30u);
  EXPECT_TRUE(first.request_id().empty());
  const auto second = Parse<v1::InsertRequest>(builder.Build(Operation::kInsert, key_));
  EXPECT_EQ(second.record().columns().at("no").int64_value(), 100'002);
  EXPECT_NE(first.record().columns().at("note").text_value(),
            second.record().columns().at("note").text_value());
}

// The group of the fixture's keys that has it.
int GroupOf(int64_t key) { return key < 10 ? 0 : 1; }

TEST_F(RequestBuilderTest, CommitsAcrossAndApartChangeOneKeyOnEachOfTwoShards) {
  scenario_.operations = {{Operation::kCommitAcross, 1}, {Operation::kCommitApart, 1}};
  RequestBuilder builder = Make();
  for (int i = 0; i < 20; ++i) {
    const auto across = Parse<v1::CommitRequest>(builder.Build(Operation::kCommitAcross, key_));
    ASSERT_EQ(across.mutations_size(), 2);
    const auto key = [](const v1::CommitRequest& commit, int at) {
      return commit.mutations(at).update().key().values(0).int64_value();
    };
    EXPECT_NE(GroupOf(key(across, 0)), GroupOf(key(across, 1)));
    const auto first = Parse<v1::CommitRequest>(builder.Build(Operation::kCommitApart, key_));
    grpc::ByteBuffer reply = Bytes(v1::CommitResponse());
    const auto second =
        Parse<v1::CommitRequest>(builder.BuildSecond(Operation::kCommitApart, key_, reply));
    ASSERT_EQ(first.mutations_size(), 1);
    ASSERT_EQ(second.mutations_size(), 1);
    EXPECT_NE(GroupOf(key(first, 0)), GroupOf(key(second, 0)));
  }
}

TEST_F(RequestBuilderTest, SnapshotsAreAskedForAndTheirTransactionsRolledBack) {
  scenario_.snapshot = true;
  scenario_.query_rows = 7;
  RequestBuilder builder = Make();
  const auto begin = Parse<v1::BeginRequest>(builder.Build(Operation::kBeginSnapshot, key_));
  EXPECT_TRUE(begin.snapshot() && begin.read_only());
  v1::BeginResponse begun;
  begun.set_transaction_id("t2-1");
  grpc::ByteBuffer reply = Bytes(begun);
  const auto rollback =
      Parse<v1::RollbackRequest>(builder.BuildSecond(Operation::kBeginSnapshot, key_, reply));
  EXPECT_EQ(rollback.transaction_id(), "t2-1");
  const auto list = Parse<v1::ListRequest>(builder.Build(Operation::kList, key_));
  EXPECT_TRUE(list.read_options().snapshot());
  EXPECT_EQ(list.page_size(), 7);
  const auto aggregate = Parse<v1::AggregateRequest>(builder.Build(Operation::kAggregate, key_));
  EXPECT_TRUE(aggregate.read_options().snapshot());
  EXPECT_EQ(aggregate.aggregates_size(), 2);
  EXPECT_TRUE(Parse<v1::QueryRequest>(builder.Build(Operation::kQuery, key_)).read_options().snapshot());
}

TEST_F(RequestBuilderTest, ReadsAndUpdatesNameTheOpenTransaction) {
  scenario_.transaction = "t2-1";
  RequestBuilder builder = Make();
  const auto get = Parse<v1::GetRequest>(builder.Build(Operation::kGet, key_));
  EXPECT_EQ(get.transaction_id(), "t2-1");
  const auto update = Parse<v1::UpdateRequest>(builder.Build(Operation::kUpdate, key_));
  EXPECT_EQ(update.transaction_id(), "t2-1");
}

TEST_F(RequestBuilderTest, UpdateSetsTheChosenColumns) {
  for (const UpdatedColumns update :
       {UpdatedColumns::kBalance, UpdatedColumns::kPayload, UpdatedColumns::kBoth}) {
    scenario_.update = update;
    RequestBuilder builder = Make();
    const auto request = Parse<v1::UpdateRequest>(builder.Build(Operation::kUpdate, key_));
    EXPECT_EQ(request.key().values(0).int64_value(), key_);
    EXPECT_EQ(request.record().columns().contains("balance"), update != UpdatedColumns::kPayload);
    EXPECT_EQ(request.record().columns().contains("payload"), update != UpdatedColumns::kBalance);
    EXPECT_FALSE(request.record().columns().contains("id"));
  }
}

TEST_F(RequestBuilderTest, RequestIdsAreFreshUuids) {
  scenario_.request_ids = true;
  RequestBuilder builder = Make();
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i)
    ids.insert(Parse<v1::DeleteRequest>(builder.Build(Operation::kDelete, key_)).request_id());
  EXPECT_EQ(ids.size(), 100u);
  EXPECT_EQ(ids.begin()->size(), 36u);
}

TEST_F(RequestBuilderTest, SequentialBatchesWriteEachKeyOnceThenStartOver) {
  scenario_.operations = {{Operation::kBatchWrite, 1}};
  scenario_.distribution = Distribution::kSequential;
  scenario_.keys = 10;
  scenario_.batch = 4;
  RequestBuilder builder = Make();
  std::vector<std::vector<int64_t>> batches;
  for (int i = 0; i < 4; ++i) {
    batches.emplace_back();
    const auto request = Parse<v1::BatchWriteRequest>(builder.Build(Operation::kBatchWrite, key_));
    for (const v1::Mutation& mutation : request.mutations()) {
      batches.back().push_back(mutation.upsert().record().columns().at("id").int64_value());
    }
  }
  EXPECT_EQ(batches,
            (std::vector<std::vector<int64_t>>{{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10}, {1, 2, 3, 4}}));
}

TEST_F(RequestBuilderTest, CommitChangesDifferentRowsOfOneShard) {
  scenario_.operations = {{Operation::kCommit, 1}};
  RequestBuilder builder = Make();
  for (int i = 0; i < 50; ++i) {
    const auto request = Parse<v1::CommitRequest>(builder.Build(Operation::kCommit, key_));
    ASSERT_EQ(request.mutations_size(), 2);
    const int64_t a = request.mutations(0).update().key().values(0).int64_value();
    const int64_t b = request.mutations(1).update().key().values(0).int64_value();
    EXPECT_NE(a, b);
    EXPECT_EQ(a < 10, b < 10) << a << " " << b;
  }
}

TEST_F(RequestBuilderTest, ScanGoesToOneShardOrToAll) {
  EXPECT_EQ(MethodOf(scenario_, Operation::kSqlScan), "/quarry.v1.ShardService/OnAllShards");
  EXPECT_EQ(Parse<v1::OnAllShardsRequest>(Make().Build(Operation::kSqlScan, key_)).sql(),
            "SELECT id, balance, payload FROM usertable");
  scenario_.shard = "s1";
  scenario_.sql = "SELECT 1";
  EXPECT_EQ(MethodOf(scenario_, Operation::kSqlScan), "/quarry.v1.ShardService/OnShard");
  const auto request = Parse<v1::OnShardRequest>(Make().Build(Operation::kSqlScan, key_));
  EXPECT_EQ(request.sql(), "SELECT 1");
  EXPECT_EQ(request.target().shard(), "s1");
}

TEST_F(RequestBuilderTest, QueryReadsAShortRangeFromAKeyOn) {
  EXPECT_EQ(MethodOf(scenario_, Operation::kQuery), "/quarry.v1.DataService/Query");
  scenario_.query_rows = 3;
  RequestBuilder builder = Make();
  std::set<int64_t> limits;
  for (int i = 0; i < 50; ++i) {
    const auto request = Parse<v1::QueryRequest>(builder.Build(Operation::kQuery, key_));
    EXPECT_EQ(request.filter(), "\"id\" >= @from");
    EXPECT_GE(request.params().at("from").int64_value(), 1);
    EXPECT_EQ(request.order_by(0).column(), "id");
    limits.insert(request.limit());
  }
  EXPECT_EQ(limits, (std::set<int64_t>{1, 2, 3}));
}

TEST_F(RequestBuilderTest, QueryReadsTheFirstRowsOfAnotherOrderOrTheWholeTable) {
  scenario_.query_order = "balance";
  auto request = Parse<v1::QueryRequest>(Make().Build(Operation::kQuery, key_));
  EXPECT_EQ(request.filter(), "");
  EXPECT_EQ(request.order_by(0).column(), "balance");
  EXPECT_EQ(request.limit(), 100);
  scenario_.query_order = "";
  scenario_.query_rows = 0;
  request = Parse<v1::QueryRequest>(Make().Build(Operation::kQuery, key_));
  EXPECT_EQ(request.filter(), "");
  EXPECT_EQ(request.limit(), 0);
}

TEST_F(RequestBuilderTest, EchoHasItsSize) {
  scenario_.request_bytes = 77;
  EXPECT_EQ(Make().Build(Operation::kEcho, key_).Length(), 77u);
}

TEST(ReplyReaderTest, BatchGetThatLacksRowsHasFailed) {
  Scenario scenario;
  scenario.batch = 3;
  v1::BatchGetResponse response;
  for (int i = 0; i < 3; ++i) {
    (*response.add_found()->mutable_record()->mutable_columns())["id"].set_int64_value(i);
  }
  grpc::ByteBuffer whole = Bytes(response);
  const ReplyContent all = ReadReply(scenario, Operation::kBatchGet, whole);
  EXPECT_EQ(all.items, 3);
  EXPECT_FALSE(all.failed);
  response.mutable_found()->RemoveLast();
  response.add_missing(2);
  grpc::ByteBuffer part = Bytes(response);
  const ReplyContent some = ReadReply(scenario, Operation::kBatchGet, part);
  EXPECT_TRUE(some.failed);
  EXPECT_EQ(some.error.reason, "ROWS_MISSING");
  EXPECT_THAT(some.error.message, testing::HasSubstr("1 of 3"));
}

TEST(ReplyReaderTest, BatchWriteReportsTheFirstMutationThatFailed) {
  v1::BatchWriteResponse response;
  response.add_results()->mutable_applied();
  google::rpc::Status& error = *response.add_results()->mutable_error();
  error.set_code(grpc::StatusCode::RESOURCE_EXHAUSTED);
  error.set_message("full");
  response.add_results()->mutable_applied()->set_etag("e");
  grpc::ByteBuffer bytes = Bytes(response);
  const ReplyContent content = ReadReply(Scenario(), Operation::kBatchWrite, bytes);
  EXPECT_EQ(content.items, 2);
  EXPECT_TRUE(content.failed);
  EXPECT_EQ(content.error.code, "RESOURCE_EXHAUSTED");
  EXPECT_EQ(content.error.message, "full");
}

TEST(ReplyReaderTest, CountsRowsOfAQuery) {
  v1::QueryResponse response;
  for (int i = 0; i < 3; ++i) response.mutable_batch()->add_rows()->add_values()->set_int64_value(i);
  response.mutable_batch()->set_resume_token("rows end here");
  grpc::ByteBuffer rows = Bytes(response);
  EXPECT_EQ(CountRows(Operation::kQuery, rows), 3);
  response.mutable_summary()->set_rows(3);
  grpc::ByteBuffer summary = Bytes(response);
  EXPECT_EQ(CountRows(Operation::kQuery, summary), 0);
}

TEST(ReplyReaderTest, CountsRowsOfBothStreamsOfRawSql) {
  v1::OnAllShardsResponse response;
  for (int i = 0; i < 5; ++i)
    response.mutable_rows()->add_rows()->add_values()->set_text_value("long enough text");
  grpc::ByteBuffer rows = Bytes(response);
  EXPECT_EQ(CountRows(Operation::kSqlScan, rows), 5);
  v1::OnShardResponse one;
  one.mutable_rows()->add_rows();
  grpc::ByteBuffer row = Bytes(one);
  EXPECT_EQ(CountRows(Operation::kSqlScan, row), 1);
  response.mutable_progress()->set_rows(5);
  grpc::ByteBuffer progress = Bytes(response);
  EXPECT_EQ(CountRows(Operation::kSqlScan, progress), 0);
}

TEST(ReplyReaderTest, EchoOfAnotherSizeHasFailed) {
  Scenario scenario;
  const grpc::Slice slice("12345");
  grpc::ByteBuffer reply(&slice, 1);
  EXPECT_FALSE(ReadReply(scenario, Operation::kEcho, reply).failed) << "any size will do";
  scenario.response_bytes = 6;
  EXPECT_TRUE(ReadReply(scenario, Operation::kEcho, reply).failed);
}

TEST(ReplyReaderTest, BrokenBytesAreNoRows) {
  const grpc::Slice slice("\x0a\xff\xff");
  grpc::ByteBuffer reply(&slice, 1);
  EXPECT_EQ(CountRows(Operation::kSqlScan, reply), 0);
}

}  // namespace
}  // namespace quarry::load
