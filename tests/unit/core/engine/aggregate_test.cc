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
    op.allow_partial = allow_partial_;
    return Run(engine_->Aggregate(op, "", ctx_));
  }

  bool allow_partial_ = false;
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

TEST_F(AggregateTest, ASumBeyondTheRangeOfDoublesIsToldAlikeByOneShardAndByTheMerge) {
  const auto huge = [](int64_t id) {
    Item item;
    item.id = id;
    item.rank = 1.7e308;
    return item;
  };
  // On two shards, together on s0, and together on s1.
  for (const auto& [first, second] : {std::pair(0, 1), std::pair(0, 3), std::pair(1, 4)}) {
    Insert(huge(first));
    ASSERT_OK_AND_ASSIGN(const AggregateResult fits, Aggregate({}, {{AggregateFunction::kSum, "rank", "total"}}));
    EXPECT_EQ(fits.rows[0][0], Value::Double(1.7e308));
    Insert(huge(second));
    for (const AggregateFunction function : {AggregateFunction::kSum, AggregateFunction::kAvg}) {
      for (const bool allow_partial : {false, true}) {
        allow_partial_ = allow_partial;
        const absl::Status beyond = Aggregate({}, {{AggregateFunction::kCount, "", "n"}, {function, "rank", "total"}}).status();
        EXPECT_EQ(beyond.code(), absl::StatusCode::kOutOfRange) << first << ", " << second << ": " << beyond;
        EXPECT_THAT(beyond, HasReason(reason::kValueOutOfRange));
        EXPECT_EQ(DetailOf(beyond).facts["column"], "total");
      }
    }
    Delete(first);
    Delete(second);
  }
}

}  // namespace
}  // namespace quarry
