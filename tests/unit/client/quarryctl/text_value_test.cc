#include "client/quarryctl/text_value.h"

#include <limits>

#include "tests/support/status_matchers.h"

namespace quarry::ctl {
namespace {

v1::ColumnType Type(v1::TypeCode code, v1::TypeCode element = v1::TYPE_CODE_UNSPECIFIED) {
  v1::ColumnType type;
  type.set_code(code);
  type.set_element_code(element);
  return type;
}

// What `text` is printed as after it was read; the error where it is none.
std::string RoundTrip(const v1::ColumnType& type, const std::string& text) {
  const auto value = FromText(type, text);
  return value.ok() ? ToText(*value, type) : "error";
}

std::string JsonRoundTrip(const v1::ColumnType& type, const std::string& json) {
  const auto value = FromJson(type, json);
  return value.ok() ? ToJson(*value, type) : "error";
}

struct Case {
  v1::TypeCode code;
  std::string text;
  std::string printed;
};

TEST(TextValueTest, RefusesWhatIsNotUtf8) {
  for (const char* good : {"", "a", "\x7f", "\xc2\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(IsUtf8(good)) << good;
  for (const char* bad : {"\x80", "\xc0\x80", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xff", "a\xe2\x82"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
    EXPECT_EQ(RoundTrip(Type(v1::TYPE_CODE_TEXT), bad), "error") << bad;
  }
}

TEST(TextValueTest, ReadsAndPrintsEveryTypeExactly) {
  const Case cases[] = {
      {v1::TYPE_CODE_INT64, "-9223372036854775808", "-9223372036854775808"},
      {v1::TYPE_CODE_INT64, "9223372036854775807", "9223372036854775807"},
      {v1::TYPE_CODE_INT64, "+5", "5"},
      {v1::TYPE_CODE_INT64, "9223372036854775808", "error"},
      {v1::TYPE_CODE_INT64, "1.0", "error"},
      {v1::TYPE_CODE_INT64, " 1", "error"},
      {v1::TYPE_CODE_INT64, "", "error"},
      {v1::TYPE_CODE_DOUBLE, "0.1", "0.1"},
      {v1::TYPE_CODE_DOUBLE, "-Infinity", "-Infinity"},
      {v1::TYPE_CODE_DOUBLE, "NaN", "NaN"},
      {v1::TYPE_CODE_DOUBLE, "1e999", "error"},
      {v1::TYPE_CODE_DECIMAL, "-12.3400", "-12.3400"},
      {v1::TYPE_CODE_DECIMAL, std::string(60, '9') + ".000", std::string(60, '9') + ".000"},
      {v1::TYPE_CODE_DECIMAL, "1,5", "error"},
      {v1::TYPE_CODE_DECIMAL, ".", "error"},
      {v1::TYPE_CODE_BOOL, "T", "true"},
      {v1::TYPE_CODE_BOOL, "0", "false"},
      {v1::TYPE_CODE_BOOL, "maybe", "error"},
      {v1::TYPE_CODE_BYTES, "\\x00ff", "\\x00ff"},
      {v1::TYPE_CODE_BYTES, "AP8=", "\\x00ff"},
      {v1::TYPE_CODE_BYTES, "\\x0", "error"},
      {v1::TYPE_CODE_BYTES, "?", "error"},
      {v1::TYPE_CODE_TIMESTAMPTZ, "2026-01-31T23:59:59.123456+02:00",
       "2026-01-31T21:59:59.123456Z"},
      {v1::TYPE_CODE_TIMESTAMPTZ, "2026-01-31 23:59:59", "2026-01-31T23:59:59Z"},
      {v1::TYPE_CODE_TIMESTAMPTZ, "1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"},
      {v1::TYPE_CODE_TIMESTAMPTZ, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
      {v1::TYPE_CODE_TIMESTAMPTZ, "0001-01-01T00:00:00+01", "error"},
      {v1::TYPE_CODE_TIMESTAMPTZ, "2026-02-30T00:00:00Z", "error"},
      {v1::TYPE_CODE_TIMESTAMPTZ, "2026-01-31T23:59:59.1234567Z", "error"},
      {v1::TYPE_CODE_TIMESTAMPTZ, "infinity", "infinity"},
      {v1::TYPE_CODE_TIMESTAMP, "2026-01-31T23:59:59.100", "2026-01-31T23:59:59.1"},
      {v1::TYPE_CODE_TIMESTAMP, "2026-01-31", "2026-01-31T00:00:00"},
      {v1::TYPE_CODE_TIMESTAMP, "2026-01-31T23:59:59Z", "error"},
      {v1::TYPE_CODE_DATE, "2024-02-29", "2024-02-29"},
      {v1::TYPE_CODE_DATE, "2025-02-29", "error"},
      {v1::TYPE_CODE_INTERVAL, "P1DT2H", "P1DT2H"},
      {v1::TYPE_CODE_INTERVAL, "2 hours", "error"},
      {v1::TYPE_CODE_UUID, "0190163D8694739BAEA5966C26F8AD91",
       "0190163d-8694-739b-aea5-966c26f8ad91"},
      {v1::TYPE_CODE_UUID, "x", "error"},
      {v1::TYPE_CODE_JSON, "{\"a\": 1.10}", "{\"a\": 1.10}"},
      {v1::TYPE_CODE_JSON, "{", "error"},
      {v1::TYPE_CODE_TEXT, "", ""},
      {v1::TYPE_CODE_UNSPECIFIED, "text:42", "42"},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(RoundTrip(Type(one.code), one.text), one.printed)
        << v1::TypeCode_Name(one.code) << " " << one.text;
  }
}

TEST(TextValueTest, InfersTheTypeOfAParameter) {
  const auto kind = [](const char* text) { return FromText(v1::ColumnType(), text)->kind_case(); };
  EXPECT_EQ(kind("42"), v1::Value::kInt64Value);
  EXPECT_EQ(kind("4.2"), v1::Value::kDoubleValue);
  EXPECT_EQ(kind("true"), v1::Value::kBoolValue);
  EXPECT_EQ(kind("null"), v1::Value::kNullValue);
  EXPECT_EQ(kind("text:42"), v1::Value::kTextValue);
  EXPECT_EQ(kind("decimal:42"), v1::Value::kDecimalValue);
  EXPECT_EQ(kind("paid"), v1::Value::kTextValue);
  EXPECT_EQ(kind("http://x"), v1::Value::kTextValue);
  EXPECT_EQ(kind("nan"), v1::Value::kTextValue);
}

TEST(TextValueTest, KeepsJsonNumbersAsTheyAreSpelt) {
  EXPECT_EQ(JsonRoundTrip(Type(v1::TYPE_CODE_INT64), "9007199254740993"), "9007199254740993");
  EXPECT_EQ(JsonRoundTrip(Type(v1::TYPE_CODE_DECIMAL), "0.10000000000000000000001"),
            "\"0.10000000000000000000001\"");
  EXPECT_EQ(JsonRoundTrip(Type(v1::TYPE_CODE_DECIMAL), "\"1.50\""), "\"1.50\"");
  EXPECT_EQ(JsonRoundTrip(Type(v1::TYPE_CODE_JSON), " {\"a\": [1.10, null]} "),
            "{\"a\": [1.10, null]}");
  EXPECT_EQ(JsonRoundTrip(Type(v1::TYPE_CODE_TEXT), "null"), "null");
  EXPECT_EQ(JsonRoundTrip(Type(v1::TYPE_CODE_TEXT), "5"), "error");
  EXPECT_EQ(JsonRoundTrip(Type(v1::TYPE_CODE_INT64), "true"), "error");
  EXPECT_EQ(JsonRoundTrip(Type(v1::TYPE_CODE_TEXT), "\"\\u00e9\\n\""), "\"\xc3\xa9\\n\"");
  EXPECT_EQ(JsonRoundTrip(Type(v1::TYPE_CODE_ARRAY, v1::TYPE_CODE_INT64),
                          "[1, null, 9223372036854775807]"),
            "[1,null,9223372036854775807]");
  EXPECT_EQ(JsonRoundTrip(Type(v1::TYPE_CODE_ARRAY, v1::TYPE_CODE_TEXT), "[\"a,]\", \"\"]"),
            "[\"a,]\",\"\"]");
  EXPECT_EQ(JsonRoundTrip(Type(v1::TYPE_CODE_ARRAY, v1::TYPE_CODE_TEXT), "[]"), "[]");
}

TEST(TextValueTest, SplitsAnObjectIntoItsMembersAsTheyAreSpelt) {
  ASSERT_OK_AND_ASSIGN(
      const auto members,
      SplitJsonObject(R"( {"a" : 1.10 , "b\"}": {"x": "}"}, "c":[1, 2],"d":"e"} )"));
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"a", "1.10"}, {"b\"}", R"({"x": "}"})"}, {"c", "[1, 2]"}, {"d", "\"e\""}};
  EXPECT_EQ(members, expected);
  EXPECT_THAT(SplitJsonObject("{}"), IsOk());
  EXPECT_THAT(SplitJsonObject(R"({"a": 1, "a": 2})"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SplitJsonObject("[1]"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SplitJsonObject("{} {}"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace quarry::ctl
