// Writes with a request_id: a repeat is answered with the first result, another body is refused.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::Mutation;
using client::MutationOptions;
using client::Value;

QUARRY_GATEWAY_SUITE(RequestIdsTest);

client::CallOptions NewRequest() {
  client::CallOptions call;
  call.request_id = NewUuid();
  return call;
}

const auto& Reused() {
  static const auto matcher = Fails(absl::StatusCode::kInvalidArgument, reason::kRequestIdReused);
  return matcher;
}

TEST_P(RequestIdsTest, EveryWriteOfOneRowIsReplayedAndAnotherBodyIsRefused) {
  const int64_t id = gateway_.NewId();
  MutationOptions all;
  all.returning = {"*"};
  const client::CallOptions insert = NewRequest();
  ASSERT_OK_AND_ASSIGN(const auto inserted, client().Insert("customers", {{"id", id}, {"name", "A"}}, all, insert));
  EXPECT_FALSE(inserted.replayed);
  const client::CallOptions update = NewRequest();
  ASSERT_OK_AND_ASSIGN(const auto updated, client().Update("customers", {id}, {{"visits", 1}}, all, update));
  const client::CallOptions upsert = NewRequest();
  ASSERT_OK_AND_ASSIGN(const auto upserted,
                       client().Upsert("customers", {{"id", id}, {"name", "B"}, {"visits", 2}}, all, upsert));
  // In between the row changes: the stored reply is what the first call returned.
  ASSERT_THAT(client().Update("customers", {id}, {{"visits", 99}}), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto insert_again, client().Insert("customers", {{"id", id}, {"name", "A"}}, all, insert));
  EXPECT_TRUE(insert_again.replayed);
  EXPECT_EQ(insert_again.etag, inserted.etag);
  ASSERT_OK_AND_ASSIGN(const auto update_again, client().Update("customers", {id}, {{"visits", 1}}, all, update));
  EXPECT_TRUE(update_again.replayed);
  EXPECT_EQ(update_again.record["visits"], Value(1));
  EXPECT_EQ(update_again.etag, updated.etag);
  ASSERT_OK_AND_ASSIGN(const auto upsert_again,
                       client().Upsert("customers", {{"id", id}, {"name", "B"}, {"visits", 2}}, all, upsert));
  EXPECT_TRUE(upsert_again.replayed);
  EXPECT_EQ(upsert_again.etag, upserted.etag);
  EXPECT_THAT(client().Insert("customers", {{"id", id}, {"name", "other"}}, all, insert), Reused());
  EXPECT_THAT(client().Update("customers", {id}, {{"visits", 7}}, all, update), Reused());
  EXPECT_THAT(client().Update("customers", {id}, {{"visits", 7}}, all, insert), Reused());
  ASSERT_OK_AND_ASSIGN(const auto read, client().Get("customers", {id}));
  EXPECT_EQ(read.record["visits"], Value(99));
  const client::CallOptions remove = NewRequest();
  ASSERT_OK_AND_ASSIGN(const auto removed, client().Delete("customers", {id}, all, remove));
  ASSERT_OK_AND_ASSIGN(const auto removed_again, client().Delete("customers", {id}, all, remove));
  EXPECT_TRUE(removed_again.replayed);
  EXPECT_EQ(removed_again.record["visits"], removed.record["visits"]);
  EXPECT_THAT(client().Delete("customers", {id}, {}, remove), Reused());
}

TEST_P(RequestIdsTest, AnIdIsTheSameHoweverItIsWrittenAndAWriteThatFailedMayBeTriedAgain) {
  const int64_t id = gateway_.NewId();
  client::CallOptions call = NewRequest();
  EXPECT_THAT(client().Update("customers", {id}, {{"visits", 1}}, {}, call),
              Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
  ASSERT_THAT(client().Insert("customers", {{"id", id}, {"name", "A"}}), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto applied, client().Update("customers", {id}, {{"visits", 1}}, {}, call));
  EXPECT_FALSE(applied.replayed) << "nothing is stored of a write that was not applied";
  for (char& c : call.request_id) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  ASSERT_OK_AND_ASSIGN(const auto again, client().Update("customers", {id}, {{"visits", 1}}, {}, call));
  EXPECT_TRUE(again.replayed);
}

TEST_P(RequestIdsTest, ABatchWriteStoresItsResultsOnEveryShard) {
  std::vector<Mutation> mutations;
  for (int shard = 0; shard < shards(); ++shard) {
    const int64_t id = gateway_.NewCustomerOn(shard);
    mutations.push_back(Mutation::Insert("customers", {{"id", id}, {"name", "n"}}));
    mutations.push_back(Mutation::Update("customers", {id}, {{"visits", 1}}));
  }
  v1::BatchWriteRequest request;
  for (const Mutation& mutation : mutations) *request.add_mutations() = mutation.proto();
  request.set_request_id(NewUuid());
  ASSERT_OK_AND_ASSIGN(const auto first, raw().BatchWrite(request, Soon()));
  EXPECT_FALSE(first.replayed());
  ASSERT_OK_AND_ASSIGN(const auto again, raw().BatchWrite(request, Soon()));
  EXPECT_TRUE(again.replayed());
  ASSERT_EQ(again.results_size(), request.mutations_size());
  for (const v1::BatchWriteResult& result : again.results()) {
    EXPECT_TRUE(result.has_applied()) << result.error().message();
    EXPECT_TRUE(result.replayed());
  }
  request.mutable_mutations()->DeleteSubrange(1, 1);
  const absl::StatusOr<v1::BatchWriteResponse> other = raw().BatchWrite(request, Soon());
  // Refused on each shard that has stored the id.
  if (other.ok()) {
    for (const v1::BatchWriteResult& result : other->results()) EXPECT_EQ(result.error().code(), 3) << "INVALID_ARGUMENT";
  } else {
    EXPECT_THAT(other, Reused());
  }
}

TEST_P(RequestIdsTest, ACommitAndAReferenceWriteAndRawSqlAreReplayed) {
  const int64_t id = gateway_.NewCustomerOn(1);
  const client::CallOptions commit = NewRequest();
  const std::vector<Mutation> mutations = {Mutation::Insert("customers", {{"id", id}, {"name", "n"}}),
                                           Mutation::Update("customers", {id}, {{"visits", 3}})};
  ASSERT_THAT(client().CommitMutations(mutations, commit), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto again, client().CommitMutations(mutations, commit));
  EXPECT_TRUE(again.replayed);
  EXPECT_THAT(client().CommitMutations({mutations[0]}, commit), Reused());

  const std::string code = absl::StrCat("r", id);
  const client::CallOptions reference = NewRequest();
  ASSERT_THAT(client().Insert("countries", {{"code", code}, {"name", code}}, {}, reference), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto repeated, client().Insert("countries", {{"code", code}, {"name", code}}, {}, reference));
  EXPECT_TRUE(repeated.replayed);
  EXPECT_THAT(client().Insert("countries", {{"code", code}, {"name", "other"}}, {}, reference), Reused());

  v1::OnShardRequest sql = SqlOn(1, absl::StrCat("UPDATE customers SET visits = visits + 1 WHERE id = ", id,
                                                 " RETURNING visits"), {}, true);
  sql.set_request_id(NewUuid());
  for (int round = 0; round < 3; ++round) {
    const Streamed streamed = ReadAll(raw().OnShard(sql, Soon()));
    ASSERT_THAT(streamed.status, IsOk());
    EXPECT_EQ(streamed.rows(), 1);
    EXPECT_EQ(streamed.summary().rows_affected(), 1);
    EXPECT_EQ(streamed.summary().replayed(), round > 0);
  }
  ASSERT_OK_AND_ASSIGN(const auto read, client().Get("customers", {id}));
  EXPECT_EQ(read.record["visits"], Value(4));
  v1::OnAllShardsRequest everywhere = SqlOnAll("UPDATE customers SET visits = visits + 1 WHERE id = " + Mark(1), {id}, true);
  everywhere.set_request_id(NewUuid());
  for (int round = 0; round < 2; ++round) {
    const Streamed streamed = ReadAll(raw().OnAllShards(everywhere, Soon()));
    ASSERT_THAT(streamed.status, IsOk());
    EXPECT_EQ(streamed.summary().rows_affected(), 1);
    EXPECT_EQ(streamed.summary().replayed(), round > 0);
  }
  sql.set_sql("UPDATE customers SET visits = 0");
  EXPECT_THAT(ReadAll(raw().OnShard(sql, Soon())).status, Reused());
}

}  // namespace
}  // namespace quarry::gateway_test
