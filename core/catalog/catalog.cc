#include "core/catalog/catalog.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "core/base/did_you_mean.h"

namespace quarry {

std::vector<std::string> ColumnNames(const TableSchema& schema) {
  std::vector<std::string> names;
  for (const Column& column : schema.columns) names.push_back(column.name);
  return names;
}

Table::Table(TableDeclaration declaration, TableSchema schema)
    : declaration_(std::move(declaration)), schema_(std::move(schema)) {
  auto types = std::make_shared<std::vector<ColumnType>>();
  auto header = std::make_shared<std::vector<ColumnHeader>>();
  for (size_t i = 0; i < schema_.columns.size(); ++i) {
    const Column& column = schema_.columns[i];
    by_name_.emplace(column.name, i);
    types->push_back(column.type);
    header->push_back(ColumnHeader{column.name, column.type});
  }
  const auto positions = [this](const std::vector<std::string>& names) {
    std::vector<size_t> found;
    for (const std::string& name : names) {
      const std::optional<size_t> at = FindColumn(name);
      if (!at.has_value()) continue;
      schema_.columns[*at].nullable = false;
      found.push_back(*at);
    }
    return found;
  };
  primary_key_ = positions(schema_.primary_key);
  shard_key_ = positions(declaration_.shard_key);
  all_types_ = std::move(types);
  header_ = std::move(header);
}

std::optional<size_t> Table::FindColumn(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return std::nullopt;
  return found->second;
}

Catalog::Catalog(std::vector<Table> tables, std::map<std::string, std::string, std::less<>> pending)
    : pending_(std::move(pending)) {
  for (Table& table : tables) {
    std::string name = table.name();
    keeps_answers_ |= table.declaration().cache_age_max > absl::ZeroDuration();
    tables_.emplace(std::move(name), std::move(table));
  }
  relations_ = RelationsOf(tables_);
}

const std::vector<Relation>& Catalog::relations(std::string_view table) const {
  static const std::vector<Relation> kNone;
  const auto found = relations_.find(table);
  return found == relations_.end() ? kNone : found->second;
}

std::vector<std::string> Catalog::WrittenWith(const std::string& table) const {
  std::vector<std::string> written = {table};
  for (size_t i = 0; i < written.size(); ++i) {
    for (const Relation& relation : relations(written[i])) {
      const bool known = std::find(written.begin(), written.end(), relation.related_table) != written.end();
      if (relation.many && !known) written.push_back(relation.related_table);
    }
  }
  return written;
}

absl::StatusOr<const Relation*> Catalog::FindRelation(std::string_view table, std::string_view name) const {
  std::vector<std::string> all;
  std::vector<std::string> alike;
  for (const Relation& relation : relations(table)) {
    if (relation.name == name) return &relation;
    all.push_back(relation.name);
    if (relation.plain_name == name) alike.push_back(relation.name);
  }
  const std::string from(table);
  const std::string wanted(name);
  if (alike.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("several relations lead from table \"", from, "\" to \"", wanted,
                                                   "\"; name one of them: ", absl::StrJoin(alike, ", ")));
  }
  return absl::NotFoundError(absl::StrCat("table \"", from, "\" has no relation \"", wanted, "\"", DidYouMean(name, all),
                                          all.empty() ? "; it has none at all" : absl::StrCat("; it has ", absl::StrJoin(all, ", "))));
}

bool SameFamily(const ColumnType& a, const ColumnType& b) {
  if (a.array || b.array || a.kind == TypeKind::kUnknown || b.kind == TypeKind::kUnknown) return a == b && a.array;
  const auto integer = [](TypeKind kind) {
    return kind == TypeKind::kInt16 || kind == TypeKind::kInt32 || kind == TypeKind::kInt64;
  };
  const auto floating = [](TypeKind kind) { return kind == TypeKind::kFloat || kind == TypeKind::kDouble; };
  return a == b || (integer(a.kind) && integer(b.kind)) || (floating(a.kind) && floating(b.kind));
}

absl::StatusOr<const Table*> Catalog::FindTable(std::string_view name) const {
  if (const auto found = tables_.find(name); found != tables_.end()) return &found->second;
  const std::string wanted(name);
  if (const auto found = pending_.find(name); found != pending_.end()) {
    return MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable,
                     absl::StrCat("table \"", wanted, "\" lives on shard ", found->second,
                                  " alone, which has not answered since start; try again once it does"),
                     {{"table", wanted}, {"shard", found->second}});
  }
  std::vector<std::string> names;
  for (const auto& [known, table] : tables_) names.push_back(known);
  for (const auto& [known, shard] : pending_) names.push_back(known);
  return MakeError(absl::StatusCode::kNotFound, reason::kTableNotFound,
                   absl::StrCat("no table is named \"", wanted, "\"", DidYouMean(name, names),
                                "; tables are declared in the configuration"),
                   {{"table", wanted}});
}

}  // namespace quarry
