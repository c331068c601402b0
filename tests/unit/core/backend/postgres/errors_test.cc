#include "core/backend/postgres/errors.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry::postgres {
namespace {

absl::Status Of(const std::string& sqlstate) {
  ServerError error;
  error.sqlstate = sqlstate;
  error.message = "duplicate key 'secret'";
  error.constraint = "t_pkey";
  error.table = "t";
  return StatusOf(error, "s0");
}

struct Case {
  const char* sqlstate;
  absl::StatusCode code;
  const char* reason;
};

TEST(ErrorsTest, MapsSqlStatesAsPublished) {
  using Code = absl::StatusCode;
  for (const Case& expected : {
           Case{"23505", Code::kAlreadyExists, reason::kUniqueViolation},
           Case{"23503", Code::kFailedPrecondition, reason::kConstraintViolation},
           Case{"23514", Code::kFailedPrecondition, reason::kConstraintViolation},
           Case{"23502", Code::kFailedPrecondition, reason::kConstraintViolation},
           Case{"40001", Code::kAborted, reason::kSerializationFailure},
           Case{"40P01", Code::kAborted, reason::kDeadlock},
           Case{"55P03", Code::kAborted, reason::kSerializationFailure},
           Case{"25006", Code::kFailedPrecondition, reason::kReadOnly},
           Case{"42501", Code::kPermissionDenied, reason::kPermissionDenied},
           Case{"42601", Code::kInvalidArgument, reason::kInvalidSql},
           Case{"22003", Code::kInvalidArgument, reason::kValueOutOfRange},
           Case{"22P02", Code::kInvalidArgument, reason::kInvalidField},
           Case{"53100", Code::kResourceExhausted, reason::kShardFull},
           Case{"57P01", Code::kUnavailable, reason::kShardUnavailable},
           Case{"08006", Code::kUnavailable, reason::kShardUnavailable},
           Case{"XX001", Code::kDataLoss, reason::kShardCorrupt},
           Case{"XX000", Code::kInternal, reason::kDatabaseError},
       }) {
    const absl::Status status = Of(expected.sqlstate);
    EXPECT_THAT(status, StatusIs(expected.code)) << expected.sqlstate;
    EXPECT_THAT(status, HasReason(expected.reason)) << expected.sqlstate;
    EXPECT_EQ(std::string(status.message()).find("secret"), std::string::npos) << expected.sqlstate;
    EXPECT_EQ(DetailOf(status).facts.at("shard"), "s0");
  }
}

TEST(ErrorsTest, NamesTheTransactionOfADeadlock) {
  ServerError error;
  error.sqlstate = "40P01";
  error.blocker = "764";
  const absl::Status status = StatusOf(error, "s0");
  EXPECT_THAT(status, HasReason(reason::kDeadlock));
  EXPECT_EQ(DetailOf(status).facts["blocking_transaction"], "764");
}

TEST(ErrorsTest, TellsAPrepareWithoutAPlaceFromOtherShortages) {
  ServerError error;
  error.sqlstate = "53200";
  EXPECT_THAT(StatusOf(error, "s0"), HasReason(reason::kShardFull));
  error.of_prepare = true;
  const absl::Status full = StatusOf(error, "s0");
  EXPECT_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(full, HasReason(reason::kPoolExhausted));
  EXPECT_EQ(DetailOf(full).facts["setting"], "max_prepared_transactions");
  EXPECT_TRUE(DetailOf(full).retry_after.has_value());
  error.sqlstate = "55000";
  EXPECT_THAT(StatusOf(error, "s0"), HasReason(reason::kTwoPhaseUnavailable));
}

TEST(ErrorsTest, TellsALostWriteFromALostRead) {
  EXPECT_THAT(Lost("s0", true, "cut"), HasReason(reason::kWriteOutcomeUnknown));
  EXPECT_THAT(Lost("s0", false, "cut"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(DetailOf(Lost("s0", false, "cut")).retry_after.has_value());
}

}  // namespace
}  // namespace quarry::postgres
