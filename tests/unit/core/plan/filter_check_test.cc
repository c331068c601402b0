#include <limits>
#include <string>

#include "core/merge/aggregate.h"
#include "core/plan/filter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/plan/filter_testing.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;

class FilterCheckTest : public ::testing::Test {
 protected:
  std::string Checked(const std::string& table, const std::string& text, const Params& params = {}) {
    const absl::StatusOr<Predicate> predicate = CheckText(*snapshot_, table, text, params);
    return predicate.ok() ? PredicateText(*predicate) : std::string(predicate.status().message());
  }
  absl::Status Problem(const std::string& table, const std::string& text, const Params& params = {}) {
    const absl::StatusOr<Predicate> predicate = CheckText(*snapshot_, table, text, params);
    return predicate.ok() ? absl::OkStatus() : predicate.status();
  }
  absl::StatusOr<Predicate> Check(const Condition& condition, const std::string& table = "customers",
                                  const FilterLimits& limits = {}) {
    return CheckFilter(condition, TableOf(*snapshot_, table), snapshot_->catalog, limits);
  }

  std::shared_ptr<const Snapshot> snapshot_ = FilterSnapshot();
};

TEST_F(FilterCheckTest, PutsValuesIntoTheirColumnsKind) {
  EXPECT_EQ(Checked("orders", "price = 5"), "price = decimal '5'");
  EXPECT_EQ(Checked("orders", "made > '2026-01-31T00:00:00Z'"), "made > timestamp @1769817600000000us");
  EXPECT_EQ(Checked("orders", "ref = '0190A6E0-0000-7000-8000-000000000001'"),
            "ref = uuid '0190a6e0-0000-7000-8000-000000000001'");
  EXPECT_EQ(Checked("customers", "rate < 1.5 AND rate > 2"), "(rate < double 1.5 and rate > double 2)");
  EXPECT_EQ(Checked("orders", "number BETWEEN 1 AND 3"), "(number >= int64 1 and number <= int64 3)");
  EXPECT_EQ(Checked("orders", "status = 'open'"), "status = text 'open'");
}

TEST_F(FilterCheckTest, AValueBeyondTheColumnKeepsItsMeaning) {
  EXPECT_EQ(Checked("customers", "age < 300"), "age < int64 300");
  EXPECT_EQ(Checked("customers", "age < 32768"), "not age is null");
  EXPECT_EQ(Checked("customers", "age != 99999999999999999999"), "not age is null");
  EXPECT_EQ(Checked("customers", "age >= 40000"), "false");
  EXPECT_EQ(Checked("customers", "age = 1.5"), "false");
  EXPECT_EQ(Checked("customers", "age < 1.5"), "age <= int64 1");
  EXPECT_EQ(Checked("customers", "age > -1.5"), "age >= int64 -1");
  EXPECT_EQ(Checked("customers", "age <= 2.00"), "age <= int64 2");
  EXPECT_EQ(Checked("customers", "age > -40000"), "not age is null");
  EXPECT_EQ(Checked("customers", "id < 1e300"), "true");
  EXPECT_EQ(Checked("customers", "age IN (1, 40000, 2)"), "age in [int64 1, int64 2]");
  ASSERT_OK_AND_ASSIGN(const Predicate rounded, CheckText(*snapshot_, "customers", "rate < 9007199254740993"));
  EXPECT_EQ(rounded.op, CompareOp::kLessOrEqual);
  EXPECT_EQ(rounded.values[0], Value::Double(9007199254740992.0));
  EXPECT_EQ(Checked("customers", "label = 'longer than five'"), "label = text 'longer than five'");
  EXPECT_EQ(Checked("orders", "price > 123456789.123"), "price > decimal '123456789.123'");
  EXPECT_EQ(Checked("customers", "age < @x", {{"x", Value::Double(std::numeric_limits<double>::quiet_NaN())}}), "not age is null");
}

TEST_F(FilterCheckTest, UnknownStaysUnknownUnderNot) {
  EXPECT_EQ(Checked("customers", "NOT age < 40000"), "not true");
  EXPECT_EQ(Checked("customers", "NOT age > 40000"), "not age is null");
  EXPECT_EQ(Checked("customers", "NOT NOT age > 40000"), "not not false");
  EXPECT_EQ(Checked("customers", "age NOT IN (40000)"), "not age is null");
  EXPECT_EQ(Checked("customers", "age IN ()"), "false");
  EXPECT_EQ(Checked("customers", "age NOT IN ()"), "not false");
  EXPECT_EQ(Checked("customers", "NOT has(orders, paid = TRUE AND price = 5) AND starts_with(name, '')"),
            "(not has(orders, (paid = bool true and price = decimal '5')) and not name is null)");
}

TEST_F(FilterCheckTest, ReportsEveryMistakeAtItsPlace) {
  const absl::Status status = Problem("orders", "pricee = 5 AND number = 'x' AND (extra = '{}' OR customers.nam = 'y')");
  EXPECT_EQ(ReasonOf(status), reason::kInvalidField);
  const ErrorDetail detail = DetailOf(status);
  ASSERT_EQ(detail.violations.size(), 4u);
  EXPECT_EQ(detail.violations[0].field, "filter: character 1");
  EXPECT_EQ(detail.violations[0].description, "table \"orders\" has no column \"pricee\" (did you mean \"price\"?)");
  EXPECT_EQ(detail.violations[1].field, "filter: character 16");
  EXPECT_EQ(detail.violations[1].description, "column \"number\" expects int64; got text");
  EXPECT_THAT(detail.violations[2].description, HasSubstr("takes IS NULL and IS NOT NULL only"));
  EXPECT_EQ(detail.violations[3].description, "table \"customers\" has no column \"nam\" (did you mean \"name\"?)");
}

TEST_F(FilterCheckTest, TypesWithoutOrderTakeIsNullOnly) {
  EXPECT_EQ(Checked("orders", "extra IS NULL AND tags IS NOT NULL"), "(extra is null and not tags is null)");
  EXPECT_THAT(Checked("orders", "tags = @x", {{"x", Value::Text("a")}}), HasSubstr("takes IS NULL and IS NOT NULL only"));
  EXPECT_THAT(Checked("orders", "extra LIKE 'a'"), HasSubstr("takes IS NULL and IS NOT NULL only"));
}

TEST_F(FilterCheckTest, ColumnsAreComparedWithTheirLike) {
  EXPECT_EQ(Checked("orders", "number > customer"), "number > customer");
  EXPECT_EQ(Checked("customers", "age = id"), "age = id");
  EXPECT_THAT(Checked("orders", "number = price"), HasSubstr("cannot be compared with column \"price\" of type decimal"));
  EXPECT_EQ(Checked("orders", "customers.age = customers.id"), "has(customers, age = id)");
  EXPECT_THAT(Checked("orders", "customers.country = country"), HasSubstr("are of different tables"));
}

TEST_F(FilterCheckTest, PatternsAreForText) {
  EXPECT_EQ(Checked("customers", "name LIKE 'a%' AND starts_with(name, 'b')"), "(name like text 'a%' and name begins text 'b')");
  EXPECT_THAT(Checked("customers", "age LIKE '1%'"), HasSubstr("LIKE is for text columns; column \"age\" is of type int16"));
  EXPECT_THAT(Checked("customers", "name LIKE 5"), HasSubstr("LIKE takes a text, not int64"));
  EXPECT_THAT(Checked("customers", "name LIKE 'a\\'"), HasSubstr("ends in a backslash"));
}

TEST_F(FilterCheckTest, NullIsRefusedInComparisons) {
  EXPECT_THAT(Checked("customers", "age = @x", {{"x", Value::Null()}}), HasSubstr("use IS NULL"));
  EXPECT_THAT(Checked("customers", "age IN @x", {{"x", Value::Array({Value::Null()})}}), HasSubstr("use IS NULL"));
}

TEST_F(FilterCheckTest, FollowsRelationsOnOneShard) {
  EXPECT_EQ(Checked("customers", "has(orders)"), "has(orders, true)");
  EXPECT_EQ(Checked("customers", "orders.price > 5"), "has(orders, price > decimal '5')");
  EXPECT_EQ(Checked("customers", "orders.countries.name = 'x'"), "has(orders, has(countries, name = text 'x'))");
  EXPECT_EQ(Checked("customers", "has(orders.countries, name = 'x')"), "has(orders, has(countries, name = text 'x'))");
  EXPECT_EQ(Checked("jobs", "countries.name IS NULL"), "has(countries, name is null)");
  ASSERT_OK_AND_ASSIGN(const Predicate predicate, CheckText(*snapshot_, "orders", "customers.age = 1"));
  ASSERT_EQ(predicate.related->join.size(), 1u);
  EXPECT_EQ(predicate.related->join[0].first.name, "customer");
  EXPECT_EQ(predicate.related->join[0].second.name, "id");
}

TEST_F(FilterCheckTest, RefusesRelationsThatLeaveTheShard) {
  EXPECT_THAT(Checked("notes", "notes_customer_fkey.age = 1"), HasSubstr("which does not contain the shard keys (id) and (id)"));
  EXPECT_THAT(Checked("countries", "has(orders)"), HasSubstr("\"countries\" is a reference table and is read on one shard"));
  EXPECT_THAT(Checked("notes", "customers.age = 1"),
              HasSubstr("several relations lead from table \"notes\" to \"customers\"; name one of them: notes_customer_fkey, "
                        "notes_author_fkey"));
  EXPECT_THAT(Checked("customers", "has(order)"), HasSubstr("has no relation \"order\" (did you mean \"orders\"?)"));
  EXPECT_THAT(Checked("customers", "order.price = 1"), HasSubstr("has no relation \"order\" (did you mean \"orders\"?)"));
}

TEST_F(FilterCheckTest, HoldsItsLimitsOnStructuredConditions) {
  Condition deep;
  deep.kind = Condition::Kind::kIsNull;
  deep.column = "age";
  for (int i = 0; i < 5'000; ++i) {
    Condition outer;
    outer.kind = Condition::Kind::kNot;
    outer.children.push_back(std::move(deep));
    deep = std::move(outer);
  }
  EXPECT_THAT(std::string(Check(deep).status().message()), HasSubstr("nested deeper than 32 levels"));
  Condition wide;
  wide.kind = Condition::Kind::kOr;
  Condition leaf;
  leaf.kind = Condition::Kind::kIsNull;
  leaf.column = "age";
  wide.children.assign(100'000, leaf);
  const absl::Status many = Check(wide).status();
  EXPECT_EQ(DetailOf(many).violations.size(), 1u);
  EXPECT_THAT(std::string(many.message()), HasSubstr("more than 2000 conditions"));
  Condition in;
  in.kind = Condition::Kind::kIn;
  in.column = "age";
  in.values.assign(10'001, Value::Int64(1));
  EXPECT_THAT(std::string(Check(in).status().message()), HasSubstr("a list has at most 10000 values"));
}

TEST_F(FilterCheckTest, CountsRelationsAsLevels) {
  const auto along = [this](size_t relations) {
    std::string path;
    for (size_t i = 0; i < relations; ++i) path += i % 2 == 0 ? "customers." : "orders.";
    return Checked("orders", path + "country = 'x'");
  };
  EXPECT_THAT(along(31), ::testing::StartsWith("has(customers, has(orders, "));
  EXPECT_THAT(along(32), HasSubstr("the filter is nested deeper than 32 levels"));
  EXPECT_THAT(along(33), HasSubstr("goes along more than 32 relations"));
}

TEST_F(FilterCheckTest, RefusesMalformedStructuredConditions) {
  Condition compare;
  compare.kind = Condition::Kind::kCompare;
  compare.column = "age";
  compare.place = "where.and[1]";
  const absl::Status status = Check(compare).status();
  EXPECT_EQ(DetailOf(status).violations.at(0).field, "where.and[1]");
  EXPECT_EQ(DetailOf(status).violations.at(0).description, "a comparison takes 1 value, not 0");
  Condition nothing;
  EXPECT_THAT(Check(nothing), HasReason(reason::kInvalidField));
  nothing.kind = Condition::Kind::kNot;
  EXPECT_THAT(Check(nothing), HasReason(reason::kInvalidField));
  Condition between = compare;
  between.kind = Condition::Kind::kBetween;
  between.values = {Value::Int64(1)};
  EXPECT_THAT(Check(between), HasReason(reason::kInvalidField));
}

TEST_F(FilterCheckTest, ChecksOtherColumnsThanATables) {
  ColumnUse total;
  total.name = "total";
  total.type.kind = TypeKind::kDecimal;
  total.position = 1;
  const FilterLimits limits;
  ASSERT_OK_AND_ASSIGN(const Condition good, ParseFilter("total > 5", {}, limits, "having"));
  ASSERT_OK_AND_ASSIGN(const Predicate predicate, CheckCondition(good, {total}, "the results", limits));
  EXPECT_EQ(Evaluate(predicate, {Value::Null(), Value::Decimal("5.01")}), true);
  ASSERT_OK_AND_ASSIGN(const Condition bad, ParseFilter("totl > 5 AND has(x)", {}, limits, "having"));
  const ErrorDetail detail = DetailOf(CheckCondition(bad, {total}, "the results", limits).status());
  ASSERT_EQ(detail.violations.size(), 2u);
  EXPECT_EQ(detail.violations[0].description, "the results have no column \"totl\" (did you mean \"total\"?)");
  EXPECT_EQ(detail.violations[1].description, "has() is for tables; the results have no relations");
}

}  // namespace
}  // namespace quarry
