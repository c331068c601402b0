#include "core/catalog/relations.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/did_you_mean.h"
#include "core/catalog/catalog.h"

namespace quarry {
namespace {

bool Contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

// At most one row has the same values in these columns.
bool UniqueOn(const Table& table, const std::vector<std::string>& columns) {
  const auto within = [&columns](const std::vector<std::string>& key) {
    return !key.empty() &&
           std::all_of(key.begin(), key.end(), [&](const std::string& name) { return Contains(columns, name); });
  };
  if (within(table.schema().primary_key)) return true;
  const auto& uniques = table.schema().unique_constraints;
  return std::any_of(uniques.begin(), uniques.end(),
                     [&](const UniqueConstraint& unique) { return within(unique.columns); });
}

// The shard key's columns of both sides, part by part, are joined with each other.
bool JoinsShardKeys(const Relation& relation, const Table& own, const Table& related) {
  const std::vector<std::string>& ours = own.declaration().shard_key;
  const std::vector<std::string>& theirs = related.declaration().shard_key;
  for (size_t part = 0; part < ours.size(); ++part) {
    bool joined = false;
    for (size_t i = 0; i < relation.columns.size(); ++i) {
      joined = joined || (relation.columns[i] == ours[part] && relation.related_columns[i] == theirs[part]);
    }
    if (!joined) return false;
  }
  return true;
}

// Why a row's related rows may be on other shards than the row; "" when they never are.
std::string WhyApart(const Relation& relation, const Table& own, const Table& related) {
  // Every shard holds the rows of a reference table, but a question to one asks one shard only.
  if (related.kind() == TableKind::kReference) return "";
  const std::string tables = absl::StrCat("\"", own.name(), "\" and \"", related.name(), "\"");
  const char* const advice = "; ask for the related rows first and then filter by their keys";
  if (own.kind() == TableKind::kReference) {
    return absl::StrCat("\"", own.name(), "\" is a reference table and is read on one shard, which need not hold the rows of \"",
                        related.name(), "\"", advice);
  }
  if (own.kind() == TableKind::kSingle || related.kind() == TableKind::kSingle) {
    if (own.kind() == related.kind() && own.declaration().shard == related.declaration().shard) return "";
    return absl::StrCat(tables, " are not kept on the same shards", advice);
  }
  if (own.declaration().resolver != related.declaration().resolver ||
      own.declaration().shard_key.size() != related.declaration().shard_key.size()) {
    return absl::StrCat(tables, " are not co-located", advice, ", or declare co_located_with");
  }
  if (JoinsShardKeys(relation, own, related)) return "";
  return absl::StrCat("the relation joins ", InParentheses(relation.columns), " with ", InParentheses(relation.related_columns),
                      ", which does not contain the shard keys ", InParentheses(own.declaration().shard_key), " and ",
                      InParentheses(related.declaration().shard_key), ", so related rows may live on other shards", advice);
}

struct Named {
  Relation relation;
  std::string constraint;
  bool children = false;
};

void Add(const Table& own, const Table& related, Named named, std::map<std::string, std::vector<Named>>& all) {
  Relation& relation = named.relation;
  relation.table = own.name();
  relation.related_table = related.name();
  relation.plain_name = related.name();
  relation.name = related.name();
  relation.many = !UniqueOn(related, relation.related_columns);
  relation.apart = WhyApart(relation, own, related);
  relation.same_shard = relation.apart.empty();
  all[own.name()].push_back(std::move(named));
}

void AddForeignKey(const Table& child, const Table& parent, const ForeignKey& key,
                   std::map<std::string, std::vector<Named>>& all) {
  Named up;
  up.constraint = key.name;
  up.relation.columns = key.columns;
  up.relation.related_columns = key.referenced_columns;
  Named down;
  down.constraint = key.name;
  down.children = true;
  down.relation.columns = key.referenced_columns;
  down.relation.related_columns = key.columns;
  Add(child, parent, std::move(up), all);
  Add(parent, child, std::move(down), all);
}

bool HasColumns(const Table& table, const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) { return table.FindColumn(name).has_value(); });
}

// The declared relations of `table` that fit.
std::vector<Relation> Declared(const Table& table, const Tables& tables) {
  std::map<std::string, std::vector<Named>> all;
  for (const RelationDeclaration& declared : table.declaration().relations) {
    const auto related = tables.find(declared.table);
    if (related == tables.end() || declared.columns.size() != declared.references.size() || declared.columns.empty() ||
        !HasColumns(table, declared.columns) || !HasColumns(related->second, declared.references)) {
      continue;
    }
    Named named;
    named.relation.columns = declared.columns;
    named.relation.related_columns = declared.references;
    Add(table, related->second, std::move(named), all);
    Relation& relation = all[table.name()].back().relation;
    relation.name = declared.name;
    relation.plain_name = declared.name;
  }
  std::vector<Relation> relations;
  for (Named& named : all[table.name()]) relations.push_back(std::move(named.relation));
  return relations;
}

// Gives every relation of one table a name of its own.
std::vector<Relation> WithNames(std::vector<Named> derived, std::vector<Relation> relations) {
  std::map<std::string, int> plain;
  for (const Named& named : derived) ++plain[named.relation.plain_name];
  std::set<std::string> taken;
  for (const Relation& relation : relations) taken.insert(relation.name);
  // Parents first, so that of a table that references itself the parent has the constraint's own name.
  std::stable_sort(derived.begin(), derived.end(), [](const Named& a, const Named& b) { return a.children < b.children; });
  for (Named& named : derived) {
    Relation& relation = named.relation;
    if (plain[relation.plain_name] > 1) {
      relation.name = named.constraint;
      if (taken.contains(relation.name) && named.children) relation.name += "_children";
    }
    if (taken.insert(relation.name).second) relations.push_back(std::move(relation));
  }
  return relations;
}

}  // namespace

std::string InParentheses(const std::vector<std::string>& names) {
  return absl::StrCat("(", absl::StrJoin(names, ", "), ")");
}

std::map<std::string, std::vector<Relation>, std::less<>> RelationsOf(const Tables& tables) {
  std::map<std::string, std::vector<Named>> derived;
  for (const auto& [name, table] : tables) {
    for (const ForeignKey& key : table.schema().foreign_keys) {
      const auto parent = tables.find(key.referenced_table);
      if (parent == tables.end() || key.columns.size() != key.referenced_columns.size()) continue;
      if (!HasColumns(table, key.columns) || !HasColumns(parent->second, key.referenced_columns)) continue;
      AddForeignKey(table, parent->second, key, derived);
    }
  }
  std::map<std::string, std::vector<Relation>, std::less<>> relations;
  for (const auto& [name, table] : tables) {
    relations.emplace(name, WithNames(std::move(derived[name]), Declared(table, tables)));
  }
  return relations;
}

std::vector<std::string> CheckRelations(const Table& table, const Tables& tables) {
  std::vector<std::string> findings;
  for (const RelationDeclaration& declared : table.declaration().relations) {
    const auto add = [&](const std::string& what) {
      findings.push_back(absl::StrCat(table.name(), ": relation ", declared.name, ": ", what));
    };
    const auto check = [&](const Table& of, const std::vector<std::string>& names) {
      for (const std::string& name : names) {
        if (of.FindColumn(name).has_value()) continue;
        add(absl::StrCat("table ", of.name(), " has no column ", name, DidYouMean(name, ColumnNames(of.schema()))));
      }
    };
    check(table, declared.columns);
    const auto related = tables.find(declared.table);
    if (related == tables.end()) continue;
    check(related->second, declared.references);
    for (size_t i = 0; i < std::min(declared.columns.size(), declared.references.size()); ++i) {
      const auto ours = table.FindColumn(declared.columns[i]);
      const auto theirs = related->second.FindColumn(declared.references[i]);
      if (!ours.has_value() || !theirs.has_value()) continue;
      const ColumnType& our_type = table.columns()[*ours].type;
      const ColumnType& their_type = related->second.columns()[*theirs].type;
      if (SameFamily(our_type, their_type)) continue;
      add(absl::StrCat("column ", declared.columns[i], " has type ", TypeName(our_type), " but ", declared.table, ".",
                       declared.references[i], " has type ", TypeName(their_type)));
    }
  }
  return findings;
}

}  // namespace quarry
