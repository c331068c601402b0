// Names of unique constraints, as introspection and errors both tell them.
#pragma once

#include <string>
#include <vector>

struct sqlite3;

namespace quarry::sqlite {

struct UniqueIndex {
  std::string name;                  // An explicit index's own name, else UniqueName.
  std::vector<std::string> columns;  // In index order.
};

// All but the primary key's; partial ones and those over expressions are left out, for they are no constraint on columns.
std::vector<UniqueIndex> UniqueIndexes(sqlite3* db, const std::string& table);

// The one over exactly these columns, partial ones too; UniqueName when none is found.
std::string UniqueIndexName(sqlite3* db, const std::string& table, const std::vector<std::string>& columns);

// The rows of a query with text parameters, every value as text; empty on any error. For small schema queries.
std::vector<std::vector<std::string>> SchemaRows(sqlite3* db, const char* sql,
                                                 const std::vector<std::string>& params);

}  // namespace quarry::sqlite
