#include "core/topology/topology.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;

Topology TwoShards() {
  Shard east;
  east.name = "east";
  Shard west;
  west.name = "west";
  west.dialect = Dialect::kPostgres;
  return Topology(Epoch{7}, {east, west});
}

TEST(TopologyTest, IdsArePositions) {
  const Topology topology = TwoShards();
  EXPECT_EQ(topology.epoch(), Epoch{7});
  ASSERT_EQ(topology.shards().size(), 2u);
  EXPECT_EQ(topology.name(ShardId{1}), "west");
  EXPECT_EQ(topology.shard(ShardId{1}).id, ShardId{1});
  EXPECT_EQ(topology.shard(ShardId{1}).dialect, Dialect::kPostgres);
}

TEST(TopologyTest, FindsByName) {
  ASSERT_OK_AND_ASSIGN(const ShardId id, TwoShards().Find("west"));
  EXPECT_EQ(id, ShardId{1});
}

TEST(TopologyTest, AnUnknownNameListsThoseThatExist) {
  for (const char* name : {"", "West", "north", "west "}) {
    const absl::Status status = TwoShards().Find(name).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound)) << name;
    EXPECT_THAT(status, HasReason("SHARD_NOT_FOUND"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("east, west"));
  }
}

TEST(TopologyTest, OfNoShardsFindsNothing) {
  EXPECT_THAT(Topology().Find("east"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace quarry
