// Which tables' rows belong together: from foreign keys and from what the configuration declares. Plain data and pure functions.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace quarry {

class Table;

// What the configuration says of a relation that no foreign key tells.
struct RelationDeclaration {
  std::string name;
  std::string table;                    // The related one.
  std::vector<std::string> columns;     // Of the table that declares it.
  std::vector<std::string> references;  // Of the related table, one for each of `columns`.
};

// Rows of `related_table` whose related_columns equal the columns of a row of `table`.
struct Relation {
  std::string name;
  std::string table;
  std::vector<std::string> columns;
  std::string related_table;
  std::vector<std::string> related_columns;
  bool many = false;        // A row may have several related rows.
  bool same_shard = false;  // Wherever a row of `table` is read, all its related rows are too.
  std::string apart;        // Why not, for people, and what to do; empty when same_shard.
  std::string plain_name;   // The related table's; differs from `name` where several relations would have it.
};

// "(a, b)".
std::string InParentheses(const std::vector<std::string>& names);

using Tables = std::map<std::string, Table, std::less<>>;

// The relations of each table, by its name: the parent of a foreign key is named by the referenced table, its children by the
// child table. Where that gives one name twice, each is named by its foreign key's constraint (and its children, when even that
// is taken, by the constraint and "_children"). A declared relation takes its name from any derived one. Relations to tables
// that are not in `tables` are left out.
std::map<std::string, std::vector<Relation>, std::less<>> RelationsOf(const Tables& tables);

// What is wrong with the relations that `table` declares, a line per finding, as BuildCatalog reports it.
std::vector<std::string> CheckRelations(const Table& table, const Tables& tables);

}  // namespace quarry
