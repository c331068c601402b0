#include "core/plan/plan_include.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/plan/filter_testing.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class PlanIncludeTest : public ::testing::Test {
 protected:
  absl::StatusOr<IncludePlan> Plan(const std::string& table, std::vector<Include> includes,
                                   const std::vector<std::string>& page_columns = {}) {
    includes_ = std::move(includes);
    return PlanIncludes(includes_, TableOf(*snapshot_, table), page_columns, snapshot_->catalog, limits_);
  }
  // "field: description", one for each violation.
  std::vector<std::string> Problems(const std::string& table, std::vector<Include> includes) {
    const absl::Status status = Plan(table, std::move(includes)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    std::vector<std::string> lines;
    for (const FieldViolation& violation : DetailOf(status).violations) {
      lines.push_back(absl::StrCat(violation.field, ": ", violation.description));
    }
    return lines;
  }
  static std::vector<std::string> Names(const Table& table, const std::vector<size_t>& columns) {
    std::vector<std::string> names;
    for (const size_t column : columns) names.push_back(table.columns()[column].name);
    return names;
  }

  std::shared_ptr<const Snapshot> snapshot_ = FilterSnapshot();
  IncludeLimits limits_;
  std::vector<Include> includes_;
};

TEST_F(PlanIncludeTest, ReadsWhatJoiningNeedsBehindWhatIsAsked) {
  ASSERT_OK_AND_ASSIGN(const IncludePlan plan,
                       Plan("customers", {{"orders", {"number"}, 7}, {"orders.countries", {"name"}, 0}}, {"name"}));
  EXPECT_THAT(plan.page_columns, ElementsAre("name", "id"));
  EXPECT_EQ(plan.page_visible, 1u);
  ASSERT_THAT(plan.steps, SizeIs(2));
  const IncludeStep& orders = plan.steps[0];
  EXPECT_EQ(orders.path, "orders");
  EXPECT_FALSE(orders.parent.has_value());
  EXPECT_THAT(Names(*orders.related, orders.columns), ElementsAre("number", "customer", "country"));
  EXPECT_EQ(orders.visible, 1u);
  EXPECT_THAT(*orders.header, SizeIs(1));
  EXPECT_THAT(orders.key_positions, ElementsAre(1u));
  EXPECT_THAT(orders.join_positions, ElementsAre(1u));
  EXPECT_EQ(orders.rows_per_parent, 7);
  const IncludeStep& countries = plan.steps[1];
  EXPECT_EQ(countries.parent, 0u);
  EXPECT_THAT(countries.key_positions, ElementsAre(2u));
  EXPECT_THAT(Names(*countries.related, countries.columns), ElementsAre("name", "code"));
  EXPECT_EQ(countries.rows_per_parent, limits_.rows_per_parent);
  EXPECT_FALSE(countries.by_key);
}

TEST_F(PlanIncludeTest, ReadsAllColumnsOfThePageUnlessSomeAreNamed) {
  for (const std::vector<std::string>& columns : {std::vector<std::string>(), {"*"}}) {
    ASSERT_OK_AND_ASSIGN(const IncludePlan plan, Plan("notes", {{"notes_author_fkey", {}, 0}}, columns));
    EXPECT_THAT(plan.page_columns, ElementsAre("id", "customer", "author"));
    EXPECT_EQ(plan.page_visible, 3u);
    EXPECT_TRUE(plan.steps.at(0).by_key) << "the authors live on shards of their own";
    EXPECT_THAT(plan.steps[0].key_positions, ElementsAre(2u));
  }
}

TEST_F(PlanIncludeTest, NamesWhatCannotBeLoadedAtItsPlace) {
  EXPECT_THAT(Problems("customers", {{"order", {}, 0}, {"orders", {}, 0}, {"orders", {}, 0}}),
              ElementsAre(HasSubstr("includes[0].relation: table \"customers\" has no relation \"order\" (did you mean \"orders\"?)"),
                          "includes[2].relation: includes orders twice"));
  EXPECT_THAT(Problems("customers", {{"orders.countries", {}, 0}}),
              ElementsAre("includes: has a relation of orders, whose rows are not loaded: include orders too"));
  EXPECT_THAT(Problems("customers", {{"notes_author_fkey", {}, 0}}),
              ElementsAre(HasSubstr("includes[0].relation: cannot be loaded beside its parents: the relation joins (id) with (author)")));
  EXPECT_THAT(Problems("customers", {{"orders", {"nmber"}, 0}, {"orders.countries", {"nam"}, 0}}),
              ElementsAre(HasSubstr("includes[0].columns"), HasSubstr("includes[1].columns")));
}

TEST_F(PlanIncludeTest, HoldsItsLimits) {
  limits_.depth_max = 2;
  limits_.steps_max = 2;
  const std::vector<Include> most = {{"orders", {}, 0}, {"orders.countries", {}, 0}};
  EXPECT_THAT(Plan("customers", most), IsOk());
  EXPECT_THAT(Problems("customers", {{"orders.customers.orders", {}, 0}}),
              ElementsAre("includes[0].relation: goes 3 relations deep; at most 2"));
  std::vector<Include> many = most;
  many.push_back({"orders.customers", {}, 0});
  EXPECT_THAT(Problems("customers", many),
              ElementsAre("includes[2].relation: is one relation too many; at most 2 are loaded at once"));
}

}  // namespace
}  // namespace quarry
