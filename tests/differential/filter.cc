#include "tests/differential/filter.h"

#include <algorithm>

#include "absl/strings/str_replace.h"

namespace quarry::differential {
namespace {

const std::vector<CompareOp> kOps = {CompareOp::kEqual,   CompareOp::kEqual,          CompareOp::kNotEqual, CompareOp::kLess,
                                     CompareOp::kLessOrEqual, CompareOp::kGreater, CompareOp::kGreaterOrEqual};

bool IsInteger(TypeKind kind) { return kind == TypeKind::kInt16 || kind == TypeKind::kInt32 || kind == TypeKind::kInt64; }

Value ValueFor(const Scope& scope, size_t column, Dice& dice) {
  if (scope.table != nullptr && !scope.table->rows.empty() && dice.Percent(65)) {
    const Value& value = dice.Pick(scope.table->rows)[column];
    if (!value.is_null()) return value;
  }
  ValueType type = scope.columns[column].type;
  // A number of another type, or one beyond the column's own range, is a fair question.
  if (dice.Percent(8)) {
    if (IsInteger(type.kind)) return AnyValue({TypeKind::kDecimal}, dice);
    if (type.kind == TypeKind::kDecimal || type.kind == TypeKind::kDouble) return AnyValue({TypeKind::kInt16}, dice);
  }
  if (IsInteger(type.kind) && dice.Percent(10)) type.kind = TypeKind::kInt64;
  return AnyValue(type, dice);
}

// A pattern that some texts match: pieces of one, with wild characters between.
std::string PatternOf(const std::string& text, Dice& dice) {
  std::string pattern;
  for (size_t at = 0; at < text.size();) {
    size_t next = at + 1;
    while (next < text.size() && (static_cast<unsigned char>(text[next]) & 0xc0) == 0x80) ++next;
    const std::string character = text.substr(at, next - at);
    at = next;
    if (dice.Percent(15)) {
      pattern += "_";
    } else if (dice.Percent(15)) {
      pattern += "%";
    } else {
      pattern += dice.Percent(80) ? absl::StrReplaceAll(character, {{"%", "\\%"}, {"_", "\\_"}, {"\\", "\\\\"}}) : character;
    }
  }
  // A backslash that escapes nothing is an error in PostgreSQL.
  size_t backslashes = 0;
  while (backslashes < pattern.size() && pattern[pattern.size() - 1 - backslashes] == '\\') ++backslashes;
  if (backslashes % 2 == 1) pattern += "\\";
  if (dice.Percent(20)) pattern.insert(0, "%");
  if (dice.Percent(30)) pattern += "%";
  return pattern;
}

// A condition on one column of `scope`.
Filter AnyLeaf(const Scope& scope, Dice& dice) {
  Filter leaf;
  leaf.column = static_cast<size_t>(dice.Below(static_cast<int64_t>(scope.columns.size())));
  const bool keyed = scope.table != nullptr && dice.Percent(25);  // What decides about shards is asked for more often.
  if (keyed) leaf.column = dice.Pick(scope.table->primary_key);
  const int kind = dice.Below(100);
  leaf.op = dice.Pick(kOps);
  if (scope.columns[leaf.column].type.kind == TypeKind::kText && kind < 35) {
    leaf.kind = kind < 25 ? Filter::Kind::kLike : Filter::Kind::kPrefix;
    const std::string text = ValueFor(scope, leaf.column, dice).text();
    leaf.values.push_back(Value::Text(kind < 25 ? PatternOf(text, dice) : text));
    return leaf;
  }
  if (kind < 15) {
    leaf.kind = Filter::Kind::kIsNull;
  } else if (kind < 30) {
    leaf.kind = Filter::Kind::kIn;
    for (int count = dice.Percent(4) ? 40 + dice.Below(200) : dice.Below(6); count > 0; --count) leaf.values.push_back(ValueFor(scope, leaf.column, dice));
  } else if (kind < 42) {
    leaf.kind = Filter::Kind::kBetween;
    for (int i = 0; i < 2; ++i) leaf.values.push_back(ValueFor(scope, leaf.column, dice));
  } else {
    leaf.kind = Filter::Kind::kCompare;
    leaf.values.push_back(ValueFor(scope, leaf.column, dice));
  }
  return leaf;
}

// Columns of one type, where the scope has two.
bool MakeColumnComparison(const Scope& scope, Filter& leaf, Dice& dice) {
  std::vector<size_t> others;
  const ValueType& type = scope.columns[leaf.column].type;
  if (type.profile == Profile::kWhole || type.profile == Profile::kQuotient) return false;
  for (size_t at = 0; at < scope.columns.size(); ++at) {
    const ValueType& theirs = scope.columns[at].type;
    const bool integers = IsInteger(type.kind) && IsInteger(theirs.kind);
    // Plain and wide decimals are kept in unlike ways by the reference.
    const bool alike = type.kind == theirs.kind && (type.kind != TypeKind::kDecimal || type.profile == theirs.profile);
    if (at != leaf.column && (integers || alike)) others.push_back(at);
  }
  if (others.empty()) return false;
  leaf.kind = Filter::Kind::kCompareColumns;
  leaf.other = dice.Pick(others);
  leaf.values.clear();
  return true;
}

// Positions of the relations that a filter may use.
std::vector<int> UsableRelations(const Scope& scope) {
  std::vector<int> relations;
  for (size_t i = 0; scope.table != nullptr && i < scope.table->relations.size(); ++i) {
    if (!scope.table->relations[i].apart) relations.push_back(static_cast<int>(i));
  }
  return relations;
}

Filter AnyRelated(const Scope& scope, int depth, Dice& dice) {
  Filter filter;
  filter.relation = dice.Pick(UsableRelations(scope));
  const Scope related = RelatedScope(scope, filter.relation);
  if (dice.Percent(40)) {
    const int relation = filter.relation;
    filter = AnyLeaf(related, dice);
    filter.relation = relation;
    return filter;
  }
  filter.kind = Filter::Kind::kHas;
  if (dice.Percent(75)) filter.children.push_back(AnyFilter(related, std::min(depth - 1, 1), dice));
  return filter;
}

}  // namespace

Scope ScopeOf(const Schema& schema, const TestTable& table) { return {&schema, &table, table.columns}; }

Scope RelatedScope(const Scope& scope, int relation) {
  return ScopeOf(*scope.schema, scope.schema->tables[scope.table->relations[static_cast<size_t>(relation)].table]);
}

Filter AnyFilter(const Scope& scope, int depth, Dice& dice) {
  if (depth > 0 && dice.Percent(55)) {
    Filter filter;
    const int kind = dice.Below(10);
    filter.kind = kind < 4 ? Filter::Kind::kAnd : kind < 8 ? Filter::Kind::kOr : Filter::Kind::kNot;
    const int children = filter.kind == Filter::Kind::kNot ? 1 : 1 + dice.Below(3);
    for (int i = 0; i < children; ++i) filter.children.push_back(AnyFilter(scope, depth - 1, dice));
    return filter;
  }
  if (depth > 0 && !UsableRelations(scope).empty() && dice.Percent(12)) return AnyRelated(scope, depth, dice);
  Filter leaf = AnyLeaf(scope, dice);
  if (dice.Percent(10)) MakeColumnComparison(scope, leaf, dice);
  return leaf;
}

Filter Negated(Filter filter) {
  Filter negated;
  negated.kind = Filter::Kind::kNot;
  negated.children.push_back(std::move(filter));
  return negated;
}

// By parts: an AND is unknown when none of its parts is false and some part is unknown; an OR when none is true.
Filter UnknownOf(const Filter& filter) {
  const auto null = [](size_t column) {
    Filter is_null;
    is_null.kind = Filter::Kind::kIsNull;
    is_null.column = column;
    return is_null;
  };
  Filter never;
  never.kind = Filter::Kind::kIn;
  switch (filter.kind) {
    case Filter::Kind::kNot:
      return UnknownOf(filter.children[0]);
    case Filter::Kind::kIsNull:
      return never;
    case Filter::Kind::kIn:
      return filter.values.empty() ? never : null(filter.column);
    case Filter::Kind::kCompareColumns: {
      Filter either;
      either.kind = Filter::Kind::kOr;
      either.children = {null(filter.column), null(filter.other)};
      return either;
    }
    case Filter::Kind::kAnd:
    case Filter::Kind::kOr: {
      Filter some;
      some.kind = Filter::Kind::kOr;
      Filter all;
      all.kind = Filter::Kind::kAnd;
      for (const Filter& child : filter.children) {
        some.children.push_back(UnknownOf(child));
        Filter undecided;
        undecided.kind = Filter::Kind::kOr;
        undecided.children = {filter.kind == Filter::Kind::kAnd ? child : Negated(child), UnknownOf(child)};
        all.children.push_back(std::move(undecided));
      }
      all.children.push_back(std::move(some));
      return all;
    }
    // PostgreSQL's BETWEEN is two comparisons: one of them is false or both are unknown.
    default:
      return null(filter.column);
  }
}

bool UsesRelations(const Filter& filter) {
  return filter.relation >= 0 || std::any_of(filter.children.begin(), filter.children.end(), UsesRelations);
}

}  // namespace quarry::differential
