#include "core/backend/postgres/raw_sql.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry::postgres {
namespace {

TEST(RawSqlTest, TakesOneStatementOfAnyOrdinaryKind) {
  for (const char* sql : {"SELECT 1", "select ';' -- ;\n;", "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
                          "SET LOCAL work_mem = '1MB'", "CREATE TABLE t (a int)", "SELECT not even sql"}) {
    EXPECT_THAT(CheckRawSql(sql), IsOk()) << sql;
  }
}

TEST(RawSqlTest, RefusesSeveralStatementsAndNone) {
  for (const char* sql : {"SELECT 1; SELECT 2", "", ";", "-- nothing", "/* no */"}) {
    EXPECT_THAT(CheckRawSql(sql), HasReason(reason::kInvalidSql)) << sql;
  }
  EXPECT_THAT(CheckRawSql(std::string("SELECT 1\0; COMMIT", 17)), HasReason(reason::kInvalidSql));
}

TEST(RawSqlTest, RefusesWhatWouldTakeTheSessionOutOfOurHands) {
  for (const char* sql : {"BEGIN", "/* x */ commit", "ROLLBACK", "SAVEPOINT a", "PREPARE TRANSACTION 'x'", "SET x = 1",
                          "RESET ALL", "DISCARD ALL", "PREPARE p AS SELECT 1", "EXECUTE p", "DEALLOCATE ALL", "LISTEN x",
                          "COPY t FROM STDIN", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"}) {
    EXPECT_THAT(CheckRawSql(sql), HasReason(reason::kInvalidSql)) << sql;
  }
}

}  // namespace
}  // namespace quarry::postgres
