#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/did_you_mean.h"
#include "core/catalog/catalog.h"
#include "core/catalog/relations.h"

namespace quarry {
namespace {

// One shard's word on one table; `schema` is null where the table is missing.
struct Witness {
  const std::string* shard;
  const TableSchema* schema;
};

// The types that routing has a hash for that never changes.
bool HashIsStable(const ColumnType& type) {
  if (type.array) return false;
  switch (type.kind) {
    case TypeKind::kBool:
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
    case TypeKind::kText:
    case TypeKind::kBytes:
    case TypeKind::kUuid:
    case TypeKind::kDate:
    case TypeKind::kTime:
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampTz:
    case TypeKind::kDecimal:
      return true;
    default:
      return false;
  }
}

const Column* FindColumn(const TableSchema& schema, const std::string& name) {
  for (const Column& column : schema.columns) {
    if (column.name == name) return &column;
  }
  return nullptr;
}

std::string UniqueText(const TableSchema& schema) {
  std::set<std::string> all;
  for (const UniqueConstraint& unique : schema.unique_constraints) all.insert(InParentheses(unique.columns));
  return all.empty() ? "none" : absl::StrJoin(all, " ");
}

std::string ForeignText(const TableSchema& schema) {
  std::set<std::string> all;
  for (const ForeignKey& key : schema.foreign_keys) {
    all.insert(absl::StrCat(InParentheses(key.columns), " to ", key.referenced_table, InParentheses(key.referenced_columns)));
  }
  return all.empty() ? "none" : absl::StrJoin(all, " ");
}

std::string DefaultText(const Column& column) {
  if (column.generated) return "computed by the database";
  return column.has_default ? "a default" : "no default";
}

// Collects what is wrong with one table, a line per finding.
class TableCheck {
 public:
  TableCheck(const TableDeclaration& declaration, std::vector<Witness> witnesses, std::vector<std::string>& findings)
      : declaration_(declaration), findings_(findings) {
    for (const Witness& witness : witnesses) {
      if (witness.schema == nullptr) {
        missing_.push_back(*witness.shard);
      } else {
        present_.push_back(witness);
      }
    }
  }

  // The agreed schema; nullopt when something was found.
  std::optional<TableSchema> Run() {
    const size_t before = findings_.size();
    if (!missing_.empty()) {
      Add("", absl::StrCat("the table is missing on ", absl::StrJoin(missing_, ", "), "; create it there"));
    }
    if (!present_.empty()) {
      CompareColumns();
      CompareTables("primary key is", [](const TableSchema& schema) { return InParentheses(schema.primary_key); });
      CompareTables("unique constraints are", UniqueText);
      CompareTables("foreign keys are", ForeignText);
      CheckPrimaryKey();
      CheckShardKey();
    }
    if (findings_.size() != before) return std::nullopt;
    return Agreed();
  }

 private:
  // The first shard's, but text has byte order only where all have it, and one SQLite shard's forms and triggers are for all.
  TableSchema Agreed() const {
    TableSchema schema = *present_.front().schema;
    for (const Witness& witness : present_) schema.triggers = schema.triggers || witness.schema->triggers;
    for (Column& column : schema.columns) {
      for (const Witness& witness : present_) {
        const Column* other = FindColumn(*witness.schema, column.name);
        column.byte_order = column.byte_order && other != nullptr && other->byte_order;
        if (column.default_in_form.empty() && other != nullptr) column.default_in_form = other->default_in_form;
      }
    }
    return schema;
  }

  void Add(const std::string& column, const std::string& what) {
    findings_.push_back(absl::StrCat(declaration_.name, column.empty() ? "" : ".", column, ": ", what));
  }

  // Reports when the shards' texts differ: "type is int64 on s0, s1 but int32 on s2".
  void Report(const std::string& column, const std::string& what,
              const std::vector<std::pair<std::string, std::string>>& by_shard) {
    std::vector<std::pair<std::string, std::vector<std::string>>> groups;
    for (const auto& [shard, text] : by_shard) {
      const auto same = [&text = text](const auto& group) { return group.first == text; };
      const auto found = std::find_if(groups.begin(), groups.end(), same);
      if (found == groups.end()) {
        groups.push_back({text, {shard}});
      } else {
        found->second.push_back(shard);
      }
    }
    if (groups.size() < 2) return;
    Add(column, absl::StrCat(what, " ", absl::StrJoin(groups, " but ", [](std::string* out, const auto& group) {
                               absl::StrAppend(out, group.first, " on ", absl::StrJoin(group.second, ", "));
                             })));
  }

  template <typename Text>
  void CompareTables(const std::string& what, Text text) {
    std::vector<std::pair<std::string, std::string>> by_shard;
    for (const Witness& witness : present_) by_shard.emplace_back(*witness.shard, text(*witness.schema));
    Report("", what, by_shard);
  }

  template <typename Text>
  void CompareColumn(const std::string& name, const std::string& what, Text text) {
    std::vector<std::pair<std::string, std::string>> by_shard;
    for (const Witness& witness : present_) {
      const Column* column = FindColumn(*witness.schema, name);
      if (column != nullptr) by_shard.emplace_back(*witness.shard, text(*column));
    }
    Report(name, what, by_shard);
  }

  void CompareColumns() {
    std::vector<std::string> names;
    for (const Witness& witness : present_) {
      for (const std::string& name : ColumnNames(*witness.schema)) {
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
      }
    }
    for (const std::string& name : names) {
      std::vector<std::string> without;
      for (const Witness& witness : present_) {
        if (FindColumn(*witness.schema, name) == nullptr) without.push_back(*witness.shard);
      }
      if (!without.empty()) Add(name, absl::StrCat("the column is missing on ", absl::StrJoin(without, ", ")));
      CompareColumn(name, "type is", [](const Column& column) { return TypeName(column.type); });
      CompareColumn(name, "the column is",
                    [](const Column& column) { return std::string(column.nullable ? "nullable" : "not null"); });
      CompareColumn(name, "the value when absent is", DefaultText);
      CompareColumn(name, "text equality is", [](const Column& column) {
        return std::string(column.deterministic_text ? "by bytes" : "by collation");
      });
    }
  }

  void CheckPrimaryKey() {
    if (present_.front().schema->primary_key.empty()) {
      Add("", "the table has no primary key; add one, rows are named by it");
    }
  }

  void CheckShardKey() {
    const TableSchema& schema = *present_.front().schema;
    for (const std::string& name : declaration_.shard_key) {
      const Column* column = FindColumn(schema, name);
      if (column == nullptr) {
        Add(name, absl::StrCat("the shard key names a column that the table lacks", DidYouMean(name, ColumnNames(schema))));
        continue;
      }
      CheckShardKeyColumn(*column);
      const std::vector<std::string>& key = schema.primary_key;
      if (!key.empty() && std::find(key.begin(), key.end(), name) == key.end()) {
        Add(name, "the shard key is not part of the primary key, which then cannot be unique over the shards; add the "
                  "column to the primary key");
      }
    }
  }

  void CheckShardKeyColumn(const Column& column) {
    const std::string& declared = column.type.native_name;
    if (!HashIsStable(column.type)) {
      Add(column.name, absl::StrCat("type ", TypeName(column.type), " has no stable hash and cannot be in a shard key"));
    } else if (column.generated) {
      Add(column.name, "the database computes the column, so a write cannot be routed by it");
    } else if (column.type.kind == TypeKind::kText &&
               (!column.deterministic_text || declared == "bpchar" || declared == "character" ||
                absl::StartsWith(declared, "character("))) {
      Add(column.name, "its text is not compared by bytes; a shard key needs a deterministic collation and a type that "
                       "keeps trailing spaces");
    }
  }

  const TableDeclaration& declaration_;
  std::vector<std::string>& findings_;
  std::vector<Witness> present_;
  std::vector<std::string> missing_;
};

// The shards that must hold the table, with what they said of it.
std::vector<Witness> WitnessesOf(const TableDeclaration& declaration, const std::vector<ShardSchema>& schemas) {
  std::vector<Witness> witnesses;
  for (const ShardSchema& shard : schemas) {
    if (declaration.kind == TableKind::kSingle && shard.shard != declaration.shard) continue;
    const auto found = shard.tables.find(declaration.name);
    witnesses.push_back({&shard.shard, found == shard.tables.end() ? nullptr : &found->second});
  }
  return witnesses;
}

std::string KeyTypes(const Table& table) {
  std::vector<std::string> types;
  for (const size_t column : table.shard_key()) types.push_back(TypeName(table.columns()[column].type));
  return InParentheses(types);
}

// Tables that share a resolver, by name or through co-location, have shard keys of the same types.
void CheckSharedKeys(const std::vector<Table>& tables, std::vector<std::string>& findings) {
  std::map<std::string, const Table*> by_name;
  std::map<std::string, const Table*> by_resolver;
  for (const Table& table : tables) by_name.emplace(table.name(), &table);
  for (const Table& table : tables) {
    const TableDeclaration& declaration = table.declaration();
    if (declaration.kind != TableKind::kSharded) continue;
    const Table* other = nullptr;
    std::string relation;
    if (!declaration.co_located_with.empty()) {
      const auto found = by_name.find(declaration.co_located_with);
      other = found == by_name.end() ? nullptr : found->second;
      relation = "is co-located with ";
    } else if (!declaration.resolver.empty()) {
      other = by_resolver.emplace(declaration.resolver, &table).first->second;
      relation = absl::StrCat("shares resolver ", declaration.resolver, " with ");
    }
    if (other == nullptr || KeyTypes(*other) == KeyTypes(table)) continue;
    findings.push_back(absl::StrCat(table.name(), ": the shard key has types ", KeyTypes(table), " but the table ",
                                    relation, other->name(), ", whose shard key has ", KeyTypes(*other)));
  }
}

void CheckDeclaredRelations(const std::vector<Table>& tables, std::vector<std::string>& findings) {
  Tables by_name;
  for (const Table& table : tables) by_name.emplace(table.name(), table);
  for (const Table& table : tables) {
    for (std::string& finding : CheckRelations(table, by_name)) findings.push_back(std::move(finding));
  }
}

absl::Status Mismatch(const std::vector<std::string>& findings) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kSchemaMismatch,
                   absl::StrCat("the databases do not fit the declared tables; ", findings.size(),
                                findings.size() == 1 ? " finding:\n  " : " findings:\n  ",
                                absl::StrJoin(findings, "\n  ")),
                   {{"findings", absl::StrCat(findings.size())}});
}

}  // namespace

absl::StatusOr<Catalog> BuildCatalog(const std::vector<TableDeclaration>& declarations,
                                     const std::vector<ShardSchema>& schemas) {
  std::vector<std::string> findings;
  std::vector<Table> tables;
  std::map<std::string, std::string, std::less<>> pending;
  for (const TableDeclaration& declaration : declarations) {
    std::vector<Witness> witnesses = WitnessesOf(declaration, schemas);
    if (witnesses.empty()) {
      pending.emplace(declaration.name, declaration.shard);
      continue;
    }
    std::optional<TableSchema> schema = TableCheck(declaration, std::move(witnesses), findings).Run();
    if (schema.has_value()) tables.emplace_back(declaration, *std::move(schema));
  }
  CheckSharedKeys(tables, findings);
  CheckDeclaredRelations(tables, findings);
  if (!findings.empty()) return Mismatch(findings);
  return Catalog(std::move(tables), std::move(pending));
}

}  // namespace quarry
