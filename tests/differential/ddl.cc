#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tests/differential/schema.h"

namespace quarry::differential {
namespace {

const char* PostgresType(const ValueType& type) {
  switch (type.kind) {
    case TypeKind::kBool:
      return "BOOLEAN";
    case TypeKind::kInt16:
      return "SMALLINT";
    case TypeKind::kInt32:
      return "INTEGER";
    case TypeKind::kInt64:
      return "BIGINT";
    case TypeKind::kDouble:
      return "DOUBLE PRECISION";
    case TypeKind::kText:
      return "TEXT";
    case TypeKind::kBytes:
      return "BYTEA";
    case TypeKind::kTimestamp:
      return "TIMESTAMP";
    case TypeKind::kTimestampTz:
      return "TIMESTAMPTZ";
    case TypeKind::kDate:
      return "DATE";
    case TypeKind::kTime:
      return "TIME";
    case TypeKind::kDecimal:
      return "NUMERIC";
    default:
      return "UUID";
  }
}

std::string ShardSqliteType(const ValueType& type) {
  if (type.kind == TypeKind::kDecimal) return "DECIMAL_TEXT";
  return type.kind == TypeKind::kInt32 ? "INT4" : PostgresType(type);
}

const char* ReferenceSqliteType(const ValueType& type) {
  switch (type.kind) {
    case TypeKind::kDouble:
      return "REAL";
    case TypeKind::kBytes:
      return "BLOB";
    case TypeKind::kBool:
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampTz:
      return "INTEGER";
    case TypeKind::kDecimal:
      return type.profile == Profile::kWide ? "TEXT" : "INTEGER";
    default:
      return "TEXT";
  }
}

std::string TypeIn(const TestColumn& column, Store store) {
  if (store == Store::kReferenceSqlite) return ReferenceSqliteType(column.type);
  if (store == Store::kShardSqlite) return ShardSqliteType(column.type);
  const bool collated = !column.collation.empty() && store == Store::kShardPostgres;
  return absl::StrCat(PostgresType(column.type), collated ? absl::StrCat(" COLLATE ", Quoted(column.collation)) : "");
}

template <typename Positions, typename Position>
std::string ColumnList(const TestTable& table, const Positions& positions, Position position) {
  return absl::StrJoin(positions, ", ", [&](std::string* out, const auto& item) {
    absl::StrAppend(out, Quoted(table.columns[position(item)].name));
  });
}

std::string CreateTable(const Schema& schema, const TestTable& table, Store store) {
  std::vector<std::string> parts;
  for (const TestColumn& column : table.columns) {
    parts.push_back(absl::StrCat(Quoted(column.name), " ", TypeIn(column, store), column.nullable ? "" : " NOT NULL"));
  }
  parts.push_back(absl::StrCat("PRIMARY KEY (", ColumnList(table, table.primary_key, [](size_t at) { return at; }), ")"));
  const bool shard = store == Store::kShardPostgres || store == Store::kShardSqlite;
  for (const TestRelation& relation : table.relations) {
    if (!relation.up || relation.declared || !shard) continue;
    const TestTable& parent = schema.tables[relation.table];
    parts.push_back(absl::StrCat("FOREIGN KEY (", ColumnList(table, relation.join, [](const auto& pair) { return pair.first; }),
                                 ") REFERENCES ", Quoted(parent.name), " (",
                                 ColumnList(parent, relation.join, [](const auto& pair) { return pair.second; }), ")"));
  }
  return absl::StrCat("CREATE TABLE ", Quoted(table.name), " (", absl::StrJoin(parts, ", "), ");\n");
}

}  // namespace

std::string Quoted(const std::string& name) { return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\""); }

std::string LiteralFor(const Value& value, const ValueType& type, bool postgres) {
  return postgres ? PostgresLiteral(value, type) : SqliteLiteral(value, type);
}

std::string Ddl(const Schema& schema, Store store) {
  std::string sql;
  for (const TestTable& table : schema.tables) sql += CreateTable(schema, table, store);
  return sql;
}

std::string InsertSql(const TestTable& table, const std::vector<Row>& rows, Store store) {
  if (rows.empty()) return "";
  std::string sql = absl::StrCat("INSERT INTO ", Quoted(table.name), " VALUES ");
  for (size_t i = 0; i < rows.size(); ++i) {
    std::vector<std::string> literals;
    for (size_t at = 0; at < table.columns.size(); ++at) {
      literals.push_back(LiteralFor(rows[i][at], table.columns[at].type, store == Store::kReferencePostgres));
    }
    absl::StrAppend(&sql, i == 0 ? "(" : ", (", absl::StrJoin(literals, ", "), ")");
  }
  return sql + ";";
}

}  // namespace quarry::differential
