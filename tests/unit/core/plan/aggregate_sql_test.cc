// What aggregates are lowered to, run by both databases over the same rows.
#include <sqlite3.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/backend/sqlite/query_functions.h"
#include "core/plan/plan_aggregate.h"
#include "gtest/gtest.h"
#include "tests/support/postgres/postgres_cluster.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/plan/sales_snapshot.h"

namespace quarry {
namespace {

using Function = AggregateFunction;

constexpr char kRows[] =
    "INSERT INTO sales(customer, number, region, price, ratio, small, paid, ref, mood) VALUES "
    "(1, 1, 'b', '10.00', 0.5, 2147483647, TRUE, '00000000-0000-0000-0000-00000000000b', 'sad'),"
    "(1, 2, 'b', '9.5', 1.5, 2147483647, FALSE, '00000000-0000-0000-0000-00000000000a', 'glad'),"
    "(2, 1, 'B', '10', -0.0, NULL, TRUE, NULL, 'glad'),"
    "(2, 2, 'B', 'NaN', 'NaN', 5, TRUE, NULL, NULL),"
    "(3, 1, NULL, '-3', NULL, -5, NULL, NULL, NULL),"
    "(3, 2, 'ß', NULL, 0.0, 0, NULL, NULL, NULL)";

class AggregateSqlTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(sqlite3_open(":memory:", &db_), SQLITE_OK);
    ASSERT_THAT(sqlite::RegisterQueryFunctions(db_), IsOk());
    const std::string create = "CREATE TABLE sales(customer BIGINT, number BIGINT, region TEXT COLLATE NOCASE, price DECIMAL_TEXT, "
                               "ratio REAL, small INTEGER, paid BOOLEAN, ref UUID_TEXT, data BLOB, doc TEXT, mood TEXT);";
    ASSERT_EQ(sqlite3_exec(db_, (create + kRows).c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db_);
    ASSERT_THAT(PostgresCluster::Shared().CreateDatabase("sales"), IsOk());
    ASSERT_THAT(PostgresCluster::Shared().Run(
                    "sales", absl::StrCat("CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE sales(customer bigint, number bigint, "
                                          "region text, price numeric, ratio float8, small int, paid bool, ref uuid, data bytea, "
                                          "doc jsonb, mood mood);",
                                          kRows)),
                IsOk());
  }
  void TearDown() override { sqlite3_close(db_); }

  static std::string WithNumbers(const Statement& statement, const char* mark) {
    std::string sql = *statement.sql;
    for (size_t i = statement.params.size(); i > 0; --i) {
      sql = absl::StrReplaceAll(sql, {{absl::StrCat(mark, i), absl::StrCat(statement.params[i - 1].int64_value())}});
    }
    return sql;
  }
  // Rows as PostgreSQL writes records: "(a,1,)", one after the other.
  std::string OnSqlite(const Statement& statement) {
    const std::string sql = WithNumbers(statement, "?");
    sqlite3_stmt* prepared = nullptr;
    if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &prepared, nullptr) != SQLITE_OK) return absl::StrCat(sqlite3_errmsg(db_), ": ", sql);
    std::string all;
    while (sqlite3_step(prepared) == SQLITE_ROW) {
      absl::StrAppend(&all, all.empty() ? "(" : ";(");
      for (int i = 0; i < sqlite3_column_count(prepared); ++i) {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(prepared, i));
        std::string value = text == nullptr ? "" : text;
        if ((*statement.result_types)[static_cast<size_t>(i)].kind == TypeKind::kBool && !value.empty()) value = value == "1" ? "t" : "f";
        absl::StrAppend(&all, i == 0 ? "" : ",", value);
      }
      all += ")";
    }
    sqlite3_finalize(prepared);
    return all;
  }
  static std::string OnPostgres(const Statement& statement) {
    const std::string sql = WithNumbers(statement, "$");
    const absl::StatusOr<std::string> answer =
        PostgresCluster::Shared().QueryOne("sales", absl::StrCat("SELECT string_agg(u::text, ';') FROM (", sql, ") AS u"));
    return answer.ok() ? *answer : absl::StrCat(answer.status().ToString(), ": ", sql);
  }
  // What both databases say to the partial statement, ordered and limited so that groups come in one order.
  void ExpectBoth(AggregateOperation op, const std::string& rows) {
    op.target.shards = {"s0"};
    const auto plan = [&](Dialect dialect) {
      return PlanAggregate(op, *SalesSnapshot(1, {dialect}), ShardId{0}, texts_, AggregateLimits());
    };
    ASSERT_OK_AND_ASSIGN(const AggregatePlan lite, plan(Dialect::kSqlite));
    ASSERT_OK_AND_ASSIGN(const AggregatePlan postgres, plan(Dialect::kPostgres));
    EXPECT_EQ(OnSqlite(lite.parts.at(0).partial.steps[0].statements[0]), rows);
    EXPECT_EQ(OnPostgres(postgres.parts.at(0).partial.steps[0].statements[0]), rows);
  }

  sqlite3* db_ = nullptr;
  SqlTexts texts_;
};

TEST_F(AggregateSqlTest, SumsAndCountsAreAlike) {
  ExpectBoth(AggregateOf({}, {{Function::kCount, "", "n"}, {Function::kCount, "price", "prices"}, {Function::kSum, "small", "whole"},
                              {Function::kAvg, "small", "mean"}, {Function::kSum, "number", "numbers"}, {Function::kSum, "ratio", "ratios"},
                              {Function::kCountDistinct, "price", "d"}, {Function::kCountDistinct, "region", "r"}}),
             "(6,5,4294967294,4294967294,5,9,NaN,4,3)");
}

TEST_F(AggregateSqlTest, ExtremesAreAlike) {
  ExpectBoth(AggregateOf({}, {{Function::kMin, "price", "a"}, {Function::kMax, "price", "b"}, {Function::kMin, "region", "c"},
                              {Function::kMax, "region", "d"}, {Function::kMin, "ref", "e"}, {Function::kMax, "ref", "f"},
                              {Function::kMin, "paid", "g"}, {Function::kMax, "paid", "h"}, {Function::kMax, "ratio", "i"},
                              {Function::kMin, "mood", "j"}, {Function::kMax, "data", "k"}}),
             "(-3,NaN,B,ß,00000000-0000-0000-0000-00000000000a,00000000-0000-0000-0000-00000000000b,f,t,NaN,glad,)");
}

TEST_F(AggregateSqlTest, GroupsAreAlikeAndInOneOrder) {
  AggregateOperation op = AggregateOf({"region"}, {{Function::kSum, "price", "total"}, {Function::kMax, "small", "most"}});
  op.limit = 10;
  ExpectBoth(op, "(B,NaN,5);(b,19.50,2147483647);(ß,,0);(,-3,-5)");
  op.order_by = {{"total", true, NullPlacement::kDefault}};
  ExpectBoth(op, "(ß,,0);(B,NaN,5);(b,19.50,2147483647);(,-3,-5)");
  op.limit = 2;
  ExpectBoth(op, "(ß,,0);(B,NaN,5)");
  op = AggregateOf({"mood"}, {{Function::kCount, "", "n"}});
  op.limit = 10;
  ExpectBoth(op, "(glad,2);(sad,1);(,3)");
  op = AggregateOf({"price"}, {{Function::kCount, "", "n"}});
  op.offset = 1;
  op.limit = 1;
  ExpectBoth(op, "(-3,1);(9.5,1)");
}

}  // namespace
}  // namespace quarry
