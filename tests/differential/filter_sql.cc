#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/differential/filter.h"

namespace quarry::differential {
namespace {

const char* SqlOp(CompareOp op) {
  static const char* const kOps[] = {" = ", " <> ", " < ", " <= ", " > ", " >= "};
  return kOps[static_cast<size_t>(op)];
}

class SqlWriter {
 public:
  SqlWriter(bool postgres, bool& cannot) : postgres_(postgres), cannot_(cannot) {}

  std::string Write(const Filter& filter, const Scope& scope, const std::string& alias) {
    switch (filter.kind) {
      case Filter::Kind::kAnd:
      case Filter::Kind::kOr: {
        std::vector<std::string> parts;
        for (const Filter& child : filter.children) parts.push_back(absl::StrCat("(", Write(child, scope, alias), ")"));
        return absl::StrJoin(parts, filter.kind == Filter::Kind::kAnd ? " AND " : " OR ");
      }
      case Filter::Kind::kNot:
        return absl::StrCat("NOT (", Write(filter.children[0], scope, alias), ")");
      default:
        return filter.relation < 0 ? Leaf(filter, scope, alias) : Exists(filter, scope, alias);
    }
  }

 private:
  std::string Exists(const Filter& filter, const Scope& scope, const std::string& alias) {
    const TestRelation& relation = scope.table->relations[static_cast<size_t>(filter.relation)];
    const Scope related = RelatedScope(scope, filter.relation);
    const std::string inner = absl::StrCat("x", ++aliases_);
    std::vector<std::string> parts;
    for (const auto& [ours, theirs] : relation.join) {
      parts.push_back(absl::StrCat(inner, ".", Quoted(related.columns[theirs].name), " = ", alias, ".", Quoted(scope.columns[ours].name)));
    }
    if (filter.kind != Filter::Kind::kHas) {
      parts.push_back(Leaf(filter, related, inner));
    } else if (!filter.children.empty()) {
      parts.push_back(absl::StrCat("(", Write(filter.children[0], related, inner), ")"));
    }
    return absl::StrCat("EXISTS (SELECT 1 FROM ", Quoted(related.table->name), " AS ", inner, " WHERE ", absl::StrJoin(parts, " AND "), ")");
  }

  std::string Leaf(const Filter& filter, const Scope& scope, const std::string& alias) {
    const TestColumn& column = scope.columns[filter.column];
    if (column.type.profile == Profile::kQuotient && !postgres_ && filter.kind != Filter::Kind::kIsNull) cannot_ = true;
    const std::string name = ColumnSql(column, alias, postgres_);
    const auto value = [&](size_t i) { return LiteralFor(filter.values[i], column.type, postgres_); };
    switch (filter.kind) {
      case Filter::Kind::kCompare:
        return absl::StrCat(name, SqlOp(filter.op), value(0));
      case Filter::Kind::kCompareColumns:
        return absl::StrCat(name, SqlOp(filter.op), ColumnSql(scope.columns[filter.other], alias, postgres_));
      case Filter::Kind::kIn: {
        if (filter.values.empty()) return "1 = 0";
        std::vector<std::string> values;
        for (size_t i = 0; i < filter.values.size(); ++i) values.push_back(value(i));
        return absl::StrCat(name, " IN (", absl::StrJoin(values, ", "), ")");
      }
      case Filter::Kind::kBetween:
        return absl::StrCat(name, " BETWEEN ", value(0), " AND ", value(1));
      case Filter::Kind::kLike:
        return absl::StrCat(name, " LIKE ", value(0), postgres_ ? "" : " ESCAPE '\\'");
      case Filter::Kind::kPrefix:
        return postgres_ ? absl::StrCat("starts_with(", name, ", ", value(0), ")")
                         : absl::StrCat("substr(", name, ", 1, length(", value(0), ")) = ", value(0));
      default:
        return absl::StrCat(name, " IS NULL");
    }
  }

  const bool postgres_;
  bool& cannot_;
  int aliases_ = 0;
};

}  // namespace

std::string FilterSql(const Filter& filter, const Scope& scope, const std::string& alias, bool postgres, bool& cannot) {
  return SqlWriter(postgres, cannot).Write(filter, scope, alias);
}

std::string ColumnSql(const TestColumn& column, const std::string& alias, bool postgres) {
  const std::string name = absl::StrCat(alias, ".", Quoted(column.name));
  return postgres && column.type.kind == TypeKind::kText ? absl::StrCat(name, " COLLATE \"C\"") : name;
}

}  // namespace quarry::differential
