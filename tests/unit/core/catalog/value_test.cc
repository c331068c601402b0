#include <cmath>
#include <limits>
#include <optional>

#include "core/catalog/catalog.h"
#include "core/catalog/text_forms.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/catalog/tables.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kInt64Max = std::numeric_limits<int64_t>::max();
constexpr int64_t kInt64Min = std::numeric_limits<int64_t>::min();

// The coerced value; nullopt, after checking the form of the error, when it is refused.
std::optional<Value> Check(const Column& column, const Value& value) {
  const absl::StatusOr<Value> checked = CheckValue(column, value);
  if (checked.ok()) return *checked;
  EXPECT_THAT(checked, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(DetailOf(checked.status()).violations.at(0).field, column.name);
  EXPECT_THAT(std::string(checked.status().message()), HasSubstr("column \"c\" expects " + TypeName(column.type)));
  return std::nullopt;
}
std::optional<Value> Check(TypeKind kind, const Value& value, const std::string& native_name = "") {
  return Check(MakeColumn("c", kind, native_name), value);
}

TEST(CheckValueTest, TakesNullOnlyWhereTheColumnDoes) {
  Column column = MakeColumn("c", TypeKind::kText);
  EXPECT_EQ(Check(column, Value::Null()), Value::Null());
  column.nullable = false;
  EXPECT_EQ(Check(column, Value::Null()), std::nullopt);
}

TEST(CheckValueTest, KeepsIntegersWithinTheColumnsRange) {
  EXPECT_EQ(Check(TypeKind::kInt16, Value::Int64(32'767)), Value::Int64(32'767));
  EXPECT_EQ(Check(TypeKind::kInt16, Value::Int64(32'768)), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kInt16, Value::Int64(-32'768)), Value::Int64(-32'768));
  EXPECT_EQ(Check(TypeKind::kInt16, Value::Int64(-32'769)), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kInt32, Value::Int64(2'147'483'648)), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kInt64, Value::Int64(kInt64Max)), Value::Int64(kInt64Max));
  EXPECT_EQ(Check(TypeKind::kInt64, Value::Int64(kInt64Min)), Value::Int64(kInt64Min));
  EXPECT_EQ(Check(TypeKind::kInt64, Value::Double(1)), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kBool, Value::Int64(1)), std::nullopt);
}

TEST(CheckValueTest, ConvertsIntegersToDoublesOnlyWhenExact) {
  EXPECT_EQ(Check(TypeKind::kDouble, Value::Int64(int64_t{1} << 53)), Value::Double(0x1p53));
  EXPECT_EQ(Check(TypeKind::kDouble, Value::Int64((int64_t{1} << 53) + 1)), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kDouble, Value::Int64(kInt64Min)), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kDouble, Value::Double(NAN)), Value::Double(NAN));
  EXPECT_EQ(Check(TypeKind::kFloat, Value::Int64((1 << 24) + 1)), std::nullopt);
}

TEST(CheckValueTest, RoundsDoublesToTheColumns32Bits) {
  EXPECT_EQ(Check(TypeKind::kFloat, Value::Double(0.1)), Value::Double(static_cast<double>(0.1f)));
  EXPECT_EQ(Check(TypeKind::kFloat, Value::Double(INFINITY)), Value::Double(INFINITY));
  EXPECT_EQ(Check(TypeKind::kFloat, Value::Double(1e39)), std::nullopt);
}

TEST(CheckValueTest, RefusesTextThatIsNotUtf8OrHoldsNul) {
  EXPECT_EQ(Check(TypeKind::kText, Value::Text("Größe 🦀")), Value::Text("Größe 🦀"));
  for (const std::string& bad : {std::string("a\0b", 3), std::string("\xff"), std::string("\xc0\xaf"),
                                 std::string("\xed\xa0\x80"), std::string("\xf4\x90\x80\x80"), std::string("\xe2\x82")}) {
    EXPECT_EQ(Check(TypeKind::kText, Value::Text(bad)), std::nullopt);
  }
  EXPECT_EQ(Check(TypeKind::kBytes, Value::Bytes(std::string("\0\xff", 2))), Value::Bytes(std::string("\0\xff", 2)));
  EXPECT_EQ(Check(TypeKind::kBytes, Value::Text("x")), std::nullopt);
}

TEST(CheckValueTest, CountsCharactersOfBoundedTextNotBytes) {
  EXPECT_NE(Check(TypeKind::kText, Value::Text("äöü"), "character varying(3)"), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kText, Value::Text("abc "), "character varying(3)"), std::nullopt);
}

TEST(CheckValueTest, ReadsTimestampsFromOneExactForm) {
  const Value second = Value::Timestamp(1'000'000);
  EXPECT_EQ(Check(TypeKind::kTimestampTz, Value::Text("1970-01-01T00:00:01Z")), second);
  EXPECT_EQ(Check(TypeKind::kTimestampTz, Value::Text("1970-01-01 02:00:01.000000+02:00")), second);
  EXPECT_EQ(Check(TypeKind::kTimestamp, Value::Text("1970-01-01T00:00:01")), second);
  EXPECT_EQ(Check(TypeKind::kTimestamp, Value::Text("1969-12-31T23:59:59.999999")), Value::Timestamp(-1));
  for (const char* bad : {"1970-01-01T00:00:01", "1970-01-01T00:00:01z", "1970-01-01", "1970-1-1T00:00:01Z",
                          "1970-02-29T00:00:00Z", "1970-01-01T24:00:00Z", "1970-01-01T00:00:60Z",
                          "1970-01-01T00:00:01.1234567Z", "now", "", "1970-01-01T00:00:01Z "}) {
    EXPECT_EQ(Check(TypeKind::kTimestampTz, Value::Text(bad)), std::nullopt) << bad;
  }
  EXPECT_EQ(Check(TypeKind::kTimestamp, Value::Text("1970-01-01T00:00:01Z")), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kTimestamp, Value::Int64(1)), std::nullopt);
}

TEST(CheckValueTest, CarriesInfinityAndFarYearsAsNatives) {
  EXPECT_EQ(Check(TypeKind::kTimestampTz, Value::Text("Infinity")), Value::Native("timestamptz", "infinity"));
  EXPECT_EQ(Check(TypeKind::kDate, Value::Date("-infinity")), Value::Native("date", "-infinity"));
  EXPECT_EQ(Check(TypeKind::kDate, Value::Native("date", "infinity")), Value::Native("date", "infinity"));
  EXPECT_EQ(Check(TypeKind::kTimestamp, Value::Native("timestamp", "10000-01-01 00:00:00")),
            Value::Native("timestamp", "10000-01-01 00:00:00"));
  EXPECT_EQ(Check(TypeKind::kTimestamp, Value::Native("timestamp", "'; DROP")), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kTimestamp, Value::Native("date", "infinity")), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kInt64, Value::Native("int8", "1")), std::nullopt);
}

TEST(CheckValueTest, RefusesSecondsThatTheColumnWouldRound) {
  EXPECT_NE(Check(TypeKind::kTimestamp, Value::Timestamp(1'500'000), "timestamp(1) without time zone"), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kTimestamp, Value::Timestamp(1'550'000), "timestamp(1) without time zone"), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kTime, Value::Time("00:00:00.55"), "time(1) without time zone"), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kTimestamp, Value::Timestamp(-300'000'000'000'000'000)), std::nullopt);
}

TEST(CheckValueTest, ReadsDatesOfTheCalendar) {
  EXPECT_EQ(Check(TypeKind::kDate, Value::Text("2024-02-29")), Value::Date("2024-02-29"));
  EXPECT_EQ(Check(TypeKind::kDate, Value::Date("0044-03-15 BC")), Value::Date("0044-03-15 BC"));
  EXPECT_EQ(Check(TypeKind::kDate, Value::Date("5874897-12-31")), Value::Date("5874897-12-31"));
  for (const char* bad : {"2023-02-29", "2023-13-01", "0000-01-01", "02024-01-01", "24-01-01", "2024-1-01",
                          "5874898-01-01", "4714-01-01 BC", "2024-01-01 bc", "2024/01/01"}) {
    EXPECT_EQ(Check(TypeKind::kDate, Value::Date(bad)), std::nullopt) << bad;
  }
}

TEST(CheckValueTest, BringsTimesToOneForm) {
  EXPECT_EQ(Check(TypeKind::kTime, Value::Text("7:05")), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kTime, Value::Text("07:05")), Value::Time("07:05:00"));
  EXPECT_EQ(Check(TypeKind::kTime, Value::Time("23:59:59.120000")), Value::Time("23:59:59.12"));
  EXPECT_EQ(Check(TypeKind::kTime, Value::Time("00:00:00.000001")), Value::Time("00:00:00.000001"));
  EXPECT_EQ(Check(TypeKind::kTime, Value::Time("24:00:00")), Value::Time("24:00:00"));
  EXPECT_EQ(Check(TypeKind::kTime, Value::Time("24:00:01")), std::nullopt);
}

TEST(CheckValueTest, ReadsIsoIntervals) {
  for (const char* good : {"P1Y2M3DT4H5M6.7S", "P0D", "PT-0.000001S", "P-1W", "PT0S"}) {
    EXPECT_EQ(Check(TypeKind::kInterval, Value::Text(good)), Value::Interval(good)) << good;
  }
  for (const char* bad : {"", "P", "PT", "P1DT", "P1M1Y", "P1D1D", "1 day", "P1.5D", "PT1.5M", "PT1.1234567S", "P1H"}) {
    EXPECT_EQ(Check(TypeKind::kInterval, Value::Interval(bad)), std::nullopt) << bad;
  }
}

TEST(CheckValueTest, BringsDecimalsToPlainDigitsAndKeepsTheScale) {
  const auto decimal = [](const std::string& text) { return CanonicalDecimal(text).value_or("refused"); };
  EXPECT_EQ(decimal("-12.340"), "-12.340");
  EXPECT_EQ(decimal("+007"), "7");
  EXPECT_EQ(decimal(".5"), "0.5");
  EXPECT_EQ(decimal("5."), "5");
  EXPECT_EQ(decimal("-0.00"), "0.00");
  EXPECT_EQ(decimal("1.50e1"), "15.0");
  EXPECT_EQ(decimal("1e5"), "100000");
  EXPECT_EQ(decimal("12e-3"), "0.012");
  EXPECT_EQ(decimal("nan"), "NaN");
  EXPECT_EQ(decimal("-inf"), "-Infinity");
  for (const char* bad : {"", ".", "-", "1e", "1e9999999", "0x1", "1_000", " 1", "1,5", "--1", "1.2.3"}) {
    EXPECT_EQ(decimal(bad), "refused") << bad;
  }
  EXPECT_EQ(decimal(std::string(131'072, '9')), std::string(131'072, '9'));
  EXPECT_EQ(decimal(std::string(131'073, '9')), "refused");
  EXPECT_EQ(decimal("1e131072"), "refused");
  EXPECT_EQ(decimal("1e-16383").size(), 16'385u);
  EXPECT_EQ(decimal("1e-16384"), "refused");
}

TEST(CheckValueTest, RefusesDecimalsThatTheColumnWouldRound) {
  EXPECT_EQ(Check(TypeKind::kDecimal, Value::Int64(kInt64Min)), Value::Decimal("-9223372036854775808"));
  EXPECT_EQ(Check(TypeKind::kDecimal, Value::Text("1.0500"), "numeric(10,2)"), Value::Decimal("1.0500"));
  EXPECT_EQ(Check(TypeKind::kDecimal, Value::Text("1.005"), "numeric(10,2)"), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kDecimal, Value::Text("0.05"), "numeric(2,2)"), Value::Decimal("0.05"));
  EXPECT_EQ(Check(TypeKind::kDecimal, Value::Text("1"), "numeric(2,2)"), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kDecimal, Value::Text("-123"), "numeric(2)"), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kDecimal, Value::Text("100"), "numeric(3)"), Value::Decimal("100"));
  EXPECT_EQ(Check(TypeKind::kDecimal, Value::Text("Infinity"), "numeric(3)"), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kDecimal, Value::Text("NaN"), "numeric(3)"), Value::Decimal("NaN"));
  EXPECT_EQ(Check(TypeKind::kDecimal, Value::Double(1)), std::nullopt);
}

TEST(CheckValueTest, TakesJsonWithNumbersThatNoDoubleHolds) {
  const std::string many(400, '7');
  const std::vector<std::string> good = {"1e400", "[1e999, -1E+999]", many, "-" + many + ".5", "0." + many + "e" + many,
                                         R"({"1e999\\\"": [1e999, "\"00\\"], "b": 5e-999})"};
  for (const std::string& text : good) EXPECT_EQ(Check(TypeKind::kJson, Value::Json(text)), Value::Json(text)) << text;
  const std::vector<std::string> bad = {"01e400", "1e400x", "[1e400", "1e400 1", "1e", "0" + many, many + ".", many + "e+",
                                        R"(["1e999])", R"([1e999, "\u12"])", R"([1e999, "\"])"};
  for (const std::string& text : bad) EXPECT_EQ(Check(TypeKind::kJson, Value::Json(text)), std::nullopt) << text;
}

TEST(CheckValueTest, ChecksUuidsAndJson) {
  EXPECT_EQ(Check(TypeKind::kUuid, Value::Text("{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}")),
            Value::Uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
  EXPECT_EQ(Check(TypeKind::kUuid, Value::Text("a0eebc99")), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kJson, Value::Text("{\"a\": [1, null]}")), Value::Json("{\"a\": [1, null]}"));
  EXPECT_EQ(Check(TypeKind::kJson, Value::Json("{a: 1}")), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kJson, Value::Json("\"\xff\"")), std::nullopt);
  EXPECT_NE(Check(TypeKind::kJson, Value::Json(std::string(100'000, '[') + std::string(100'000, ']'))), std::nullopt);
}

TEST(CheckValueTest, TakesNativesOfTheColumnsOwnType) {
  EXPECT_EQ(Check(TypeKind::kNative, Value::Native("inet", "::1"), "inet"), Value::Native("inet", "::1"));
  EXPECT_EQ(Check(TypeKind::kNative, Value::Native("cidr", "::1"), "inet"), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kNative, Value::Text("::1"), "inet"), Value::Native("inet", "::1"));
}

TEST(CheckValueTest, ChecksEveryElementAndTheShapeOfArrays) {
  Column column = MakeColumn("c", TypeKind::kInt16);
  column.type.array = true;
  const auto row = [](std::vector<Value> values) { return Value::Array(std::move(values)); };
  const Value one = Value::Int64(1);
  EXPECT_EQ(Check(column, row({one, Value::Null()})), row({one, Value::Null()}));
  EXPECT_EQ(Check(column, row({})), row({}));
  EXPECT_EQ(Check(column, row({Value::Int64(40'000)})), std::nullopt);
  EXPECT_EQ(Check(column, row({row({one, one}), row({one, one})})), row({row({one, one}), row({one, one})}));
  EXPECT_EQ(Check(column, row({row({one, one}), row({one})})), std::nullopt);
  EXPECT_EQ(Check(column, row({row({one}), one})), std::nullopt);
  EXPECT_EQ(Check(column, row({row({})})), std::nullopt);
  EXPECT_EQ(Check(column, one), std::nullopt);
  Value deep = one;
  for (int i = 0; i < 7; ++i) deep = row({deep});
  EXPECT_EQ(Check(column, deep), std::nullopt);
  EXPECT_EQ(Check(TypeKind::kInt16, row({one})), std::nullopt);
}

}  // namespace
}  // namespace quarry
