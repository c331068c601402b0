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

}  // namespace
}  // namespace quarry
