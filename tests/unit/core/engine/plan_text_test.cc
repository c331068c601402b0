#include "core/engine/plan_text.h"

#include "gtest/gtest.h"

namespace quarry {
namespace {

TEST(PlanTextTest, ConditionsLoseTheirValues) {
  EXPECT_EQ(WithoutValues("  Filter: (name = 'O''Hara'::text)"), "  Filter: (name = ?::text)");
  EXPECT_EQ(WithoutValues("  Filter: ((t0.name)::text ~~ E'a\\\\b%''c'::text)"), "  Filter: ((t0.name)::text ~~ ?::text)");
  EXPECT_EQ(WithoutValues("  Index Cond: ((id > 271828) AND (price <= 1.5e-07) AND (x = '-3'::integer))"),
            "  Index Cond: ((id > ?) AND (price <= ?-?) AND (x = ?::integer))");
  EXPECT_EQ(WithoutValues("  Recheck Cond: (id = ANY ('{1,2,3}'::bigint[]))"), "  Recheck Cond: (id = ANY (?::bigint[]))");
  EXPECT_EQ(WithoutValues("Sort Key: ((name || 'secret'::text)), id"), "Sort Key: ((name || ?::text)), id");
}

TEST(PlanTextTest, AValueOfSeveralLinesIsOneValue) {
  EXPECT_EQ(WithoutValues("Seq Scan on t0  (cost=0.00..1.01 rows=1 width=4)\n  Filter: (name = 'one\ntwo 2\nthree'::text)\n"
                          "Limit  (cost=1.00..2.00 rows=3 width=4)"),
            "Seq Scan on t0  (cost=0.00..1.01 rows=1 width=4)\n  Filter: (name = ?::text)\n"
            "Limit  (cost=1.00..2.00 rows=3 width=4)");
}

TEST(PlanTextTest, NamesStayAsTheyAre) {
  EXPECT_EQ(WithoutValues("  Filter: (t0.\"it's 5\" = t0.line2)"), "  Filter: (t0.\"it's 5\" = t0.line2)");
  EXPECT_EQ(WithoutValues("  Filter: (t0.größe > 3)"), "  Filter: (t0.größe > ?)");
  EXPECT_EQ(WithoutValues("  Filter: (t0.\"a\"\"b 7\" = '')"), "  Filter: (t0.\"a\"\"b 7\" = ?)");
}

TEST(PlanTextTest, WhatIsNoExpressionStaysAsItIs) {
  for (const char* line : {"Limit  (cost=0.15..8.17 rows=10 width=36)", "  Workers Planned: 2",
                           "  ->  Seq Scan on orders t0  (cost=0.00..35.50 rows=10 width=40)", "SCAN t0 USING INDEX a1", ""}) {
    EXPECT_EQ(WithoutValues(line), line);
  }
}

TEST(PlanTextTest, ALineThatIsCutShowsNothingOfItsLastValue) {
  EXPECT_EQ(WithoutValues("Filter: (name = 'sec"), "Filter: (name = ?");
  EXPECT_EQ(WithoutValues("Filter: (name = E'"), "Filter: (name = ?");
  EXPECT_EQ(WithoutValues("Filter: (name = 'sec'''"), "Filter: (name = ?");
}

}  // namespace
}  // namespace quarry
