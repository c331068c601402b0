#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/merge/aggregate.h"
#include "core/model/like.h"

namespace quarry {
namespace {

bool Holds(CompareOp op, int compared) {
  switch (op) {
    case CompareOp::kEqual:
      return compared == 0;
    case CompareOp::kNotEqual:
      return compared != 0;
    case CompareOp::kLess:
      return compared < 0;
    case CompareOp::kLessOrEqual:
      return compared <= 0;
    case CompareOp::kGreater:
      return compared > 0;
    case CompareOp::kGreaterOrEqual:
      break;
  }
  return compared >= 0;
}

// `deciding` is what one child alone makes of the whole: false for AND, true for OR.
std::optional<bool> Join(const std::vector<Predicate>& children, const Row& row, bool deciding) {
  bool unknown = false;
  for (const Predicate& child : children) {
    const std::optional<bool> value = Evaluate(child, row);
    if (value == deciding) return deciding;
    if (!value.has_value()) unknown = true;
  }
  return unknown ? std::nullopt : std::optional<bool>(!deciding);
}

// `column` is not null.
std::optional<bool> EvaluateCompare(const Predicate& predicate, const Value& column,
                                    const Row& row) {
  const Value& other =
      predicate.other.has_value() ? row[predicate.other->position] : predicate.values[0];
  if (other.is_null()) return std::nullopt;
  return Holds(predicate.op, CompareValues(column, other));
}

// None of the values is null.
bool IsIn(const Value& column, const std::vector<Value>& values) {
  return std::any_of(values.begin(), values.end(),
                     [&column](const Value& one) { return CompareValues(column, one) == 0; });
}

}  // namespace

std::optional<bool> Evaluate(const Predicate& predicate, const Row& row) {
  switch (predicate.kind) {
    case Predicate::Kind::kTrue:
      return true;
    case Predicate::Kind::kFalse:
      return false;
    case Predicate::Kind::kAnd:
      return Join(predicate.children, row, false);
    case Predicate::Kind::kOr:
      return Join(predicate.children, row, true);
    case Predicate::Kind::kNot: {
      const std::optional<bool> value = Evaluate(predicate.children[0], row);
      return value.has_value() ? std::optional<bool>(!*value) : std::nullopt;
    }
    case Predicate::Kind::kIsNull:
      return row[predicate.column.position].is_null();
    case Predicate::Kind::kHas:
      return std::nullopt;  // The row tells nothing of rows elsewhere.
    case Predicate::Kind::kCompare:
    case Predicate::Kind::kIn:
    case Predicate::Kind::kLike:
    case Predicate::Kind::kPrefix:
      break;
  }
  const Value& column = row[predicate.column.position];
  if (column.is_null()) return std::nullopt;
  if (predicate.kind == Predicate::Kind::kCompare) return EvaluateCompare(predicate, column, row);
  if (predicate.kind == Predicate::Kind::kIn) return IsIn(column, predicate.values);
  const std::string& text = predicate.values[0].text();
  if (predicate.kind == Predicate::Kind::kLike) return MatchesLike(column.text(), text);
  return column.text().compare(0, text.size(), text) == 0;
}

}  // namespace quarry
