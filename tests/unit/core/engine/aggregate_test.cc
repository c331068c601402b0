#include "core/base/error.h"
#include "tests/unit/core/engine/query_cluster.h"

namespace quarry {
namespace {

class AggregateTest : public QueryClusterTest {
 protected:
  absl::StatusOr<AggregateResult> Aggregate(std::vector<std::string> group_by, std::vector<AggregateTerm> aggregates) {
    AggregateOperation op;
    op.table = "items";
    op.group_by = std::move(group_by);
    op.aggregates = std::move(aggregates);
    return Run(engine_->Aggregate(op, "", ctx_));
  }
};

TEST_F(AggregateTest, GroupsAndDistinctValuesAreBoundedByLimitsAndNotByMemory) {
  limits_.aggregate.groups_max = 5;
  limits_.aggregate.values_max = 4;
  Restart();
  Fill(Mixed(12));
  const absl::Status groups = Aggregate({"id"}, {{AggregateFunction::kCount, "", "n"}}).status();
  EXPECT_EQ(groups.code(), absl::StatusCode::kResourceExhausted) << groups;
  EXPECT_EQ(ReasonOf(groups), reason::kLimitExceeded);
  EXPECT_THAT(std::string(groups.message()), testing::HasSubstr("limits.aggregate_groups"));
  const absl::Status values = Aggregate({}, {{AggregateFunction::kCountDistinct, "name", "names"}}).status();
  EXPECT_EQ(ReasonOf(values), reason::kLimitExceeded) << values;
  EXPECT_THAT(Aggregate({"shop"}, {{AggregateFunction::kCountDistinct, "id", "ids"}}), IsOk())
      << "values that lie on one shard each are counted there";
}

}  // namespace
}  // namespace quarry
