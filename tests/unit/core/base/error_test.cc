#include "core/base/error.h"

#include <string>

#include "absl/strings/cord.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::Pair;

TEST(ErrorTest, DetailsSurviveTheStatus) {
  ErrorDetail detail;
  detail.reason = reason::kPoolExhausted;
  detail.facts = {{"shard", "s1"}, {"size", "8"}};
  detail.violations = {{"key", "is missing"}, {"record.price", "is text"}};
  detail.retry_after = absl::Milliseconds(1500);
  const absl::Status status = MakeError(absl::StatusCode::kResourceExhausted, "full", detail);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(status.message(), "full");
  const ErrorDetail read = DetailOf(status);
  EXPECT_EQ(read.reason, "POOL_EXHAUSTED");
  EXPECT_THAT(read.facts, ElementsAre(Pair("shard", "s1"), Pair("size", "8")));
  ASSERT_EQ(read.violations.size(), 2u);
  EXPECT_EQ(read.violations[1].field, "record.price");
  EXPECT_EQ(read.violations[1].description, "is text");
  EXPECT_THAT(read.retry_after, Optional(absl::Milliseconds(1500)));
}

TEST(ErrorTest, TheWireFormIsThatOfGoogleRpc) {
  const absl::Status status =
      MakeError(absl::StatusCode::kNotFound, reason::kTableNotFound, "no table", {{"table", "t"}});
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.ErrorInfo");
  ASSERT_TRUE(payload.has_value());
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(std::string(*payload)));
  EXPECT_EQ(info.domain(), "quarry");
  EXPECT_EQ(info.reason(), "TABLE_NOT_FOUND");
  EXPECT_EQ(info.metadata().at("table"), "t");
  EXPECT_FALSE(status.GetPayload("type.googleapis.com/google.rpc.RetryInfo").has_value());
}

TEST(ErrorTest, InvalidFieldsNamesEveryFieldAtOnce) {
  const absl::Status status = InvalidFields({{"key", "is missing"}, {"table", "is empty"}});
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(status, HasReason("INVALID_FIELD"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("key: is missing"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("table: is empty"));
  EXPECT_EQ(DetailOf(status).violations.size(), 2u);
}

TEST(ErrorTest, WithFactAddsOnceAndKeepsTheRest) {
  ErrorDetail detail;
  detail.reason = reason::kShardUnavailable;
  detail.retry_after = absl::Seconds(1);
  const absl::Status bare = MakeError(absl::StatusCode::kUnavailable, "down", detail);
  const absl::Status named = WithFact(WithFact(bare, "shard", "s1"), "shard", "s2");
  EXPECT_THAT(DetailOf(named).facts, ElementsAre(Pair("shard", "s1")));
  EXPECT_THAT(named, HasReason("SHARD_UNAVAILABLE"));
  EXPECT_THAT(DetailOf(named).retry_after, Optional(absl::Seconds(1)));
  EXPECT_THAT(WithFact(absl::OkStatus(), "shard", "s1"), IsOk());
}

TEST(ErrorTest, WithMessageKeepsCodeAndDetail) {
  const absl::Status status =
      WithMessage(MakeError(absl::StatusCode::kAborted, reason::kDeadlock, "raw", {{"shard", "s"}}), "better");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(status.message(), "better");
  EXPECT_THAT(status, HasReason("DEADLOCK"));
}

TEST(ErrorTest, APlainStatusHasNoDetail) {
  const ErrorDetail detail = DetailOf(absl::InternalError("x"));
  EXPECT_EQ(detail.reason, "");
  EXPECT_THAT(detail.facts, IsEmpty());
  EXPECT_EQ(detail.retry_after, std::nullopt);
}

TEST(ErrorTest, UnreadablePayloadsAreNoDetail) {
  absl::Status status = absl::InternalError("x");
  status.SetPayload("type.googleapis.com/google.rpc.ErrorInfo", absl::Cord("\xff\xff\xff"));
  EXPECT_EQ(ReasonOf(status), "");
}

}  // namespace
}  // namespace quarry
