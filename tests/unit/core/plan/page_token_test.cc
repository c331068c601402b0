#include "core/plan/page_token.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;

QueryPosition AnyPosition() {
  QueryPosition position;
  position.after = {Value::Int64(7), Value::Null(), Value::Text("é"), Value::Decimal("1.50"), Value::Bytes(std::string("\0x", 2)),
                    Value::Double(std::numeric_limits<double>::quiet_NaN()), Value::Timestamp(-5), Value::Bool(true)};
  position.backward = true;
  position.inclusive = true;
  position.given = 123'456'789'012;
  return position;
}

TEST(PageTokenTest, ComesBackAsItWas) {
  const Sealer sealer("secret");
  const QueryPosition position = AnyPosition();
  ASSERT_OK_AND_ASSIGN(const std::string token, SealPosition(position, 99, sealer));
  ASSERT_OK_AND_ASSIGN(const QueryPosition opened, OpenPosition(token, 99, sealer, "page_token"));
  EXPECT_EQ(opened.after, position.after);
  EXPECT_TRUE(opened.backward);
  EXPECT_TRUE(opened.inclusive);
  EXPECT_EQ(opened.given, position.given);
}

TEST(PageTokenTest, IsOfItsRequestAlone) {
  const Sealer sealer("secret");
  ASSERT_OK_AND_ASSIGN(const std::string token, SealPosition(AnyPosition(), 99, sealer));
  const absl::Status status = OpenPosition(token, 98, sealer, "resume_token").status();
  EXPECT_THAT(status, HasReason(reason::kInvalidField));
  EXPECT_EQ(DetailOf(status).violations.at(0).field, "resume_token");
  EXPECT_THAT(DetailOf(status).violations.at(0).description, HasSubstr("another request"));
  EXPECT_THAT(OpenPosition(token, 99, Sealer("other"), "page_token"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(OpenPosition(std::string(kTokenBytesMax + 1, 'A'), 99, sealer, "page_token"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(PageTokenTest, RefusesBytesThatAreCutOrOfAnotherForm) {
  const std::string bytes = EncodePosition(AnyPosition(), 1);
  ASSERT_THAT(DecodePosition(bytes), IsOk());
  std::string other = bytes;
  other[0] = 2;
  EXPECT_THAT(DecodePosition(other), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(DecodePosition(bytes + "\x63"), StatusIs(absl::StatusCode::kDataLoss));
  for (size_t size = 0; size < 18; ++size) {
    EXPECT_THAT(DecodePosition(bytes.substr(0, size)), StatusIs(absl::StatusCode::kDataLoss)) << size;
  }
  EXPECT_THAT(OpenPosition(Sealer("s").Seal("?"), 1, Sealer("s"), "page_token"), HasReason(reason::kInvalidField));
}

TEST(PageTokenTest, RefusesSortValuesThatFitNoToken) {
  QueryPosition position;
  position.after = {Value::Text(std::string(kTokenBytesMax, 'x'))};
  EXPECT_THAT(SealPosition(position, 1, Sealer("s")), HasReason(reason::kLimitExceeded));
  position.after = {Value::Text(std::string(kTokenBytesMax / 2, 'x'))};
  ASSERT_OK_AND_ASSIGN(const std::string token, SealPosition(position, 1, Sealer("s")));
  EXPECT_LE(token.size(), kTokenBytesMax);
  EXPECT_THAT(OpenPosition(token, 1, Sealer("s"), "page_token"), IsOk());
}

}  // namespace
}  // namespace quarry
