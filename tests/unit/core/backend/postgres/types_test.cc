#include "core/backend/postgres/types.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/postgres/calendar.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry::postgres {
namespace {

TEST(TypesTest, KnowsBuiltInTypesAndTheirArraysAndLeavesOthersNative) {
  EXPECT_EQ(TypeOfOid(kInt4Oid).kind, TypeKind::kInt32);
  EXPECT_EQ(TypeOfOid(1007).kind, TypeKind::kInt32);
  EXPECT_TRUE(TypeOfOid(1007).array);
  EXPECT_EQ(TypeOfOid(869).kind, TypeKind::kNative);  // inet
  EXPECT_FALSE(HasBinaryForm(869));
}

TEST(TypesTest, RefusesIntegersOutsideOfTheParameterType) {
  EXPECT_THAT(Encode(kInt2Oid, Value::Int64(32767), 1), IsOk());
  EXPECT_THAT(Encode(kInt2Oid, Value::Int64(32768), 1), HasReason(reason::kValueOutOfRange));
  EXPECT_THAT(Encode(kInt4Oid, Value::Int64(-2147483648LL), 1), IsOk());
  EXPECT_THAT(Encode(kInt4Oid, Value::Int64(2147483648LL), 1), HasReason(reason::kValueOutOfRange));
  EXPECT_THAT(Encode(kFloat8Oid, Value::Int64((int64_t{1} << 53) + 1), 1), HasReason(reason::kValueOutOfRange));
}

TEST(TypesTest, RefusesKindsThatDoNotFitAndNamesTheParameter) {
  const absl::Status status = Encode(kByteaOid, Value::Text("x"), 3).status();
  EXPECT_THAT(status, HasReason(reason::kInvalidField));
  EXPECT_EQ(DetailOf(status).violations.at(0).field, "params[2]");
  EXPECT_THAT(Encode(kDateOid, Value::Timestamp(0), 1), HasReason(reason::kInvalidField));
  EXPECT_THAT(Encode(1007, Value::Array({Value::Text("1"), Value::Bool(true)}), 1), HasReason(reason::kInvalidField));
}

TEST(TypesTest, ArraysOfSimpleTypesGoInBinaryFormAndReadBackTheSame) {
  const std::vector<std::pair<Oid, Value>> arrays = {
      {1000, Value::Array({Value::Bool(true), Value::Bool(false)})},
      {1005, Value::Array({Value::Int64(-32768)})},
      {1007, Value::Array({Value::Int64(2147483647), Value::Null()})},
      {1016, Value::Array({Value::Int64(1), Value::Null(), Value::Int64(std::numeric_limits<int64_t>::min())})},
      {1016, Value::Array({})},
      {1009, Value::Array({Value::Text(""), Value::Text("a \"b\", {c}"), Value::Text("NULL")})},
      {1022, Value::Array({Value::Double(0.1), Value::Double(std::numeric_limits<double>::infinity())})},
      {1185, Value::Array({Value::Timestamp(0), Value::Timestamp(1'700'000'000'123'456)})},
  };
  for (const auto& [oid, array] : arrays) {
    ASSERT_OK_AND_ASSIGN(const EncodedParam param, Encode(oid, array, 1));
    EXPECT_TRUE(param.binary) << oid;
    ASSERT_OK_AND_ASSIGN(const Value read, DecodeBinary(oid, param.bytes));
    EXPECT_EQ(read, array) << oid;
  }
  EXPECT_THAT(Encode(1007, Value::Array({Value::Int64(2147483648LL)}), 1), HasReason(reason::kValueOutOfRange));
}

TEST(TypesTest, ArraysWithAnElementThatGoesAsTextGoAsText) {
  const std::vector<std::pair<Oid, Value>> arrays = {
      {1016, Value::Array({Value::Int64(1), Value::Decimal("2")})},
      {1231, Value::Array({Value::Decimal("1.50")})},
      {1016, Value::Array({Value::Array({Value::Int64(1)}), Value::Array({Value::Int64(2)})})},
  };
  for (const auto& [oid, array] : arrays) {
    ASSERT_OK_AND_ASSIGN(const EncodedParam param, Encode(oid, array, 1));
    EXPECT_FALSE(param.binary) << oid;
    EXPECT_EQ(param.bytes, TextForm(array)) << oid;
  }
}

TEST(TypesTest, ReadsNumericGroupsAndScale) {
  // 1234567.8900: weight 1, groups 123, 4567, 8900, scale 4.
  const std::string bytes("\x00\x03\x00\x01\x00\x00\x00\x04\x00\x7b\x11\xd7\x22\xc4", 14);
  ASSERT_OK_AND_ASSIGN(const std::string text, DecodeNumeric(bytes));
  EXPECT_EQ(text, "1234567.8900");
  EXPECT_THAT(DecodeNumeric(bytes.substr(0, 12)), HasReason(reason::kDatabaseError));
}

TEST(TypesTest, RefusesBinaryFormsThatAreCutOrTooLong) {
  EXPECT_THAT(DecodeBinary(kInt8Oid, "1234567"), HasReason(reason::kDatabaseError));
  EXPECT_THAT(DecodeBinary(kInt4Oid, "12345"), HasReason(reason::kDatabaseError));
  EXPECT_THAT(DecodeBinary(kUuidOid, "123"), HasReason(reason::kDatabaseError));
  EXPECT_THAT(DecodeBinary(1007, std::string("\0\0\0\x01\0\0\0\0\0\0\0\x17\x7f\xff\xff\xff\0\0\0\x01", 20)),
              HasReason(reason::kDatabaseError));
}

TEST(TypesTest, ReadsArrayLiteralsWithQuotesNullsAndNesting) {
  const Value value = DecodeText(1009, TypeOfOid(1009), R"({{"a \"b\"",NULL},{"NULL","c,d\\"}})");
  EXPECT_EQ(value, Value::Array({Value::Array({Value::Text("a \"b\""), Value::Null()}),
                                 Value::Array({Value::Text("NULL"), Value::Text("c,d\\")})}));
  EXPECT_EQ(DecodeText(1007, TypeOfOid(1007), "[2:3]={1,2}"), Value::Array({Value::Int64(1), Value::Int64(2)}));
}

TEST(CalendarTest, WritesDatesBeforeTheCommonEraAndBeyondTenThousand) {
  EXPECT_EQ(FormatDate(0), "1970-01-01");
  EXPECT_EQ(FormatDate(-719163), "0001-12-31 BC");
  EXPECT_EQ(FormatDate(2932897), "10000-01-01");
}

TEST(CalendarTest, ReadsBackTheTimestampsThatItWrites) {
  for (const int64_t micros : {int64_t{0}, int64_t{-1}, int64_t{1'700'000'000'123'456}, int64_t{-62'135'596'800'000'000}}) {
    EXPECT_EQ(ParseTimestamp(FormatTimestamp(micros, true)), micros);
    EXPECT_EQ(ParseTimestamp(FormatTimestamp(micros, false)), micros);
  }
  EXPECT_EQ(ParseTimestamp("infinity"), std::nullopt);
  EXPECT_EQ(ParseTimestamp("0044-03-15 00:00:00 BC"), std::nullopt);
  EXPECT_EQ(ParseTimestamp("1970-01-01 05:30:00+05:30"), 0);
}

TEST(CalendarTest, WritesIntervalsWithTheirSigns) {
  EXPECT_EQ(FormatInterval(14, 3, 14'706'700'000), "P1Y2M3DT4H5M6.7S");
  EXPECT_EQ(FormatInterval(0, 0, -500'000), "PT-0.5S");
  EXPECT_EQ(FormatInterval(-1, 0, 0), "P-1M");
  EXPECT_EQ(FormatInterval(0, 0, 0), "PT0S");
}

}  // namespace
}  // namespace quarry::postgres
