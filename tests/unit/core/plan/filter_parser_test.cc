#include <string>

#include "core/plan/filter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/plan/filter_testing.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<Condition> Parse(const std::string& text, const Params& params = {}, const FilterLimits& limits = {}) {
  return ParseFilter(text, params, limits, "filter");
}

std::string Shape(const std::string& text, const Params& params = {}) {
  const absl::StatusOr<Condition> condition = Parse(text, params);
  return condition.ok() ? ConditionText(*condition) : std::string(condition.status().message());
}

std::string Problem(const std::string& text, const Params& params = {}, const FilterLimits& limits = {}) {
  const absl::StatusOr<Condition> condition = Parse(text, params, limits);
  if (condition.ok()) return "parsed as " + ConditionText(*condition);
  EXPECT_EQ(ReasonOf(condition.status()), reason::kInvalidField);
  const ErrorDetail detail = DetailOf(condition.status());
  EXPECT_EQ(detail.violations.at(0).field, "filter");
  return detail.violations.at(0).description;
}

TEST(FilterParserTest, ReadsComparisonsWithTheColumnOnEitherSide) {
  EXPECT_EQ(Shape("price = 5"), "price = int64 5");
  EXPECT_EQ(Shape("price == 5"), "price = int64 5");
  EXPECT_EQ(Shape("price<>5"), "price != int64 5");
  EXPECT_EQ(Shape("price != -5"), "price != int64 -5");
  EXPECT_EQ(Shape("5 < price"), "price > int64 5");
  EXPECT_EQ(Shape("5 >= price"), "price <= int64 5");
  EXPECT_EQ(Shape("5 > price"), "price < int64 5");
  EXPECT_EQ(Shape("5 = price"), "price = int64 5");
  EXPECT_EQ(Shape("@p <= price", {{"p", Value::Int64(7)}}), "price >= int64 7");
  EXPECT_EQ(Shape("price > other.cost"), "price > other.cost");
  EXPECT_EQ(Shape("\"or\" = 'it''s'"), "or = text 'it\\'s'");
  EXPECT_EQ(Shape("\"a\"\"b\" = 1"), "a\"b = int64 1");
  EXPECT_EQ(Shape("größe = 1"), "größe = int64 1");
  EXPECT_EQ(Shape("TRUE = paid"), "paid = bool true");
}

TEST(FilterParserTest, ReadsEveryLiteralInItsKind) {
  EXPECT_EQ(Parse("a = 9223372036854775807")->values[0], Value::Int64(INT64_MAX));
  EXPECT_EQ(Parse("a = 9223372036854775808")->values[0], Value::Decimal("9223372036854775808"));
  EXPECT_EQ(Parse("a = 1.50")->values[0], Value::Decimal("1.50"));
  EXPECT_EQ(Parse("a = -.5")->values[0], Value::Decimal("-0.5"));
  EXPECT_EQ(Parse("a = 15e-1")->values[0], Value::Double(1.5));
  EXPECT_EQ(Parse("a = false")->values[0], Value::Bool(false));
  EXPECT_EQ(Parse("a = DATE '2026-01-31'")->values[0], Value::Date("2026-01-31"));
  EXPECT_EQ(Parse("a = time '10:11'")->values[0], Value::Time("10:11:00"));
  EXPECT_EQ(Parse("a = DECIMAL '01.50'")->values[0], Value::Decimal("1.50"));
  EXPECT_EQ(Parse("a = X'00fF'")->values[0], Value::Bytes(std::string("\0\xff", 2)));
  EXPECT_EQ(Parse("a = UUID '0190A6E0-0000-7000-8000-000000000001'")->values[0],
            Value::Uuid("0190a6e0-0000-7000-8000-000000000001"));
  EXPECT_EQ(Parse("a = TIMESTAMP '2026-01-31T00:00:00Z'")->values[0], Value::Text("2026-01-31T00:00:00Z"));
  EXPECT_EQ(Shape("date = DATE '2026-01-31'"), "date = date '2026-01-31'");
}

TEST(FilterParserTest, ReadsTheOtherForms) {
  EXPECT_EQ(Shape("a in (1, @x, 'b')", {{"x", Value::Int64(2)}}), "a in [int64 1, int64 2, text 'b']");
  EXPECT_EQ(Shape("a IN ()"), "a in []");
  EXPECT_EQ(Shape("a NOT IN @list", {{"list", Value::Array({Value::Int64(1)})}}), "not a in [int64 1]");
  EXPECT_EQ(Shape("a BETWEEN 1 AND 2 AND b NOT BETWEEN 3 AND 4"),
            "(a between int64 1, int64 2 and not b between int64 3, int64 4)");
  EXPECT_EQ(Shape("a Like 'x%' OR a NOT LIKE '_'"), "(a like text 'x%' or not a like text '_')");
  EXPECT_EQ(Shape("starts_with(a.b, 'x')"), "a.b begins text 'x'");
  EXPECT_EQ(Shape("a IS NULL AND b is not null"), "(a is null and not b is null)");
  EXPECT_EQ(Shape("NOT a = 1 AND NOT (b = 2 OR c = 3)"), "(not a = int64 1 and not (b = int64 2 or c = int64 3))");
  EXPECT_EQ(Shape("has(orders) AND NOT has(orders, price > 5 AND paid = TRUE)"),
            "(has(orders) and not has(orders, (price > int64 5 and paid = bool true)))");
  EXPECT_EQ(Shape("has = 1 AND starts_with = 2"), "(has = int64 1 and starts_with = int64 2)");
}

TEST(FilterParserTest, EveryConditionKnowsItsPlaceInCharacters) {
  ASSERT_OK_AND_ASSIGN(const Condition condition, Parse("ä = 'ö' AND b = 2"));
  EXPECT_EQ(condition.place, "filter: character 1");
  EXPECT_EQ(condition.children[1].place, "filter: character 13");
}

TEST(FilterParserTest, SaysWhereAndWhatWasExpected) {
  EXPECT_EQ(Problem(""), "character 1: the filter is empty; leave it out to take all rows");
  EXPECT_EQ(Problem("price"), "character 6: expected one of = != < <= > >=, IN, BETWEEN, LIKE, IS or NOT, found the end of the text");
  EXPECT_EQ(Problem("ä = "), "character 5: expected a value: a number, 'text', TRUE, FALSE or @parameter, found the end of the text");
  EXPECT_EQ(Problem("a = 1 b"), "character 7: expected AND, OR or the end of the text, found \"b\"");
  EXPECT_EQ(Problem("(a = 1"), "character 7: expected AND, OR or \")\", found the end of the text");
  EXPECT_EQ(Problem("a = 'x"), "character 5: the text that starts here has no closing '");
  EXPECT_EQ(Problem("a = 'secret' 'secret'"), "character 14: expected AND, OR or the end of the text, found a text");
  EXPECT_EQ(Problem("a ; b"), "character 3: this character has no meaning here; texts stand in '…', names in \"…\" where they are not plain");
  EXPECT_EQ(Problem("a NOT 1"), "character 7: expected IN, BETWEEN or LIKE, found a number");
  EXPECT_EQ(Problem("a IN 5"), "character 6: expected \"(\" or a parameter that holds a list, found a number");
  EXPECT_EQ(Problem("a IN (1"), "character 8: expected \",\" or \")\", found the end of the text");
  EXPECT_EQ(Problem("1 = 2"), "character 5: expected a column: one side of a comparison is a column, found a number");
  EXPECT_EQ(Problem("select = 1 AND in = 2"),
            "character 16: expected a condition, found the keyword IN; a column of this name stands in \"…\"");
  EXPECT_EQ(Problem("a = NULL"), "character 5: NULL equals nothing; write IS NULL or IS NOT NULL");
  EXPECT_EQ(Problem("a = 12abc"), "character 7: expected a space or an operator after the number");
  EXPECT_EQ(Problem("a = 1e999"), "character 5: the number is too large for 64 bits");
  EXPECT_EQ(Problem("a = DATE '2026-02-30'"), "character 10: expected a date of the form '2026-01-31'");
  EXPECT_EQ(Problem("a = TIMESTAMP '2026-13-01T00:00:00Z'"),
            "character 15: expected a timestamp of the form '2026-01-31T23:59:59.123456Z'");
  EXPECT_EQ(Problem("a = TIME '24:61'"), "character 10: expected a time of the form '23:59:59.123456'");
  EXPECT_EQ(Problem("a = UUID '0190a6e0'"),
            "character 10: expected a UUID of the form '0190a6e0-0000-7000-8000-000000000001'");
  EXPECT_EQ(Problem("a = DECIMAL '1,5'"), "character 13: expected a decimal number of the form '-12.340'");
  EXPECT_EQ(Problem("a = X'0'"), "character 6: expected an even number of hexadecimal digits, as in X'00ff'");
  EXPECT_EQ(Problem("a. = 1"), "character 4: expected a column after the point, found \"=\"");
}

TEST(FilterParserTest, RefusesAndBesideOrWithAHint) {
  EXPECT_THAT(Problem("a = 1 AND b = 2 OR c = 3"), HasSubstr("character 17: AND and OR stand side by side"));
  EXPECT_THAT(Problem("a = 1 OR b = 2 AND c = 3"), HasSubstr("character 16: AND and OR stand side by side"));
  EXPECT_EQ(Shape("a = 1 AND (b = 2 OR c = 3)"), "(a = int64 1 and (b = int64 2 or c = int64 3))");
}

TEST(FilterParserTest, EveryParameterIsGivenAndUsed) {
  EXPECT_EQ(Problem("a = @nmae", {{"name", Value::Int64(1)}}),
            "character 5: no parameter @nmae is given (did you mean \"name\"?)");
  EXPECT_EQ(Problem("a = 1", {{"x", Value::Int64(1)}}), "parameter @x is given, but the text does not use it; leave it out");
  EXPECT_THAT(Problem("a IN @x", {{"x", Value::Int64(1)}}), HasSubstr("IN takes a list, but @x is one value"));
  EXPECT_THAT(Problem("a = @x", {{"x", Value::Array({})}}), HasSubstr("this parameter holds a list"));
}

TEST(FilterParserTest, RefusesBytesThatAreNoText) {
  EXPECT_EQ(Problem("ä = '\xff'"), "character 6: the text is not valid UTF-8 or holds a NUL");
  EXPECT_EQ(Problem(std::string("a = \0", 5)), "character 5: the text is not valid UTF-8 or holds a NUL");
}

TEST(FilterParserTest, HoldsItsLimits) {
  FilterLimits limits;
  limits.text_bytes_max = 200;
  limits.depth_max = 4;
  limits.nodes_max = 5;
  limits.list_max = 3;
  EXPECT_THAT(Problem(std::string(201, 'a'), {}, limits), HasSubstr("has 201 bytes, more than the 200"));
  EXPECT_THAT(Parse("(((a = 1)))", {}, limits), IsOk());
  EXPECT_THAT(Problem("((((a = 1))))", {}, limits), HasSubstr("character 5: the filter is nested deeper than 4 levels"));
  EXPECT_THAT(Problem("NOT NOT NOT NOT a = 1", {}, limits), HasSubstr("nested deeper"));
  EXPECT_THAT(Problem("has(a, has(a, has(a, has(a, b = 1))))", {}, limits), HasSubstr("nested deeper"));
  EXPECT_THAT(Problem("a=1 OR a=1 OR a=1 OR a=1 OR a=1", {}, limits), HasSubstr("more than 5 conditions"));
  EXPECT_THAT(Parse("a IN (1, 2, 3)", {}, limits), IsOk());
  EXPECT_THAT(Problem("a IN (1, 2, 3, 4)", {}, limits), HasSubstr("character 16: the list has more than 3 values"));
  const Value four = Value::Array(std::vector<Value>(4, Value::Int64(1)));
  EXPECT_THAT(Problem("a IN @x", {{"x", four}}, limits), HasSubstr("more than 3 values"));
  EXPECT_THAT(Problem(std::string(60'000, '(')), HasSubstr("nested deeper than 32 levels"));
}

}  // namespace
}  // namespace quarry
