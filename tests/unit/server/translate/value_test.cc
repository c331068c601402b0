#include "server/translate/value.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

Value Accept(const v1::Value& wire) {
  Violations violations;
  Value value = ToValue(wire, "v", violations);
  EXPECT_TRUE(violations.empty()) << wire.ShortDebugString();
  return value;
}

std::string Refuse(const v1::Value& wire) {
  Violations violations;
  ToValue(wire, "v", violations);
  EXPECT_FALSE(violations.empty()) << wire.ShortDebugString();
  return std::string(violations.ToStatus().message());
}

v1::Value Timestamp(int64_t seconds, int32_t nanos) {
  v1::Value wire;
  wire.mutable_timestamp_value()->set_seconds(seconds);
  wire.mutable_timestamp_value()->set_nanos(nanos);
  return wire;
}

TEST(ValueTest, EveryKindSurvivesTheRoundTrip) {
  const std::vector<Value> values = {
      Value::Null(),
      Value::Bool(false),
      Value::Bool(true),
      Value::Int64(std::numeric_limits<int64_t>::min()),
      Value::Int64(std::numeric_limits<int64_t>::max()),
      Value::Double(std::nan("")),
      Value::Double(-std::numeric_limits<double>::infinity()),
      Value::Double(std::numeric_limits<double>::denorm_min()),
      Value::Text(""),
      Value::Text("Grüße 🦉"),
      Value::Bytes(std::string("\0\xff\0", 3)),
      Value::Timestamp(0),
      Value::Timestamp(-1),
      Value::Timestamp(-62'135'596'800'000'000),
      Value::Timestamp(253'402'300'799'999'999),
      Value::Date("0001-01-01"),
      Value::Time("24:00:00"),
      Value::Interval("P1M-3D"),
      Value::Decimal("-12.3400"),
      Value::Uuid("00000000-0000-4000-8000-0123456789ab"),
      Value::Json("{\"a\": [1, null]}"),
      Value::Array({}),
      Value::Array({Value::Int64(1), Value::Null(), Value::Int64(3)}),
      Value::Native("inet", "10.0.0.0/8"),
  };
  for (const Value& value : values) {
    v1::Value wire;
    FillValue(value, &wire);
    v1::Value parsed;
    ASSERT_TRUE(parsed.ParseFromString(wire.SerializeAsString()));
    EXPECT_EQ(Accept(parsed), value) << DebugString(value);
  }
}

TEST(ValueTest, KeepsTheSignOfNegativeZeroOnTheWire) {
  v1::Value wire;
  FillValue(Value::Double(-0.0), &wire);
  EXPECT_TRUE(std::signbit(Accept(wire).double_value()));
}

TEST(ValueTest, RefusesTimesThatItCannotKeep) {
  EXPECT_EQ(Accept(Timestamp(-1, 999'999'000)), Value::Timestamp(-1));
  EXPECT_THAT(Refuse(Timestamp(0, 1)), testing::HasSubstr("microsecond"));
  EXPECT_THAT(Refuse(Timestamp(0, -1000)), testing::HasSubstr("nanos"));
  EXPECT_THAT(Refuse(Timestamp(0, 1'000'000'000)), testing::HasSubstr("nanos"));
  EXPECT_THAT(Refuse(Timestamp(253'402'300'800, 0)), testing::HasSubstr("years"));
  EXPECT_THAT(Refuse(Timestamp(-62'135'596'801, 0)), testing::HasSubstr("years"));
  EXPECT_THAT(Refuse(Timestamp(std::numeric_limits<int64_t>::max(), 0)), testing::HasSubstr("years"));
}

TEST(ValueTest, RefusesWhatIsNoValue) {
  EXPECT_THAT(Refuse(v1::Value()), testing::HasSubstr("null_value"));
  v1::Value wire;
  wire.set_text_value(std::string("a\0b", 3));
  EXPECT_THAT(Refuse(wire), testing::HasSubstr("U+0000"));
  wire.set_uuid_value("not-a-uuid");
  EXPECT_THAT(Refuse(wire), testing::HasSubstr("UUID"));
  wire.mutable_array_value()->add_elements()->mutable_array_value();
  EXPECT_THAT(Refuse(wire), testing::HasSubstr("v.elements[0]"));
}

TEST(ValueTest, ReadsAUuidInAnyCaseAsLowerCase) {
  v1::Value wire;
  wire.set_uuid_value("ABCDEF00-0000-4000-8000-0123456789AB");
  EXPECT_EQ(Accept(wire), Value::Uuid("abcdef00-0000-4000-8000-0123456789ab"));
}

TEST(ValueTest, AKeyHasExactlyOneForm) {
  v1::Key wire;
  Violations none;
  ToKeyInput(wire, "key", none);
  EXPECT_FALSE(none.empty());
  wire.add_values()->set_int64_value(7);
  Violations by_position;
  EXPECT_EQ(ToKeyInput(wire, "key", by_position).by_position, std::vector<Value>{Value::Int64(7)});
  EXPECT_TRUE(by_position.empty());
  (*wire.mutable_columns())["id"].set_int64_value(7);
  Violations both;
  ToKeyInput(wire, "key", both);
  EXPECT_FALSE(both.empty());
}

TEST(ValueTest, TypesNameTheFieldOfTheirValues) {
  v1::ColumnType wire;
  FillType({TypeKind::kInt16, false, "int2"}, &wire);
  EXPECT_EQ(wire.code(), v1::TYPE_CODE_INT64);
  EXPECT_EQ(wire.native_type(), "int2");
  FillType({TypeKind::kText, true, "text[]"}, &wire);
  EXPECT_EQ(wire.code(), v1::TYPE_CODE_ARRAY);
  EXPECT_EQ(wire.element_code(), v1::TYPE_CODE_TEXT);
}

}  // namespace
}  // namespace quarry
