#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/did_you_mean.h"
#include "core/base/error.h"
#include "core/catalog/text_forms.h"
#include "core/model/like.h"
#include "core/model/order.h"
#include "core/plan/filter.h"
#include "core/plan/filter_lexer.h"
#include "core/plan/filter_values.h"

namespace quarry {
namespace {

// SQLite takes 32,766 parameters in a statement, and lists are padded.
constexpr size_t kListsMax = 3;

// Where columns are looked up: a table, or a list of columns.
struct Scope {
  const Table* table = nullptr;
  const std::vector<ColumnUse>* columns = nullptr;
  std::string_view what;  // Of a list: what it is.
};

struct FoundColumn {
  std::vector<const Relation*> way;  // To the column's table; empty: the scope itself.
  const Table* table = nullptr;      // Null for a column of a list.
  ColumnUse use;
  Column column;  // As values are checked against it.
};

Predicate Make(Predicate::Kind kind) {
  Predicate predicate;
  predicate.kind = kind;
  return predicate;
}

Predicate Not(Predicate inner) {
  Predicate predicate = Make(Predicate::Kind::kNot);
  predicate.children.push_back(std::move(inner));
  return predicate;
}

Predicate OnColumn(Predicate::Kind kind, const ColumnUse& column) {
  Predicate predicate = Make(kind);
  predicate.column = column;
  return predicate;
}

// Labels are compared as texts: their own order differs from one database to the other.
void TakeAsText(FoundColumn& found) {
  if (!found.column.enumeration || found.column.type.array) return;
  found.column.type = ColumnType{TypeKind::kText, false, "text"};
  found.use.type = found.column.type;
  found.use.byte_order = false;
  found.use.byte_equality = false;
}

class FilterCheck {
 public:
  FilterCheck(const Catalog* catalog, const FilterLimits& limits) : catalog_(catalog), limits_(limits) {}

  absl::StatusOr<Predicate> Run(const Condition& condition, const Scope& scope) {
    Predicate predicate = Check(condition, scope, true, 1);
    if (!violations_.empty()) return InvalidFields(std::move(violations_));
    return predicate;
  }

 private:
  void Add(const Condition& condition, std::string what) {
    violations_.push_back({condition.place.empty() ? "filter" : condition.place, std::move(what)});
  }

  // False, with a violation, when the condition would be one too many or too deep.
  bool WithinLimits(const Condition& condition, size_t depth) {
    if (depth > limits_.depth_max) {
      Add(condition, absl::StrCat("the filter is nested deeper than ", limits_.depth_max, " levels"));
      return false;
    }
    if (nodes_ == limits_.nodes_max) {
      Add(condition, absl::StrCat("the filter has more than ", limits_.nodes_max, " conditions; use IN for long lists"));
    }
    return ++nodes_ <= limits_.nodes_max;
  }

  // `positive`: what is unknown of a row may be taken for false; else, under a NOT, for true.
  Predicate Check(const Condition& condition, const Scope& scope, bool positive, size_t depth) {
    if (!WithinLimits(condition, depth)) return Make(Predicate::Kind::kFalse);
    switch (condition.kind) {
      case Condition::Kind::kAnd:
      case Condition::Kind::kOr: {
        Predicate all = Make(condition.kind == Condition::Kind::kAnd ? Predicate::Kind::kAnd : Predicate::Kind::kOr);
        if (condition.children.empty()) Add(condition, "has no condition to join");
        for (const Condition& child : condition.children) {
          if (nodes_ > limits_.nodes_max) break;
          all.children.push_back(Check(child, scope, positive, depth + 1));
        }
        return all;
      }
      case Condition::Kind::kNot:
        if (condition.children.size() != 1) {
          Add(condition, absl::StrCat("NOT takes one condition, not ", condition.children.size()));
          return Make(Predicate::Kind::kFalse);
        }
        return Not(Check(condition.children[0], scope, !positive, depth + 1));
      case Condition::Kind::kHas:
        return CheckHas(condition, scope, depth);
      default:
        return CheckColumn(condition, scope, positive, depth);
    }
  }

  // ---- Names ----

  std::vector<std::string> NamesIn(const Scope& scope) const {
    if (scope.table != nullptr) return ColumnNames(scope.table->schema());
    std::vector<std::string> names;
    for (const ColumnUse& use : *scope.columns) names.push_back(use.name);
    return names;
  }

  void NoSuchColumn(const Condition& condition, const Scope& scope, const std::string& name) {
    const std::string where = scope.table == nullptr ? std::string(scope.what) : absl::StrCat("table \"", scope.table->name(), "\"");
    if (name.empty()) return Add(condition, "names no column");
    Add(condition, absl::StrCat(where, scope.table == nullptr ? " have no column \"" : " has no column \"", ShownName(name), "\"",
                                DidYouMean(name, NamesIn(scope))));
  }

  // Goes along relations for as long as `name` begins with one and is no column (or, with `relation`, no relation) itself.
  // Nullopt, with a violation, when the way cannot be gone; else `name` is what is left.
  std::optional<std::vector<const Relation*>> Way(const Condition& condition, const Table*& table, std::string& name,
                                                  bool relation) {
    std::vector<const Relation*> way;
    const auto arrived = [&] {
      if (!relation) return table->FindColumn(name).has_value();
      return !absl::IsNotFound(catalog_->FindRelation(table->name(), name).status());
    };
    while (!arrived() && name.find('.') != std::string::npos) {
      absl::StatusOr<const Relation*> next = absl::NotFoundError("");
      size_t dot = name.find('.');
      for (; dot != std::string::npos && absl::IsNotFound(next.status()); dot = name.find('.', dot + 1)) {
        next = catalog_->FindRelation(table->name(), std::string_view(name).substr(0, dot));
        if (!absl::IsNotFound(next.status())) break;
      }
      if (absl::IsNotFound(next.status())) next = catalog_->FindRelation(table->name(), ShownName(name.substr(0, name.find('.'))));
      if (!Passable(condition, next)) return std::nullopt;
      if (way.size() == limits_.depth_max) {
        Add(condition, absl::StrCat("goes along more than ", limits_.depth_max, " relations"));
        return std::nullopt;
      }
      way.push_back(*next);
      table = &catalog_->tables().find((*next)->related_table)->second;
      name = name.substr(dot + 1);
    }
    return way;
  }

  bool Passable(const Condition& condition, const absl::StatusOr<const Relation*>& relation) {
    if (!relation.ok()) {
      Add(condition, std::string(relation.status().message()));
      return false;
    }
    const Relation& way = **relation;
    if (!way.same_shard) {
      Add(condition, absl::StrCat("relation \"", way.name, "\" of table \"", way.table, "\" cannot be used in a filter: ", way.apart));
    }
    return way.same_shard;
  }

  std::optional<FoundColumn> Find(const Condition& condition, const Scope& scope, std::string name) {
    FoundColumn found;
    if (scope.table == nullptr) {
      for (const ColumnUse& use : *scope.columns) {
        if (use.name != name) continue;
        found.use = use;
        found.column.name = use.name;
        found.column.type = use.type;
        found.column.nullable = use.nullable;
        return found;
      }
      NoSuchColumn(condition, scope, name);
      return std::nullopt;
    }
    found.table = scope.table;
    std::optional<std::vector<const Relation*>> way = Way(condition, found.table, name, false);
    if (!way.has_value()) return std::nullopt;
    const std::optional<size_t> position = found.table->FindColumn(name);
    if (!position.has_value()) {
      NoSuchColumn(condition, Scope{found.table, nullptr, ""}, name);
      return std::nullopt;
    }
    found.way = *std::move(way);
    found.use = UseOf(*found.table, *position);
    found.column = found.table->columns()[*position];
    return found;
  }

  // The predicate as it looks from where the way begins.
  Predicate Along(const std::vector<const Relation*>& way, Predicate predicate) {
    for (size_t i = way.size(); i-- > 0;) {
      const Relation& relation = *way[i];
      const Table& own = catalog_->tables().find(relation.table)->second;
      const Table& other = catalog_->tables().find(relation.related_table)->second;
      auto related = std::make_shared<RelatedRows>();
      related->table = other.name();
      for (size_t k = 0; k < relation.columns.size(); ++k) {
        related->join.emplace_back(UseOf(own, *own.FindColumn(relation.columns[k])),
                                   UseOf(other, *other.FindColumn(relation.related_columns[k])));
      }
      related->predicate = std::move(predicate);
      predicate = Make(Predicate::Kind::kHas);
      predicate.related = std::move(related);
    }
    return predicate;
  }

  // ---- Conditions ----

  Predicate CheckHas(const Condition& condition, const Scope& scope, size_t depth) {
    if (condition.children.size() > 1) Add(condition, "has() takes at most one condition; join several with AND or OR");
    if (scope.table == nullptr) {
      Add(condition, absl::StrCat("has() is for tables; ", std::string(scope.what), " have no relations"));
      return Make(Predicate::Kind::kFalse);
    }
    const Table* table = scope.table;
    std::string name = condition.column;
    std::optional<std::vector<const Relation*>> way = Way(condition, table, name, true);
    if (!way.has_value()) return Make(Predicate::Kind::kFalse);
    absl::StatusOr<const Relation*> last = catalog_->FindRelation(table->name(), ShownName(name));
    if (!Passable(condition, last)) return Make(Predicate::Kind::kFalse);
    way->push_back(*last);
    const Scope inner{&catalog_->tables().find((*last)->related_table)->second, nullptr, ""};
    Predicate predicate = Make(Predicate::Kind::kTrue);
    // Rows are related or not: within, what is unknown counts as false whatever stands around.
    if (!condition.children.empty()) predicate = Check(condition.children[0], inner, true, depth + way->size());
    return Along(*way, std::move(predicate));
  }

  Predicate CheckColumn(const Condition& condition, const Scope& scope, bool positive, size_t depth) {
    std::optional<FoundColumn> found = Find(condition, scope, condition.column);
    if (!found.has_value()) return Make(Predicate::Kind::kFalse);
    if (depth + found->way.size() > limits_.depth_max) {
      Add(condition, absl::StrCat("the filter is nested deeper than ", limits_.depth_max, " levels"));
      return Make(Predicate::Kind::kFalse);
    }
    if (!found->way.empty()) positive = true;
    Predicate predicate = CheckFound(condition, scope, *found, positive);
    return Along(found->way, std::move(predicate));
  }

  Predicate CheckFound(const Condition& condition, const Scope& scope, FoundColumn& found, bool positive) {
    if (condition.kind == Condition::Kind::kIsNull) return OnColumn(Predicate::Kind::kIsNull, found.use);
    TakeAsText(found);
    if (!HasOrder(found.column.type)) {
      Add(condition, absl::StrCat("column \"", found.column.name, "\" of type ", TypeName(found.column.type),
                                  " takes IS NULL and IS NOT NULL only: its values have no order that all databases share"));
      return Make(Predicate::Kind::kFalse);
    }
    switch (condition.kind) {
      case Condition::Kind::kIn:
        return CheckIn(condition, found, positive);
      case Condition::Kind::kBetween:
        return CheckBetween(condition, found, positive);
      case Condition::Kind::kLike:
      case Condition::Kind::kPrefix:
        return CheckPattern(condition, found, positive);
      default:
        break;
    }
    if (!condition.other_column.empty()) return CheckColumns(condition, scope, found);
    if (!TakesValues(condition, 1, "a comparison")) return Make(Predicate::Kind::kFalse);
    return CompareValue(condition, found, condition.op, condition.values[0], positive);
  }

  bool TakesValues(const Condition& condition, size_t count, const char* what) {
    if (condition.values.size() == count && condition.other_column.empty()) return true;
    Add(condition, absl::StrCat(what, " takes ", count, count == 1 ? " value" : " values", ", not ", condition.values.size(),
                                condition.other_column.empty() ? "" : " and no other column"));
    return false;
  }

  // True or false of every row whose column is not null.
  Predicate Constant(const FoundColumn& found, bool value, bool positive) {
    if (!found.use.nullable || value != positive) return Make(value ? Predicate::Kind::kTrue : Predicate::Kind::kFalse);
    Predicate is_null = OnColumn(Predicate::Kind::kIsNull, found.use);
    return value ? Not(std::move(is_null)) : is_null;
  }

  std::optional<Comparison> Checked(const Condition& condition, const FoundColumn& found, CompareOp op, const Value& value) {
    if (value.is_null()) {
      Add(condition, absl::StrCat("column \"", found.column.name, "\": NULL equals nothing; use IS NULL or IS NOT NULL"));
      return std::nullopt;
    }
    absl::StatusOr<Comparison> comparison = CompareWith(found.column, op, value);
    if (comparison.ok()) return *std::move(comparison);
    Add(condition, std::string(comparison.status().message()));
    return std::nullopt;
  }

  Predicate CompareValue(const Condition& condition, const FoundColumn& found, CompareOp op, const Value& value, bool positive) {
    std::optional<Comparison> comparison = Checked(condition, found, op, value);
    if (!comparison.has_value()) return Make(Predicate::Kind::kFalse);
    if (comparison->outcome != Comparison::Outcome::kCompare) {
      return Constant(found, comparison->outcome == Comparison::Outcome::kAlways, positive);
    }
    Predicate predicate = OnColumn(Predicate::Kind::kCompare, found.use);
    predicate.op = comparison->op;
    predicate.values.push_back(std::move(comparison->value));
    return predicate;
  }

  Predicate CheckBetween(const Condition& condition, const FoundColumn& found, bool positive) {
    if (!TakesValues(condition, 2, "BETWEEN")) return Make(Predicate::Kind::kFalse);
    Predicate both = Make(Predicate::Kind::kAnd);
    both.children.push_back(CompareValue(condition, found, CompareOp::kGreaterOrEqual, condition.values[0], positive));
    both.children.push_back(CompareValue(condition, found, CompareOp::kLessOrEqual, condition.values[1], positive));
    return both;
  }

  Predicate CheckIn(const Condition& condition, const FoundColumn& found, bool positive) {
    list_values_ += condition.values.size();
    if (condition.values.size() > limits_.list_max || list_values_ > kListsMax * limits_.list_max) {
      Add(condition, absl::StrCat("a list has at most ", limits_.list_max, " values, and all lists together ",
                                  kListsMax * limits_.list_max, "; ask in several calls"));
      return Make(Predicate::Kind::kFalse);
    }
    if (condition.values.empty()) return Make(Predicate::Kind::kFalse);
    Predicate in = OnColumn(Predicate::Kind::kIn, found.use);
    in.values.reserve(condition.values.size());
    for (const Value& value : condition.values) {
      std::optional<Comparison> comparison = Checked(condition, found, CompareOp::kEqual, value);
      if (!comparison.has_value()) return Make(Predicate::Kind::kFalse);
      if (comparison->outcome == Comparison::Outcome::kCompare) in.values.push_back(std::move(comparison->value));
    }
    if (in.values.empty()) return Constant(found, false, positive);
    return in;
  }

  Predicate CheckPattern(const Condition& condition, const FoundColumn& found, bool positive) {
    const bool like = condition.kind == Condition::Kind::kLike;
    const char* const what = like ? "LIKE" : "starts_with";
    if (!TakesValues(condition, 1, what)) return Make(Predicate::Kind::kFalse);
    const Value& value = condition.values[0];
    std::string problem;
    if (!IsText(found.column.type)) {
      problem = absl::StrCat(what, " is for text columns; column \"", found.column.name, "\" is of type ", TypeName(found.column.type));
    } else if (value.kind() != ValueKind::kText) {
      problem = absl::StrCat(what, " takes a text, not ", ValueKindName(value.kind()));
    } else if (!IsValidText(value.text())) {
      problem = "the text is not valid UTF-8 or holds a NUL";
    } else if (like && !IsLikePattern(value.text())) {
      problem = "the pattern ends in a backslash that escapes nothing; write \\\\ for a backslash";
    }
    if (!problem.empty()) {
      Add(condition, std::move(problem));
      return Make(Predicate::Kind::kFalse);
    }
    if (!like && value.text().empty()) return Constant(found, true, positive);
    Predicate predicate = OnColumn(like ? Predicate::Kind::kLike : Predicate::Kind::kPrefix, found.use);
    predicate.values.push_back(value);
    return predicate;
  }

  Predicate CheckColumns(const Condition& condition, const Scope& scope, const FoundColumn& found) {
    if (!condition.values.empty()) Add(condition, "compares with a value and with a column; give one of them");
    std::optional<FoundColumn> other = Find(condition, scope, condition.other_column);
    if (!other.has_value()) return Make(Predicate::Kind::kFalse);
    TakeAsText(*other);
    if (other->way != found.way) {
      Add(condition, absl::StrCat("columns \"", ShownName(condition.column), "\" and \"", ShownName(condition.other_column),
                                  "\" are of different tables; only columns of one table can be compared with each other"));
    } else if (!HasOrder(other->column.type) || !SameFamily(found.column.type, other->column.type)) {
      Add(condition, absl::StrCat("column \"", found.column.name, "\" of type ", TypeName(found.column.type),
                                  " cannot be compared with column \"", other->column.name, "\" of type ",
                                  TypeName(other->column.type), ": both must be of one type, or both integers, or both floats"));
    }
    Predicate predicate = OnColumn(Predicate::Kind::kCompare, found.use);
    predicate.op = condition.op;
    predicate.other = other->use;
    return predicate;
  }

  const Catalog* const catalog_;  // Null where there are no tables.
  const FilterLimits& limits_;
  std::vector<FieldViolation> violations_;
  size_t nodes_ = 0;
  size_t list_values_ = 0;
};

}  // namespace

ColumnUse UseOf(const Table& table, size_t position) {
  const Column& column = table.columns()[position];
  const std::string& declared = column.type.native_name;
  ColumnUse use;
  use.position = position;
  use.name = column.name;
  use.type = column.type;
  use.nullable = column.nullable;
  use.byte_order = column.byte_order && column.deterministic_text;
  // PostgreSQL would cut what they are compared with to 63 bytes and to one.
  use.byte_equality = column.deterministic_text && declared != "name" && declared != "\"char\"";
  return use;
}

absl::StatusOr<Predicate> CheckFilter(const Condition& condition, const Table& table, const Catalog& catalog,
                                      const FilterLimits& limits) {
  return FilterCheck(&catalog, limits).Run(condition, Scope{&table, nullptr, ""});
}

absl::StatusOr<Predicate> CheckCondition(const Condition& condition, const std::vector<ColumnUse>& columns,
                                         std::string_view what, const FilterLimits& limits) {
  return FilterCheck(nullptr, limits).Run(condition, Scope{nullptr, &columns, what});
}

}  // namespace quarry
