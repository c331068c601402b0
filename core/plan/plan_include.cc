#include "core/plan/plan_include.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/plan/filter.h"
#include "core/plan/lowering.h"

namespace quarry {
namespace {

// A relation that some path names, before its columns are known.
struct Named {
  std::optional<size_t> parent;
  const Relation* relation = nullptr;
  const Table* related = nullptr;
  const Include* include = nullptr;  // Null until the path itself is asked for.
  size_t depth = 1;
};

// The tree of all paths, parents first.
class Tree {
 public:
  Tree(const Table& table, const Catalog& catalog, const IncludeLimits& limits)
      : table_(table), catalog_(catalog), limits_(limits) {}

  void Add(const Include& include, const std::string& field) {
    const std::vector<std::string> names = absl::StrSplit(include.relation, '.');
    if (names.size() > limits_.depth_max) {
      return Refuse(field, absl::StrCat("goes ", names.size(), " relations deep; at most ", limits_.depth_max));
    }
    std::optional<size_t> at;
    std::string path;
    for (const std::string& name : names) {
      absl::StrAppend(&path, path.empty() ? "" : ".", name);
      const auto known = by_path_.find(path);
      if (known == by_path_.end()) {
        const absl::Status added = Append(at, name, path);
        if (!added.ok()) return Refuse(field, std::string(added.message()));
        at = named_.size() - 1;
      } else {
        at = known->second;
      }
    }
    if (named_[*at].include != nullptr) return Refuse(field, absl::StrCat("includes ", path, " twice"));
    named_[*at].include = &include;
  }

  void RequireParents() {
    for (size_t i = 0; i < named_.size() && violations_.empty(); ++i) {
      if (named_[i].include == nullptr) {
        Refuse("includes", absl::StrCat("has a relation of ", paths_[i], ", whose rows are not loaded: include ", paths_[i], " too"));
      }
    }
  }
  const std::vector<Named>& named() const { return named_; }
  const std::string& path(size_t step) const { return paths_[step]; }
  std::vector<FieldViolation>& violations() { return violations_; }

 private:
  absl::Status Append(std::optional<size_t> parent, const std::string& name, const std::string& path) {
    const Table& from = parent.has_value() ? *named_[*parent].related : table_;
    if (named_.size() >= limits_.steps_max) {
      return absl::InvalidArgumentError(
          absl::StrCat("is one relation too many; at most ", limits_.steps_max, " are loaded at once"));
    }
    QUARRY_ASSIGN_OR_RETURN(const Relation* const relation, catalog_.FindRelation(from.name(), name));
    QUARRY_ASSIGN_OR_RETURN(const Table* const related, catalog_.FindTable(relation->related_table));
    if (!relation->same_shard && !FoundByKey(*relation, *related)) {
      return absl::InvalidArgumentError(absl::StrCat("cannot be loaded beside its parents: ", relation->apart));
    }
    Named step;
    step.parent = parent;
    step.relation = relation;
    step.related = related;
    step.depth = parent.has_value() ? named_[*parent].depth + 1 : 1;
    by_path_[path] = named_.size();
    named_.push_back(step);
    paths_.push_back(path);
    return absl::OkStatus();
  }

  // Then each row is read where its key lives.
  static bool FoundByKey(const Relation& relation, const Table& related) {
    std::vector<std::string> key;
    for (const size_t column : related.primary_key()) key.push_back(related.columns()[column].name);
    std::vector<std::string> joined = relation.related_columns;
    std::sort(key.begin(), key.end());
    std::sort(joined.begin(), joined.end());
    return key == joined;
  }

  void Refuse(const std::string& field, std::string why) { violations_.push_back({field, std::move(why)}); }

  const Table& table_;
  const Catalog& catalog_;
  const IncludeLimits& limits_;
  std::vector<Named> named_;
  std::vector<std::string> paths_;
  std::map<std::string, size_t> by_path_;
  std::vector<FieldViolation> violations_;
};

// The position of `column` in `columns`, which gets it where it is missing.
size_t PositionIn(std::vector<size_t>& columns, size_t column) {
  const auto at = std::find(columns.begin(), columns.end(), column);
  if (at == columns.end()) columns.push_back(column);
  return static_cast<size_t>(std::find(columns.begin(), columns.end(), column) - columns.begin());
}

size_t PositionIn(std::vector<std::string>& columns, const std::string& column) {
  const auto at = std::find(columns.begin(), columns.end(), column);
  if (at == columns.end()) columns.push_back(column);
  return static_cast<size_t>(std::find(columns.begin(), columns.end(), column) - columns.begin());
}

RowHeader HeaderOf(const Table& table, const std::vector<size_t>& columns) {
  auto header = std::make_shared<std::vector<ColumnHeader>>();
  for (const size_t column : columns) header->push_back((*table.header())[column]);
  return header;
}

}  // namespace

absl::StatusOr<IncludePlan> PlanIncludes(const std::vector<Include>& includes, const Table& table,
                                         const std::vector<std::string>& page_columns, const Catalog& catalog,
                                         const IncludeLimits& limits) {
  Tree tree(table, catalog, limits);
  for (size_t i = 0; i < includes.size(); ++i) tree.Add(includes[i], absl::StrCat("includes[", i, "].relation"));
  tree.RequireParents();
  if (!tree.violations().empty()) return InvalidFields(std::move(tree.violations()));
  IncludePlan plan;
  plan.page_columns = page_columns;
  if (page_columns.empty() || (page_columns.size() == 1 && page_columns.front() == "*")) {
    plan.page_columns.clear();
    for (const Column& column : table.columns()) plan.page_columns.push_back(column.name);
  }
  plan.page_visible = plan.page_columns.size();
  for (size_t i = 0; i < tree.named().size(); ++i) {
    const Named& named = tree.named()[i];
    IncludeStep step;
    step.path = tree.path(i);
    step.parent = named.parent;
    step.relation = named.relation;
    step.related = named.related;
    step.by_key = !named.relation->same_shard;
    step.item = static_cast<size_t>(named.include - includes.data());
    step.rows_per_parent = named.include->rows_max > 0 ? named.include->rows_max : limits.rows_per_parent;
    absl::StatusOr<std::vector<size_t>> columns =
        CheckColumns(*named.related, named.include->columns, absl::StrCat("includes[", step.item, "].columns"));
    if (!columns.ok()) {
      const ErrorDetail detail = DetailOf(columns.status());
      tree.violations().insert(tree.violations().end(), detail.violations.begin(), detail.violations.end());
      continue;
    }
    step.columns = *std::move(columns);
    step.visible = step.columns.size();
    step.header = HeaderOf(*named.related, step.columns);
    for (const std::string& name : named.relation->related_columns) {
      step.join_positions.push_back(PositionIn(step.columns, *named.related->FindColumn(name)));
    }
    plan.steps.push_back(std::move(step));
  }
  if (!tree.violations().empty()) return InvalidFields(std::move(tree.violations()));
  for (IncludeStep& step : plan.steps) {
    for (const std::string& name : step.relation->columns) {
      if (!step.parent.has_value()) {
        step.key_positions.push_back(PositionIn(plan.page_columns, name));
        continue;
      }
      IncludeStep& parent = plan.steps[*step.parent];
      step.key_positions.push_back(PositionIn(parent.columns, *parent.related->FindColumn(name)));
    }
  }
  return plan;
}

Statement IncludeStatement(const IncludeStep& step, absl::Span<const Key> keys, int64_t rows_max, Dialect dialect) {
  const Table& table = *step.related;
  const std::string alias = "t0";
  std::string columns;
  auto types = std::make_shared<std::vector<ColumnType>>();
  for (const size_t column : step.columns) {
    absl::StrAppend(&columns, columns.empty() ? "" : ", ", alias, ".", QuoteIdentifier(table.columns()[column].name));
    types->push_back(table.columns()[column].type);
  }
  std::string joined;
  std::vector<ColumnType> key_types;
  for (const std::string& name : step.relation->related_columns) {
    absl::StrAppend(&joined, joined.empty() ? "" : ", ", alias, ".", QuoteIdentifier(name));
    key_types.push_back(table.columns()[*table.FindColumn(name)].type);
  }
  SqlText sql(dialect);
  sql << "SELECT " << columns << " FROM " << QuoteTable(table.name(), dialect) << " AS " << alias << " WHERE (" << joined
      // PostgreSQL takes parameters of VALUES for text; SQLite takes no other list of rows.
      << (dialect == Dialect::kPostgres ? ") IN (" : ") IN (VALUES ");
  // Few texts for all numbers of keys: the last key fills the list up.
  size_t size = 1;
  while (size < keys.size()) size *= 2;
  for (size_t i = 0; i < size; ++i) {
    const Key& key = keys[std::min(i, keys.size() - 1)];
    sql << (i == 0 ? "(" : ", (");
    for (size_t part = 0; part < key.size(); ++part) {
      if (part > 0) sql << ", ";
      sql.Bind(key[part], key_types[part]);
    }
    sql << ")";
  }
  sql << ") ORDER BY ";
  for (size_t i = 0; i < table.primary_key().size(); ++i) {
    if (i > 0) sql << ", ";
    sql << OrderedColumn(UseOf(table, table.primary_key()[i]), alias, dialect);
  }
  ColumnType count;
  count.kind = TypeKind::kInt64;
  sql << " LIMIT ";
  sql.Bind(Value::Int64(rows_max), count);
  Statement statement = std::move(sql).Take();
  statement.result_types = std::move(types);
  statement.returns_rows = true;
  return statement;
}

}  // namespace quarry
