#include "tests/contract/backend/rows_contract.h"

#include <memory>
#include <regex>
#include <utility>

#include "core/base/gather.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

constexpr char kTable[] = "CREATE TABLE kept(id BIGINT PRIMARY KEY, body TEXT NOT NULL)";

Statement StatementOf(std::string sql, std::vector<Value> params, bool writes) {
  Statement statement;
  statement.sql = std::make_shared<const std::string>(std::move(sql));
  statement.params = std::move(params);
  statement.returns_rows = !writes;
  statement.writes = writes;
  return statement;
}

}  // namespace

std::string InDialect(Dialect dialect, const std::string& postgres_sql) {
  if (dialect != Dialect::kSqlite) return postgres_sql;
  std::string sql = std::regex_replace(postgres_sql, std::regex(R"(\$(\d+))"), "?$1");
  sql = std::regex_replace(sql, std::regex(R"(\bNUMERIC\b)"), "DECIMAL_TEXT");
  sql = std::regex_replace(sql, std::regex(R"(\bJSONB?\b)"), "JSON_TEXT");
  return std::regex_replace(sql, std::regex(R"(\bBYTEA\b)"), "BLOB");
}

void RowsFixture::MakeTable() {
  if (std::exchange(has_table_, true)) return;
  EXPECT_THAT(Schema(kTable), IsOk());
}

Statement RowsFixture::Insert(int64_t id) {
  MakeTable();
  return StatementOf(InDialect(dialect(), "INSERT INTO kept(id, body) VALUES ($1, 'x')"), {Value::Int64(id)}, true);
}

int64_t RowsFixture::Inserted() {
  MakeTable();
  CallContext ctx(loop());
  ctx.deadline = loop().Now() + absl::Seconds(30);
  const Task task = BackendContract::TaskOf({StatementOf("SELECT count(*) FROM kept", {}, false)});
  const absl::StatusOr<TaskResult> result = RunOn(loop(), backend().Execute(task, ctx));
  EXPECT_THAT(result, IsOk());
  return result.ok() ? result->steps.at(0).statements.at(0).batch.rows.at(0).at(0).int64_value() : -1;
}

Statement RowsFixture::Refused() {
  MakeTable();
  return StatementOf("INSERT INTO kept(id, body) VALUES (0, NULL)", {}, true);
}

Statement RowsFixture::Endless() {
  const std::string sql = dialect() == Dialect::kSqlite
                              ? "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
                              : "SELECT count(*) FROM generate_series(1, 10000) a, generate_series(1, 10000) b, generate_series(1, 10000) c";
  Statement statement = StatementOf(sql, {}, false);
  statement.raw = true;
  return statement;
}

Statement RowsFixture::Numbers(int64_t count) {
  const std::string sql =
      "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < $1) "
      "SELECT x, 'padding padding padding' FROM n";
  Statement statement = StatementOf(InDialect(dialect(), sql), {Value::Int64(count)}, false);
  statement.raw = true;
  return statement;
}

void BackendRowsContract::CreateTables(const std::string& ddl) { ASSERT_THAT(fixture().Schema(Sql(ddl)), IsOk()); }

Statement BackendRowsContract::Read(const std::string& sql, std::vector<Value> params) {
  return StatementOf(Sql(sql), std::move(params), /*writes=*/false);
}

Statement BackendRowsContract::Write(const std::string& sql, std::vector<Value> params) {
  return StatementOf(Sql(sql), std::move(params), /*writes=*/true);
}

Statement BackendRowsContract::WriteReturning(const std::string& sql, std::vector<Value> params) {
  Statement statement = Write(sql, std::move(params));
  statement.returns_rows = true;
  return statement;
}

absl::StatusOr<std::vector<Row>> BackendRowsContract::Rows(const std::string& sql, std::vector<Value> params) {
  absl::StatusOr<TaskResult> result = Execute(TaskOf({Read(sql, std::move(params))}));
  if (!result.ok()) return result.status();
  return std::move(result->steps.at(0).statements.at(0).batch.rows);
}

int64_t BackendRowsContract::Count(const std::string& table) {
  const absl::StatusOr<std::vector<Row>> rows = Rows("SELECT count(*) FROM " + table);
  EXPECT_THAT(rows, IsOk());
  return rows.ok() ? rows->at(0).at(0).int64_value() : -1;
}

}  // namespace quarry
