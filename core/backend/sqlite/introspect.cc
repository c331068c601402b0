#include "core/backend/sqlite/introspect.h"

#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/backend/sqlite/unique_index.h"
#include "core/backend/sqlite/values.h"
#include "core/base/error.h"

namespace quarry::sqlite {
namespace {

bool ByteOrder(sqlite3* db, const std::string& table, const std::string& column) {
  const char* collation = nullptr;
  if (sqlite3_table_column_metadata(db, "main", table.c_str(), column.c_str(), nullptr, &collation, nullptr,
                                    nullptr, nullptr) != SQLITE_OK) {
    return true;
  }
  return collation == nullptr || absl::EqualsIgnoreCase(collation, "BINARY");
}

std::string WrongType(const std::string& table, const std::string& column, const std::string& declared) {
  const std::string_view better = BetterTypeThan(declared);
  if (!better.empty()) {
    return absl::StrCat(table, ".", column, " is declared ", declared,
                        ", which SQLite keeps as a number and would round: declare it ", std::string(better));
  }
  return absl::StrCat(table, ".", column,
                      declared.empty() ? " has no declared type" : " has the unknown type ", declared,
                      ": declare one of those in docs/configuration.md, \"Column types on SQLite\"");
}

// What stands for the default of a timestamp that SQLite would store in another form than Quarry compares, as
// CURRENT_TIMESTAMP does; "" where it is as it should be.
std::string DefaultInForm(sqlite3* db, const ColumnType& type, const std::string& expression) {
  if (type.array || (type.kind != TypeKind::kTimestamp && type.kind != TypeKind::kTimestampTz)) return "";
  const auto made = SchemaRows(db, absl::StrCat("SELECT (", expression, ")").c_str(), {});
  if (made.empty() || !ParseTimestamp(made[0][0]).has_value()) return "";
  const bool instant = type.kind == TypeKind::kTimestampTz;
  return IsStoredForm(made[0][0], instant) ? "" : InStoredForm(absl::StrCat("(", expression, ")"), instant);
}

std::vector<std::string> PrimaryKeyOf(sqlite3* db, const std::string& table) {
  std::vector<std::string> columns;
  for (const auto& row :
       SchemaRows(db, "SELECT name FROM pragma_table_xinfo(?1) WHERE pk > 0 ORDER BY pk", {table})) {
    columns.push_back(row[0]);
  }
  return columns;
}

void ReadColumns(sqlite3* db, bool without_rowid, TableSchema* schema, std::vector<std::string>* wrong) {
  schema->primary_key = PrimaryKeyOf(db, schema->name);
  const auto rows = SchemaRows(db,
                               "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden, coalesce(dflt_value, '') FROM "
                               "pragma_table_xinfo(?1) ORDER BY cid",
                               {schema->name});
  for (const auto& row : rows) {
    Column column;
    column.name = row[0];
    column.type = TypeOfDeclared(row[1]);
    const bool key = row[4] != "0";
    // SQLite lets keys of ordinary tables be null; a row without a key could never be addressed.
    column.nullable = row[2] == "0" && !key;
    const bool is_rowid =
        key && schema->primary_key.size() == 1 && !without_rowid && absl::EqualsIgnoreCase(row[1], "INTEGER");
    column.has_default = row[3] == "1" || is_rowid;
    if (row[3] == "1") column.default_in_form = DefaultInForm(db, column.type, row[6]);
    column.generated = row[5] == "2" || row[5] == "3";
    column.deterministic_text = ByteOrder(db, schema->name, column.name);
    column.byte_order = column.deterministic_text;
    if (key && column.type.kind == TypeKind::kDecimal) {
      wrong->push_back(absl::StrCat(schema->name, ".", row[0], " is a decimal in the primary key, where SQLite takes 1.5 and 1.50 "
                                    "for two keys: keep it as an integer of its smallest unit"));
    }
    if (column.type.kind == TypeKind::kUnknown) wrong->push_back(WrongType(schema->name, row[0], row[1]));
    schema->columns.push_back(std::move(column));
  }
}

void ReadForeignKeys(sqlite3* db, TableSchema* schema) {
  std::map<int, ForeignKey> keys;
  const auto rows = SchemaRows(
      db, "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id DESC, seq",
      {schema->name});
  for (const auto& row : rows) {
    // Declared last, listed first.
    ForeignKey& key = keys[-std::stoi(row[0])];
    key.referenced_table = row[1];
    key.columns.push_back(row[2]);
    if (!row[3].empty()) key.referenced_columns.push_back(row[3]);
  }
  for (auto& [id, key] : keys) {
    if (key.referenced_columns.empty()) key.referenced_columns = PrimaryKeyOf(db, key.referenced_table);
    key.name = absl::StrCat(schema->name, "_", absl::StrJoin(key.columns, "_"), "_fkey");
    schema->foreign_keys.push_back(std::move(key));
  }
}

}  // namespace

absl::StatusOr<ShardSchema> IntrospectTables(Connection& connection, const std::vector<std::string>& tables) {
  sqlite3* const db = connection.handle();
  ShardSchema result;
  result.shard = connection.shard();
  std::vector<std::string> wrong;
  for (const std::string& name : tables) {
    const auto found =
        SchemaRows(db, "SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1", {name});
    if (found.empty()) continue;
    if (found[0][0] != "table") {
      wrong.push_back(absl::StrCat(name, " is a ", found[0][0], ", not a table"));
      continue;
    }
    TableSchema schema;
    schema.name = name;
    ReadColumns(db, /*without_rowid=*/found[0][1] == "1", &schema, &wrong);
    for (UniqueIndex& index : UniqueIndexes(db, name)) {
      UniqueConstraint constraint;
      constraint.name = std::move(index.name);
      constraint.columns = std::move(index.columns);
      schema.unique_constraints.push_back(std::move(constraint));
    }
    ReadForeignKeys(db, &schema);
    schema.triggers = !SchemaRows(db, "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE", {name}).empty();
    result.tables.emplace(name, std::move(schema));
  }
  if (wrong.empty()) return result;
  return MakeError(
      absl::StatusCode::kFailedPrecondition, reason::kSchemaMismatch,
      absl::StrCat("tables on shard ", result.shard, " cannot be served: ", absl::StrJoin(wrong, "; ")),
      {{"shard", result.shard}});
}

}  // namespace quarry::sqlite
