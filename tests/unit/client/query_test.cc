// Questions of the client library over a scripted server.
#include "client/query.h"

#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/internal/grpc_connection.h"
#include "client/internal/retry_connection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/client/scripted_server.h"

namespace quarry::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

v1::QueryResponse Header() {
  v1::QueryResponse message;
  message.mutable_header()->add_columns()->set_name("id");
  return message;
}
v1::QueryResponse Batch(std::vector<int64_t> ids, const std::string& token) {
  v1::QueryResponse message;
  for (const int64_t id : ids) message.mutable_batch()->add_rows()->add_values()->set_int64_value(id);
  message.mutable_batch()->set_resume_token(token);
  return message;
}
v1::QueryResponse Summary(int64_t rows) {
  v1::QueryResponse message;
  message.mutable_summary()->set_rows(rows);
  return message;
}
absl::Status Down() { return absl::UnavailableError("shard s1 is down"); }

class ClientQueryTest : public testing::Test {
 protected:
  ClientQueryTest() {
    ClientOptions options;
    options.address = server_.address();
    options.retry.attempts_max = 3;
    internal::Environment environment = internal::SystemEnvironment();
    environment.sleep = [](absl::Duration) {};
    auto channels = internal::ConnectChannels(options);
    EXPECT_THAT(channels, IsOk());
    auto policy = std::make_shared<internal::RetryPolicy>(options.retry, environment);
    client_ = Client::Over(internal::WithRetries(*std::move(channels), policy), options, environment);
  }
  // The ids of all rows; `status` is how the stream ended.
  static std::vector<int64_t> Ids(QueryRows& rows, absl::Status& status) {
    std::vector<int64_t> ids;
    for (const absl::StatusOr<QueryRows::Row>& row : rows) {
      status = row.status();
      if (row.ok()) ids.push_back(row->at(0).AsInt64().value_or(-1));
    }
    return ids;
  }

  ScriptedServer server_;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientQueryTest, ABrokenStreamGoesOnBehindItsLastToken) {
  server_.set_queries({{{Header(), Batch({1, 2}, "t1"), Batch({3}, "")}, Down()},
                       {{}, Down()},
                       {{Header(), Batch({3, 4}, "t2"), Summary(2)}, absl::OkStatus()}});
  ASSERT_OK_AND_ASSIGN(QueryRows rows, client_->Query("orders"));
  absl::Status status;
  EXPECT_THAT(Ids(rows, status), ElementsAre(1, 2, 3, 4)) << "row 3 had no token and came again";
  EXPECT_THAT(status, IsOk());
  EXPECT_THAT(server_.resume_tokens(), ElementsAre("", "t1", "t1"));
  EXPECT_EQ(rows.summary().rows(), 4);
  EXPECT_EQ(rows.columns().size(), 1u);
  EXPECT_EQ(rows.resume_token(), "t2");
}

TEST_F(ClientQueryTest, RowsThatNeverGotATokenComeBeforeTheSummary) {
  server_.set_queries({{{Header(), Batch({1, 2}, "t1"), Batch({3}, ""), Batch({4}, ""), Summary(4)}, absl::OkStatus()}});
  ASSERT_OK_AND_ASSIGN(QueryRows rows, client_->Query("orders"));
  absl::Status status;
  EXPECT_THAT(Ids(rows, status), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(status, IsOk());
  EXPECT_EQ(rows.summary().rows(), 4);
  EXPECT_EQ(rows.resume_token(), "t1") << "what came behind it cannot be gone on from";
}

TEST_F(ClientQueryTest, ABreakBehindTheSummaryRepeatsNothing) {
  server_.set_queries({{{Header(), Batch({1}, "t1"), Batch({2}, ""), Summary(2)}, Down()},
                       {{Header(), Batch({2}, ""), Summary(1)}, absl::OkStatus()}});
  ASSERT_OK_AND_ASSIGN(QueryRows rows, client_->Query("orders"));
  absl::Status status;
  EXPECT_THAT(Ids(rows, status), ElementsAre(1, 2));
  EXPECT_THAT(status, IsOk());
  EXPECT_EQ(server_.resume_tokens().size(), 1u);
  EXPECT_EQ(rows.summary().rows(), 2);
}

TEST_F(ClientQueryTest, EndsWithTheErrorWhenTryingAgainDoesNotHelp) {
  server_.set_queries({{{Header(), Batch({1}, "t1")}, Down()}, {{}, Down()}, {{}, Down()}, {{}, Down()}});
  ASSERT_OK_AND_ASSIGN(QueryRows rows, client_->Query("orders"));
  absl::Status status;
  EXPECT_THAT(Ids(rows, status), ElementsAre(1));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(status.message()), HasSubstr("3 attempts"));
}

TEST_F(ClientQueryTest, DoesNotResumeWhatAnotherAttemptCannotMend) {
  server_.set_queries({{{Header(), Batch({1}, "t1")}, absl::InternalError("broken")}});
  ASSERT_OK_AND_ASSIGN(QueryRows rows, client_->Query("orders"));
  absl::Status status;
  EXPECT_THAT(Ids(rows, status), ElementsAre(1));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(server_.resume_tokens().size(), 1u);
}

TEST_F(ClientQueryTest, AStreamWithoutItsSummaryIsNoWholeOne) {
  server_.set_queries({{{Header(), Batch({1}, "t1")}, absl::OkStatus()}});
  ASSERT_OK_AND_ASSIGN(QueryRows rows, client_->Query("orders"));
  absl::Status status;
  EXPECT_THAT(Ids(rows, status), ElementsAre(1));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ClientQueryTest, ListAllFollowsThePages) {
  std::vector<int64_t> ids;
  ListRows rows = client_->ListAll("orders");
  for (const absl::StatusOr<ListRows::Row>& row : rows) {
    ASSERT_THAT(row, IsOk());
    ids.push_back(row->at(0).AsInt64().value_or(-1));
  }
  EXPECT_THAT(ids, ElementsAre(1, 2));
}

TEST_F(ClientQueryTest, ABulkWriteGoesOutAgainUnderItsIdWhileAShardMayComeBack) {
  server_.AnswerWith({Down()});
  ASSERT_OK_AND_ASSIGN(const BulkResult result, client_->DeleteWhere("orders", "order_id = 1"));
  EXPECT_THAT(result.status(), IsOk());
  const std::vector<std::string> ids = server_.request_ids();
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_EQ(ids[0], ids[1]);
  server_.AnswerWith({absl::FailedPreconditionError("no")});
  ASSERT_OK_AND_ASSIGN(const BulkResult refused, client_->DeleteWhere("orders", "order_id = 1"));
  EXPECT_THAT(refused.status(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace quarry::client
