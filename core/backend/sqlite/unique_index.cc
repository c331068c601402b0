#include "core/backend/sqlite/unique_index.h"

#include <sqlite3.h>

#include <utility>

#include "core/backend/sqlite/errors.h"

namespace quarry::sqlite {

std::vector<std::vector<std::string>> SchemaRows(sqlite3* db, const char* sql,
                                                 const std::vector<std::string>& params) {
  std::vector<std::vector<std::string>> rows;
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, nullptr) != SQLITE_OK) return rows;
  for (size_t i = 0; i < params.size(); ++i) {
    sqlite3_bind_text(statement, static_cast<int>(i) + 1, params[i].c_str(), -1, SQLITE_STATIC);
  }
  while (sqlite3_step(statement) == SQLITE_ROW) {
    std::vector<std::string>& row = rows.emplace_back();
    for (int column = 0; column < sqlite3_column_count(statement); ++column) {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
      row.emplace_back(text == nullptr ? "" : text);
    }
  }
  sqlite3_finalize(statement);
  return rows;
}

namespace {

std::vector<UniqueIndex> FindIndexes(sqlite3* db, const std::string& table, bool partial_too) {
  std::vector<UniqueIndex> result;
  const auto indexes = SchemaRows(db,
                                  "SELECT name, origin, partial FROM pragma_index_list(?1) "
                                  "WHERE \"unique\" = 1 AND origin <> 'pk' ORDER BY seq DESC",
                                  {table});
  for (const auto& index : indexes) {
    if (!partial_too && index[2] == "1") continue;
    UniqueIndex unique;
    bool expression = false;
    const auto columns = SchemaRows(
        db, "SELECT name, cid FROM pragma_index_xinfo(?1) WHERE key = 1 ORDER BY seqno", {index[0]});
    for (const auto& column : columns) {
      unique.columns.push_back(column[0]);
      expression |= column[1] == "-2";
    }
    if (expression) continue;
    unique.name = index[1] == "c" ? index[0] : UniqueName(table, unique.columns);
    result.push_back(std::move(unique));
  }
  return result;
}

}  // namespace

std::vector<UniqueIndex> UniqueIndexes(sqlite3* db, const std::string& table) {
  return FindIndexes(db, table, /*partial_too=*/false);
}

std::string UniqueIndexName(sqlite3* db, const std::string& table, const std::vector<std::string>& columns) {
  for (const UniqueIndex& index : FindIndexes(db, table, /*partial_too=*/true)) {
    if (index.columns == columns) return index.name;
  }
  return UniqueName(table, columns);
}

}  // namespace quarry::sqlite
