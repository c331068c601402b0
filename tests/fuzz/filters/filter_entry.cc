#include "tests/fuzz/filters/filter_entry.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/catalog/text_forms.h"
#include "core/plan/filter.h"

namespace quarry {
namespace {

Catalog MakeCatalog() {
  const auto column = [](std::string name, TypeKind kind) {
    Column made;
    made.name = std::move(name);
    made.type.kind = kind;
    return made;
  };
  TableSchema schema;
  schema.name = "t";
  schema.columns = {column("a", TypeKind::kInt16), column("b", TypeKind::kText), column("c", TypeKind::kDecimal),
                    column("d", TypeKind::kTimestampTz), column("e", TypeKind::kDouble), column("f", TypeKind::kJson)};
  schema.primary_key = {"a"};
  schema.foreign_keys = {{"t_fk", {"a"}, "t", {"a"}}};
  TableDeclaration declaration;
  declaration.name = "t";
  declaration.kind = TableKind::kSingle;
  declaration.shard = "s0";
  return Catalog({Table(declaration, schema)});
}

void CheckError(const absl::Status& status) {
  if (ReasonOf(status).empty() || status.message().empty() || !IsValidText(std::string(status.message()))) std::abort();
}

}  // namespace

bool FuzzFilter(std::string_view text) {
  static const Catalog catalog = MakeCatalog();
  const FilterLimits limits;
  const std::map<std::string, Value> params;
  const absl::StatusOr<Condition> condition = ParseFilter(text, params, limits, "filter");
  if (!condition.ok()) {
    CheckError(condition.status());
    return false;
  }
  const absl::StatusOr<Predicate> predicate = CheckFilter(*condition, catalog.tables().begin()->second, catalog, limits);
  if (!predicate.ok()) {
    CheckError(predicate.status());
    return false;
  }
  for (const Dialect dialect : {Dialect::kPostgres, Dialect::kSqlite}) {
    SqlText sql(dialect);
    WritePredicate(*predicate, "t0", sql);
    const Statement statement = std::move(sql).Take();
    const char mark = dialect == Dialect::kPostgres ? '$' : '?';
    const auto marks = std::count(statement.sql->begin(), statement.sql->end(), mark);
    if (static_cast<size_t>(marks) != statement.params.size()) std::abort();
  }
  return true;
}

}  // namespace quarry
