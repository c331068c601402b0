#include "core/backend/sqlite/values.h"

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "core/backend/sqlite/text.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry::sqlite {
namespace {

TEST(TypeOfDeclaredTest, KnowsNamesInAnyCaseWithLengths) {
  EXPECT_EQ(TypeOfDeclared("bigint").kind, TypeKind::kInt64);
  EXPECT_EQ(TypeOfDeclared("VarChar (20)").kind, TypeKind::kText);
  EXPECT_EQ(TypeOfDeclared("double   precision").kind, TypeKind::kDouble);
  EXPECT_EQ(TypeOfDeclared("timestamp with time zone").kind, TypeKind::kTimestampTz);
  EXPECT_EQ(TypeOfDeclared("DECIMAL_TEXT(10, 2)").kind, TypeKind::kDecimal);
  EXPECT_TRUE(TypeOfDeclared("text[]").array);
  EXPECT_EQ(TypeOfDeclared("text[]").kind, TypeKind::kText);
  EXPECT_EQ(TypeOfDeclared("NUMERIC(10,2)[]").kind, TypeKind::kDecimal);
}

TEST(TypeOfDeclaredTest, DoesNotKnowWhatWouldLoseDigits) {
  for (const char* declared : {"DECIMAL(10,2)", "NUMERIC", "JSON", "JSONB", "MONEY", ""}) {
    EXPECT_EQ(TypeOfDeclared(declared).kind, TypeKind::kUnknown) << declared;
  }
  EXPECT_EQ(BetterTypeThan("decimal(10, 2)"), "DECIMAL_TEXT");
  EXPECT_EQ(BetterTypeThan("jsonb"), "JSON_TEXT");
  EXPECT_EQ(BetterTypeThan("MONEY"), "");
}

TEST(TypeOfDeclaredTest, KnowsTheNamesThatTheGuideLists) {
  std::ifstream guide(QUARRY_SOURCE_DIR "/docs/configuration.md");
  std::string line;
  while (std::getline(guide, line) && line != "## Column types on SQLite") {}
  int names = 0;
  while (std::getline(guide, line) && line.rfind("## ", 0) != 0) {
    if (line.rfind("| `", 0) != 0) continue;
    const std::vector<std::string> cells = absl::StrSplit(line, " | ");  // "| `DATE`" and "date |".
    ASSERT_EQ(cells.size(), 2U) << line;
    const std::vector<std::string> parts = absl::StrSplit(cells[0], '`');
    for (size_t i = 1; i < parts.size(); i += 2, ++names) {
      EXPECT_EQ(TypeName(ColumnType{TypeOfDeclared(parts[i]).kind, false, ""}) + " |", cells[1]) << parts[i];
    }
  }
  EXPECT_GT(names, 0);
}

TEST(TimestampTextTest, ReadsWhatItWrites) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int64_t> micros(-62135596800000000, 253402300799999999);
  std::string earlier;
  for (int i = 0; i < 10'000; ++i) {
    const int64_t at = micros(random);
    ASSERT_EQ(ParseTimestamp(FormatTimestamp(at, true)), at);
    ASSERT_EQ(ParseTimestamp(FormatTimestamp(at, false)), at);
    const int64_t other = micros(random);
    ASSERT_EQ(at < other, FormatTimestamp(at, true) < FormatTimestamp(other, true)) << at << " " << other;
  }
  EXPECT_EQ(FormatTimestamp(-1, true), "1969-12-31 23:59:59.999999Z");
  EXPECT_EQ(FormatTimestamp(0, false), "1970-01-01 00:00:00.000000");
}

TEST(TimestampTextTest, ReadsOtherWritersForms) {
  EXPECT_EQ(ParseTimestamp("1970-01-01 00:00:01"), 1'000'000);
  EXPECT_EQ(ParseTimestamp("1970-01-01T00:00:01.5Z"), 1'500'000);
  EXPECT_EQ(ParseTimestamp("1970-01-01 02:00:00+02"), 0);
  EXPECT_EQ(ParseTimestamp("1969-12-31 20:30:00-03:30"), 0);
  for (const char* bad : {"", "infinity", "1970-01-01", "1970-02-30 00:00:00", "1970-01-01 24:00:00",
                          "1970-01-01 00:00:00.", "1970-01-01 00:00:00.1234567", "1970-01-01 00:00:00 PST",
                          "0000-01-01 00:00:00", "1970-01-01 00:00:00+99", "1970-01-01 00:00:00+02:00x"}) {
    EXPECT_EQ(ParseTimestamp(bad), std::nullopt) << bad;
  }
}

TEST(ArrayTextTest, RefusesWhatIsNotOfItsType) {
  ColumnType integers;
  integers.kind = TypeKind::kInt64;
  integers.array = true;
  for (const char* bad : {"", "{}", "[1,", "[1.5]", "[\"a\"]", "[true]", "[9223372036854775808]", "[1e3]"}) {
    EXPECT_THAT(DecodeArray(bad, integers), HasReason("SCHEMA_MISMATCH")) << bad;
  }
  EXPECT_THAT(DecodeArray(std::string(100, '[') + std::string(100, ']'), integers),
              HasReason("SCHEMA_MISMATCH"));
  EXPECT_THAT(EncodeArray(Value::Array({Value::Text("\xFF")})), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(IsTextTest, AcceptsUtf8OnlyAndNoNul) {
  EXPECT_TRUE(IsText(""));
  EXPECT_TRUE(IsText("plain text that is longer than a word"));
  EXPECT_TRUE(IsText("\xC3\xBC\xE2\x82\xAC\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF"));
  for (const std::string& bad :
       {std::string("a\0b", 3), std::string("12345678\0", 9), std::string("\xFF"), std::string("\xC0\x80"),
        std::string("\xED\xA0\x80"), std::string("\xF4\x90\x80\x80"), std::string("\xE2\x82"),
        std::string("\x80")}) {
    EXPECT_FALSE(IsText(bad));
  }
}

}  // namespace
}  // namespace quarry::sqlite
