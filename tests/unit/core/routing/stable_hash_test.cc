#include "core/routing/stable_hash.h"

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "core/routing/key_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using nlohmann::json;

// What the golden file holds, made by a real server.
const std::vector<json>& Vectors() {
  static const auto* vectors = [] {
    auto* lines = new std::vector<json>;
    std::ifstream file(QUARRY_HASH_VECTORS);
    for (std::string line; std::getline(file, line);) lines->push_back(json::parse(line));
    return lines;
  }();
  return *vectors;
}

int64_t ToInt64(const std::string& text) {
  int64_t number = 0;
  EXPECT_TRUE(absl::SimpleAtoi(text, &number)) << text;
  return number;
}

Value ValueOf(const std::string& type, const json& shown) {
  if (shown.is_null()) return Value::Null();
  const std::string text = shown.get<std::string>();
  if (type == "int2" || type == "int4" || type == "int8") return Value::Int64(ToInt64(text));
  if (type == "bool") return Value::Bool(text == "true");
  if (type == "text" || type == "varchar") return Value::Text(text);
  if (type == "bytea") return Value::Bytes(absl::HexStringToBytes(text));
  if (type == "uuid") return Value::Uuid(text);
  if (type == "date") return Value::Date(text);
  if (type == "time") return Value::Time(text);
  if (type == "timestamp" || type == "timestamptz") return Value::Timestamp(ToInt64(text));
  if (type == "numeric") return Value::Decimal(text);
  ADD_FAILURE() << "unknown type " << type;
  return Value::Null();
}

TEST(StableHashTest, EqualsTheServersHashFunctions) {
  size_t checked = 0;
  for (const json& vector : Vectors()) {
    if (!vector.contains("function")) continue;
    const Value value = ValueOf(vector["type"], vector["value"]);
    const auto seed = static_cast<uint64_t>(ToInt64(vector["seed"]));
    ASSERT_OK_AND_ASSIGN(const uint64_t hash, HashValue(value, seed));
    EXPECT_EQ(static_cast<int64_t>(hash), ToInt64(vector["hash"])) << vector;
    ++checked;
  }
  EXPECT_GT(checked, 500U);
}

TEST(StableHashTest, PutsKeysWhereTheServersPartitioningPutsThem) {
  size_t checked = 0;
  for (const json& vector : Vectors()) {
    if (!vector.contains("modulus")) continue;
    std::vector<Value> key;
    for (size_t i = 0; i < vector["types"].size(); ++i)
      key.push_back(ValueOf(vector["types"][i], vector["values"][i]));
    ASSERT_OK_AND_ASSIGN(const uint64_t hash, PartitionHash(key));
    EXPECT_EQ(hash % vector["modulus"].get<uint64_t>(), vector["remainder"].get<uint64_t>()) << vector;
    ++checked;
  }
  EXPECT_GT(checked, 2000U);
}

TEST(StableHashTest, IntegersOfAllWidthsHashAlike) {
  for (const int16_t number : {int16_t{0}, int16_t{-1}, int16_t{42}, int16_t{-32768}, int16_t{32767}}) {
    EXPECT_EQ(HashInt2Extended(number, kPartitionSeed), HashInt8Extended(number, kPartitionSeed)) << number;
    EXPECT_EQ(HashInt4Extended(number, kPartitionSeed), HashInt8Extended(number, kPartitionSeed)) << number;
  }
}

TEST(StableHashTest, TheFastPathGivesTheSameAnswerOrNone) {
  const std::vector<std::vector<Value>> fast = {
      {Value::Int64(-7)},
      {Value::Text("")},
      {Value::Uuid("018f3c6e-8a2b-7c1d-9e3f-0123456789ab"), Value::Int64(3), Value::Text("x")},
      {Value::Null(), Value::Int64(1)},
      {}};
  for (const std::vector<Value>& key : fast) {
    ASSERT_OK_AND_ASSIGN(const uint64_t hash, PartitionHash(key));
    EXPECT_EQ(FastPartitionHash(key), hash);
  }
  EXPECT_EQ(FastPartitionHash({Value::Int64(1), Value::Decimal("1")}), std::nullopt);
  EXPECT_EQ(FastPartitionHash({Value::Uuid("not a uuid")}), std::nullopt);
}

TEST(StableHashTest, RefusesKindsWithoutAStableHashAndMalformedTextNamingThePart) {
  const std::vector<Value> refused = {Value::Double(1.5),
                                      Value::Json("{}"),
                                      Value::Interval("P1D"),
                                      Value::Array({Value::Int64(1)}),
                                      Value::Native("timestamp", "infinity"),
                                      Value::Date("2026-02-30"),
                                      Value::Time("25:00:00"),
                                      Value::Decimal("1.2.3"),
                                      Value::Uuid("018f3c6e8a2b7c1d9e3f0123456789ab")};
  for (const Value& value : refused) {
    const absl::StatusOr<uint64_t> hash = PartitionHash({Value::Int64(1), value});
    EXPECT_THAT(hash, HasReason(reason::kInvalidField)) << DebugString(value);
    const ErrorDetail detail = DetailOf(hash.status());
    ASSERT_EQ(detail.violations.size(), 1U);
    EXPECT_EQ(detail.violations[0].field, "key[1]");
  }
}

TEST(StableHashTest, EqualDecimalsHashAlikeWhateverTheirScaleOrNotation) {
  const auto hash = [](const char* text) { return NumericHashExtended(text, kPartitionSeed); };
  EXPECT_EQ(hash("1"), hash("1.000"));
  EXPECT_EQ(hash("0012.50"), hash("12.5"));
  EXPECT_EQ(hash("5e3"), hash("5000"));
  EXPECT_EQ(hash("1234.5e-6"), hash("0.0012345"));
  EXPECT_EQ(hash("-0"), hash("0.000"));
  EXPECT_EQ(hash(".5"), hash("0.5"));
  EXPECT_EQ(hash("1e100000"), hash("10e99999"));
  EXPECT_NE(hash("1"), hash("10"));
  for (const char* malformed :
       {"", "-", ".", "1e", "1e9999999", "0x10", "1 ", " 1", "--1", "1,5", "e5", "nano"}) {
    EXPECT_EQ(hash(malformed), std::nullopt) << malformed;
  }
}

TEST(StableHashTest, KnowsWhichTypesCanBeKeys) {
  for (const TypeKind kind : {TypeKind::kBool, TypeKind::kInt16, TypeKind::kInt32, TypeKind::kInt64,
                              TypeKind::kText, TypeKind::kBytes, TypeKind::kTimestamp, TypeKind::kTimestampTz,
                              TypeKind::kDate, TypeKind::kTime, TypeKind::kDecimal, TypeKind::kUuid}) {
    EXPECT_TRUE(HasStableHash({kind, false, ""})) << TypeName({kind, false, ""});
    EXPECT_FALSE(HasStableHash({kind, true, ""})) << TypeName({kind, true, ""});
  }
  for (const TypeKind kind : {TypeKind::kUnknown, TypeKind::kFloat, TypeKind::kDouble, TypeKind::kInterval,
                              TypeKind::kJson, TypeKind::kNative}) {
    EXPECT_FALSE(HasStableHash({kind, false, "x"}));
  }
  EXPECT_TRUE(HasStableHash({TypeKind::kText, false, "character varying(20)"}));
  EXPECT_FALSE(HasStableHash({TypeKind::kText, false, "character(20)"}));
  EXPECT_FALSE(HasStableHash({TypeKind::kText, false, "bpchar"}));
}

TEST(KeyTextTest, ReadsTimestampsWithAndWithoutZone) {
  EXPECT_EQ(ParseTimestampMicros("1970-01-02", false), 86'400'000'000);
  EXPECT_EQ(ParseTimestampMicros("1970-01-01 00:00:01.5", false), 1'500'000);
  EXPECT_EQ(ParseTimestampMicros("1970-01-01T01:00:00+01:00", true), 0);
  EXPECT_EQ(ParseTimestampMicros("1969-12-31T23:59:59.999999Z", true), -1);
  EXPECT_EQ(ParseTimestampMicros("1970-01-01T00:00:00Z", false), std::nullopt);
  for (const char* malformed :
       {"", "infinite-future", "yesterday", "2026-13-01", "2026-02-30", "1970-01-01 00:00:00.0000001"}) {
    EXPECT_EQ(ParseTimestampMicros(malformed, true), std::nullopt) << malformed;
  }
}

TEST(KeyTextTest, ReadsHyphenatedUuidsOfEitherCase) {
  const auto lower = ParseUuid("018f3c6e-8a2b-7c1d-9e3f-0123456789ab");
  ASSERT_TRUE(lower.has_value());
  EXPECT_EQ((*lower)[0], 0x01);
  EXPECT_EQ((*lower)[15], 0xab);
  EXPECT_EQ(ParseUuid("018F3C6E-8A2B-7C1D-9E3F-0123456789AB"), lower);
  for (const char* malformed :
       {"", "018f3c6e8a2b7c1d9e3f0123456789ab", "018f3c6e-8a2b-7c1d-9e3f-0123456789ag",
        "g18f3c6e-8a2b-7c1d-9e3f-0123456789ab", "018f3c6e-8a2b-7c1d-9e3f-0123456789a ",
        "018f3c6e_8a2b_7c1d_9e3f_0123456789ab", "018f3c6e-8a2b-7c1d-9e3f-0123456789abc"}) {
    EXPECT_EQ(ParseUuid(malformed), std::nullopt) << malformed;
  }
}

TEST(KeyTextTest, ReadsDatesOfTheWholeCalendar) {
  EXPECT_EQ(ParseDateDays("2000-01-01"), 0);
  EXPECT_EQ(ParseDateDays("2000-03-01"), 60);
  EXPECT_EQ(ParseDateDays("1999-12-31"), -1);
  EXPECT_EQ(ParseDateDays("0001-01-01"), ParseDateDays("0001-12-31 BC").value() + 1);
  for (const char* malformed : {"", "2000", "2000-1-1", "0000-01-01", "2001-02-29", "1900-02-29",
                                "2000-01-01 ", "2000-00-01", "20000000-01-01", "2000/01/01"}) {
    EXPECT_EQ(ParseDateDays(malformed), std::nullopt) << malformed;
  }
}

}  // namespace
}  // namespace quarry
