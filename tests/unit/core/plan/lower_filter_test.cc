#include <string>

#include "absl/strings/str_cat.h"
#include "core/plan/filter.h"
#include "core/plan/text_prefix.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/plan/filter_testing.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;

class LowerFilterTest : public ::testing::Test {
 protected:
  std::string Sql(Dialect dialect, const std::string& table, const std::string& text, const Params& params = {}) {
    const absl::StatusOr<Predicate> predicate = CheckText(*snapshot_, table, text, params);
    if (!predicate.ok()) return std::string(predicate.status().message());
    return *Lower(*predicate, dialect).sql;
  }
  std::string Postgres(const std::string& table, const std::string& text) { return Sql(Dialect::kPostgres, table, text); }
  std::string Sqlite(const std::string& table, const std::string& text) { return Sql(Dialect::kSqlite, table, text); }

  std::shared_ptr<const Snapshot> snapshot_ = FilterSnapshot();
};

TEST_F(LowerFilterTest, ComparesTextByBytes) {
  EXPECT_EQ(Postgres("customers", "name < 'x'"), R"((t0."name" < $1))");
  EXPECT_EQ(Postgres("customers", "label < 'x'"), R"((t0."label"::text COLLATE "C" < $1))");
  EXPECT_EQ(Postgres("customers", "label = 'x'"), R"((t0."label" = $1))");
  EXPECT_EQ(Postgres("customers", "nick = 'x'"), R"((t0."nick"::text COLLATE "C" = $1))");
  EXPECT_EQ(Postgres("orders", "status = 'open'"), R"((t0."status"::text COLLATE "C" = $1))");
  EXPECT_EQ(Postgres("customers", "name = label"), R"((t0."name"::text COLLATE "C" = t0."label"::text COLLATE "C"))");
  EXPECT_EQ(Sqlite("customers", "nick = 'x'"), R"((t0."nick" COLLATE BINARY = ?1))");
  EXPECT_EQ(Sqlite("customers", "name < 'x'"), R"((t0."name" < ?1))");
}

TEST_F(LowerFilterTest, WritesEveryForm) {
  EXPECT_EQ(Postgres("customers", "age IN (1, 2, 3)"), R"((t0."age" = ANY($1)))");
  EXPECT_EQ(Sqlite("customers", "age IN (1, 2, 3)"), R"((t0."age" IN (?1, ?2, ?3, ?4)))");
  EXPECT_EQ(Sqlite("orders", "price IN (1)"), R"((t0."price" COLLATE quarry_decimal IN (?1)))");
  EXPECT_EQ(Postgres("customers", "label LIKE 'x'"), R"((t0."label"::text COLLATE "C" LIKE $1))");
  EXPECT_EQ(Sqlite("customers", "label LIKE 'x'"), R"(quarry_like(?1, t0."label"))");
  EXPECT_EQ(Postgres("customers", "starts_with(name, 'ab')"), R"((t0."name" >= $1 AND t0."name" < $2))");
  EXPECT_EQ(Sqlite("orders", "NOT (price > 1 OR paid IS NULL)"),
            R"((NOT ((t0."price" COLLATE quarry_decimal > ?1) OR (t0."paid" IS NULL))))");
  EXPECT_EQ(Postgres("customers", "age NOT IN ()"), "(NOT FALSE)");
  EXPECT_EQ(Postgres("customers", "has(orders, has(countries, name = 'x') AND price = 1)"),
            R"(EXISTS (SELECT 1 FROM "orders" AS t1 WHERE t1."customer" = t0."id" AND )"
            R"((EXISTS (SELECT 1 FROM "countries" AS t2 WHERE t2."code" = t1."country" AND (t2."name" = $1)) )"
            R"(AND (t1."price" = $2))))");
}

TEST_F(LowerFilterTest, AListWithoutConditionsIsItsNeutralElement) {
  Predicate list;
  list.kind = Predicate::Kind::kAnd;
  EXPECT_EQ(*Lower(list, Dialect::kPostgres).sql, "TRUE");
  list.kind = Predicate::Kind::kOr;
  EXPECT_EQ(*Lower(list, Dialect::kSqlite).sql, "FALSE");
}

TEST_F(LowerFilterTest, TellsTheParametersAndTheirTypes) {
  ASSERT_OK_AND_ASSIGN(const Predicate predicate, CheckText(*snapshot_, "customers", "age IN (1, 2) AND name = 'x'"));
  const Statement statement = Lower(predicate, Dialect::kPostgres);
  ASSERT_EQ(statement.params.size(), 2u);
  EXPECT_EQ(statement.params[0], Value::Array({Value::Int64(1), Value::Int64(2)}));
  EXPECT_TRUE((*statement.param_types)[0].array);
  EXPECT_EQ((*statement.param_types)[1].kind, TypeKind::kText);
}

TEST_F(LowerFilterTest, LongChainsStayShallow) {
  Predicate chain;
  chain.kind = Predicate::Kind::kOr;
  ASSERT_OK_AND_ASSIGN(const Predicate leaf, CheckText(*snapshot_, "customers", "age = 1"));
  chain.children.assign(2'000, leaf);
  const std::string sql = *Lower(chain, Dialect::kSqlite).sql;
  int depth = 0;
  int deepest = 0;
  for (const char c : sql) {
    if (c == '(') deepest = std::max(deepest, ++depth);
    if (c == ')') --depth;
  }
  EXPECT_EQ(depth, 0);
  EXPECT_LT(deepest, 15);
}

TEST_F(LowerFilterTest, PadsListsOfSqliteToFewSizes) {
  const auto size = [this](size_t values) {
    const Value list = Value::Array(std::vector<Value>(values, Value::Int64(7)));
    const absl::StatusOr<Predicate> predicate = CheckText(*snapshot_, "customers", "age IN @x", {{"x", list}});
    EXPECT_THAT(predicate, IsOk());
    return Lower(*predicate, Dialect::kSqlite).params.size();
  };
  EXPECT_EQ(size(1), 1u);
  EXPECT_EQ(size(3), 4u);
  EXPECT_EQ(size(700), 1'024u);
  EXPECT_EQ(size(1'025), 2'048u);
  EXPECT_EQ(size(10'000), 10'240u);
}

TEST(TextPrefixTest, FindsTheNextTextByBytes) {
  EXPECT_EQ(AfterPrefix("ab"), "ac");
  EXPECT_EQ(AfterPrefix("a\x7f"), "a\xc2\x80");
  EXPECT_EQ(AfterPrefix("\xdf\xbf"), "\xe0\xa0\x80");
  EXPECT_EQ(AfterPrefix("\xed\x9f\xbf"), "\xee\x80\x80");
  EXPECT_EQ(AfterPrefix("\xef\xbf\xbf"), "\xf0\x90\x80\x80");
  EXPECT_EQ(AfterPrefix("a\xf4\x8f\xbf\xbf"), "b");
  EXPECT_EQ(AfterPrefix("\xf4\x8f\xbf\xbf"), std::nullopt);
}

}  // namespace
}  // namespace quarry
