#include "core/backend/sqlite/query_functions.h"

#include <sqlite3.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry::sqlite {
namespace {

class QueryFunctionsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(sqlite3_open(":memory:", &db_), SQLITE_OK);
    ASSERT_THAT(RegisterQueryFunctions(db_), IsOk());
  }
  void TearDown() override { EXPECT_EQ(sqlite3_close(db_), SQLITE_OK); }

  // All rows, their columns with "|", rows with ","; an error's name as "error N".
  std::string Ask(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) return sqlite3_errmsg(db_);
    std::string all;
    int code = SQLITE_OK;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
      if (!all.empty()) all += ",";
      for (int i = 0; i < sqlite3_column_count(statement); ++i) {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, i));
        absl::StrAppend(&all, i == 0 ? "" : "|", text == nullptr ? "NULL" : text);
      }
    }
    if (code != SQLITE_DONE) all = absl::StrCat("error ", code);
    sqlite3_finalize(statement);
    return all;
  }

  sqlite3* db_ = nullptr;
};

TEST_F(QueryFunctionsTest, LikeIsThatOfPostgres) {
  EXPECT_EQ(Ask("SELECT quarry_like('a%', 'abc'), quarry_like('A%', 'abc'), quarry_like('_', 'ß')"), "1|0|1");
  EXPECT_EQ(Ask("SELECT quarry_like('a\\%', 'a%'), quarry_like('a\\%', 'ab'), quarry_like(NULL, 'a'), quarry_like('a', NULL)"),
            "1|0|NULL|NULL");
  EXPECT_EQ(Ask("SELECT quarry_like('a\\', 'a')"), absl::StrCat("error ", SQLITE_MISMATCH));
}

TEST_F(QueryFunctionsTest, SumsOfIntegersGoBeyond64Bits) {
  EXPECT_EQ(Ask("SELECT quarry_sum_int(column1), typeof(quarry_sum_int(column1)) "
                "FROM (VALUES (9223372036854775807), (9223372036854775807), (NULL), (3))"),
            "18446744073709551617|text");
  EXPECT_EQ(Ask("SELECT quarry_sum_int(column1) FROM (VALUES (-9223372036854775807), (-9223372036854775807))"),
            "-18446744073709551614");
  EXPECT_EQ(Ask("SELECT quarry_sum_int(1.5)"), absl::StrCat("error ", SQLITE_MISMATCH));
}

TEST_F(QueryFunctionsTest, SumsOfNothingAreNull) {
  EXPECT_EQ(Ask("SELECT quarry_sum_int(x), quarry_sum_decimal(x), quarry_sum_double(x) FROM (SELECT NULL AS x)"),
            "NULL|NULL|NULL");
  EXPECT_EQ(Ask("SELECT quarry_sum_int(x), quarry_sum_decimal(x), quarry_sum_double(x) FROM (SELECT 1 AS x) WHERE 0"),
            "NULL|NULL|NULL");
}

TEST_F(QueryFunctionsTest, SumsOfDecimalsAreExactWithTheGreatestScale) {
  EXPECT_EQ(Ask("SELECT quarry_sum_decimal(column1) FROM (VALUES ('0.1'), ('0.20'), ('12345678901234567890'), ('-0.3'))"),
            "12345678901234567890.00");
  EXPECT_EQ(Ask("SELECT quarry_sum_decimal(column1) FROM (VALUES ('Infinity'), ('-Infinity'))"), "NaN");
  EXPECT_EQ(Ask("SELECT quarry_sum_decimal('many')"), absl::StrCat("error ", SQLITE_MISMATCH));
}

TEST_F(QueryFunctionsTest, SumsOfDoublesKnowNanAndInfinity) {
  EXPECT_EQ(Ask("SELECT quarry_sum_double(column1) FROM (VALUES (1.5), (2), (NULL))"), "3.5");
  EXPECT_EQ(Ask("SELECT quarry_sum_double(column1), typeof(quarry_sum_double(column1)) FROM (VALUES (1.5), ('NaN'))"),
            "NaN|text");
  EXPECT_EQ(Ask("SELECT quarry_sum_double(column1) FROM (VALUES (9e999), (1.0))"), "Inf");
  EXPECT_EQ(Ask("SELECT quarry_sum_double(column1) FROM (VALUES (1.7e308), (1.7e308))"), absl::StrCat("error ", SQLITE_RANGE));
  EXPECT_EQ(Ask("SELECT quarry_sum_double(column1) FROM (VALUES ('x'))"), absl::StrCat("error ", SQLITE_MISMATCH));
}

TEST_F(QueryFunctionsTest, DecimalsOrderGroupAndCompareByNumber) {
  ASSERT_EQ(Ask("CREATE TABLE t(g INTEGER, d DECIMAL_TEXT)"), "");
  ASSERT_EQ(Ask("INSERT INTO t VALUES (1, '10'), (1, '9.5'), (2, '-3'), (2, '-20'), (1, '10.00'), (2, 'NaN'), (2, NULL)"), "");
  EXPECT_EQ(Ask("SELECT d FROM t ORDER BY d COLLATE quarry_decimal NULLS LAST, rowid"), "-20,-3,9.5,10,10.00,NaN,NULL");
  EXPECT_EQ(Ask("SELECT g, min(d COLLATE quarry_decimal), max(d COLLATE quarry_decimal) FROM t GROUP BY g"),
            "1|9.5|10,2|-20|NaN");
  EXPECT_EQ(Ask("SELECT count(DISTINCT d COLLATE quarry_decimal) FROM t WHERE g = 1"), "2");
  EXPECT_EQ(Ask("SELECT count(*) FROM t GROUP BY d COLLATE quarry_decimal HAVING count(*) > 1"), "2");
  EXPECT_EQ(Ask("SELECT count(*) FROM t WHERE d COLLATE quarry_decimal = '10.0'"), "2");
  EXPECT_EQ(Ask("SELECT quarry_sum_decimal(d) FROM t WHERE g = 1 GROUP BY g ORDER BY quarry_sum_decimal(d) COLLATE "
                "quarry_decimal"),
            "29.50");
}

}  // namespace
}  // namespace quarry::sqlite
