#include "core/backend/shard_error.h"

#include <string>

#include "core/base/error.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

std::string Told(const std::string& message) {
  const absl::Status status = OnShard(absl::UnavailableError(message), "pg0");
  EXPECT_EQ(DetailOf(status).facts["shard"], "pg0");
  return std::string(status.message());
}

TEST(ShardErrorTest, NamesTheShardOnce) {
  EXPECT_EQ(Told("the disk is full"), "shard pg0: the disk is full");
  EXPECT_EQ(Told("shard pg0: the disk is full"), "shard pg0: the disk is full");
  EXPECT_EQ(Told("the deadline ended while shard pg0 was at it"), "the deadline ended while shard pg0 was at it");
}

TEST(ShardErrorTest, LeavesTheBlameWithTheShardThatTheMessageNames) {
  EXPECT_EQ(Told("shard pg2 can take no part in transactions over several shards"),
            "shard pg2 can take no part in transactions over several shards");
  const absl::Status other = WithFact(absl::UnavailableError("shard pg2 is down"), "shard", "pg2");
  EXPECT_EQ(DetailOf(OnShard(other, "pg0")).facts["shard"], "pg2");
}

TEST(ShardErrorTest, LeavesTheMessageOfACallersMistake) {
  EXPECT_EQ(OnShard(absl::InvalidArgumentError("a bad value"), "pg0").message(), "a bad value");
}

TEST(ShardErrorTest, ATableOrColumnThatIsGoneIsNoMistakeOfTheCaller) {
  for (const std::string state : {"42P01", "42703", "42883"}) {
    const absl::Status refused =
        MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidSql, "shard pg0: the SQL is refused: no x", {{"sqlstate", state}});
    const absl::Status told = OnShard(refused, "pg0");
    if (state == "42883") {
      EXPECT_THAT(told, HasReason(reason::kInvalidSql)) << "an operator that a type does not have";
      continue;
    }
    EXPECT_THAT(told, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(told, HasReason(reason::kSchemaMismatch));
    EXPECT_EQ(told.message(),
              "shard pg0: its tables have changed since this gateway asked for them (the SQL is refused: no x); finish the "
              "migration on every shard, then send SIGHUP to the gateways");
  }
  const absl::Status gone = MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidSql, "no such table on shard s1");
  EXPECT_THAT(OnShard(gone, "s1"), HasReason(reason::kSchemaMismatch));
}

}  // namespace
}  // namespace quarry
