#include "core/model/order.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace quarry {
namespace {

void ExpectAscending(const std::vector<Value>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    for (size_t j = 0; j < values.size(); ++j) {
      const int compared = CompareValues(values[i], values[j]);
      EXPECT_EQ((compared > 0) - (compared < 0), (i > j) - (i < j)) << DebugString(values[i]) << " " << DebugString(values[j]);
    }
  }
}

TEST(OrderTest, OrdersEachKindAsPostgresDoes) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  ExpectAscending({Value::Bool(false), Value::Bool(true)});
  ExpectAscending({Value::Int64(std::numeric_limits<int64_t>::min()), Value::Int64(-1), Value::Int64(0), Value::Int64(7)});
  ExpectAscending({Value::Double(-kInfinity), Value::Double(-1), Value::Double(0), Value::Double(1.5), Value::Double(kInfinity),
                   Value::Double(std::nan(""))});
  ExpectAscending({Value::Text(""), Value::Text("B"), Value::Text("a"), Value::Text("aa"), Value::Text("ß"), Value::Text("😀")});
  ExpectAscending({Value::Bytes(""), Value::Bytes(std::string("\0", 1)), Value::Bytes("a"), Value::Bytes("\xff")});
  ExpectAscending({Value::Decimal("-Infinity"), Value::Decimal("-10"), Value::Decimal("-9.5"), Value::Decimal("0"),
                   Value::Decimal("9.5"), Value::Decimal("10"), Value::Decimal("Infinity"), Value::Decimal("NaN")});
  ExpectAscending({Value::Time("09:00:00"), Value::Time("09:00:00.05"), Value::Time("09:00:00.5"), Value::Time("24:00:00")});
  ExpectAscending({Value::Uuid("00000000-0000-0000-0000-000000000001"), Value::Uuid("a0000000-0000-0000-0000-000000000000")});
}

TEST(OrderTest, OrdersDaysAndInstantsBeyondOrdinaryYears) {
  ExpectAscending({Value::Native("date", "-infinity"), Value::Native("date", "0044-03-14 BC"), Value::Date("0044-03-15 BC"),
                   Value::Native("date", "0001-01-01 BC"), Value::Date("0001-01-01"), Value::Date("2026-01-31"),
                   Value::Date("2026-02-01"), Value::Native("date", "10000-01-01"), Value::Native("date", "infinity")});
  ExpectAscending({Value::Native("timestamptz", "-infinity"), Value::Native("timestamptz", "0044-03-15 10:00:00+00 BC"),
                   Value::Timestamp(-5), Value::Timestamp(0), Value::Native("timestamptz", "10000-01-01 00:00:00+00"),
                   Value::Native("timestamptz", "294000-01-01 00:00:00+00"), Value::Native("timestamptz", "infinity")});
}

TEST(OrderTest, EqualNumbersAreEqualWhateverTheirForm) {
  EXPECT_EQ(CompareValues(Value::Decimal("1.50"), Value::Decimal("1.5")), 0);
  EXPECT_EQ(CompareValues(Value::Double(0.0), Value::Double(-0.0)), 0);
  EXPECT_EQ(CompareValues(Value::Double(std::nan("")), Value::Double(-std::nan(""))), 0);
  EXPECT_EQ(CompareValues(Value::Int64(2), Value::Decimal("2.0")), 0);
  EXPECT_LT(CompareValues(Value::Decimal("1.9"), Value::Int64(2)), 0);
}

TEST(OrderTest, RowsCompareTermByTermWithNullsWhereTheTermSays) {
  const Row null_one = {Value::Null(), Value::Int64(1)};
  const Row null_two = {Value::Null(), Value::Int64(2)};
  const Row text_one = {Value::Text("a"), Value::Int64(1)};
  for (const bool descending : {false, true}) {
    EXPECT_GT(CompareRows(null_one, text_one, {{0, descending, false}}), 0);
    EXPECT_LT(CompareRows(null_one, text_one, {{0, descending, true}}), 0);
    EXPECT_EQ(CompareRows(null_one, null_two, {{0, descending, false}}), 0);
  }
  EXPECT_LT(CompareRows(null_one, null_two, {{0, false, false}, {1, false, false}}), 0);
  EXPECT_GT(CompareRows(null_one, null_two, {{0, false, false}, {1, true, false}}), 0);
}

TEST(OrderTest, SomeTypesHaveNoOrder) {
  for (const TypeKind kind : {TypeKind::kJson, TypeKind::kInterval, TypeKind::kNative, TypeKind::kUnknown}) {
    EXPECT_FALSE(HasOrder({kind, false, ""}));
  }
  EXPECT_FALSE(HasOrder({TypeKind::kInt64, true, ""}));
  EXPECT_TRUE(HasOrder({TypeKind::kUuid, false, ""}));
}

}  // namespace
}  // namespace quarry
