#include <algorithm>
#include <optional>

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
      return compared >= 0;
  }
  return false;
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

std::optional<bool> EvaluateIn(const Predicate& predicate, const Value& value) {
  bool unknown = false;
  for (const Value& candidate : predicate.values) {
    if (candidate.is_null()) {
      unknown = true;
    } else if (CompareValues(value, candidate) == 0) {
      return true;
    }
  }
  return unknown ? std::nullopt : std::optional<bool>(false);
}

// Of the kinds that look at one column, which is not null.
std::optional<bool> EvaluateColumn(const Predicate& predicate, const Value& value, const Row& row) {
  switch (predicate.kind) {
    case Predicate::Kind::kCompare: {
      const Value& other = predicate.other.has_value() ? row[predicate.other->position] : predicate.values[0];
      if (other.is_null()) return std::nullopt;
      return Holds(predicate.op, CompareValues(value, other));
    }
    case Predicate::Kind::kIn:
      return EvaluateIn(predicate, value);
    case Predicate::Kind::kLike:
      return MatchesLike(value.text(), predicate.values[0].text());
    case Predicate::Kind::kPrefix:
      return value.text().compare(0, predicate.values[0].text().size(), predicate.values[0].text()) == 0;
    default:
      return std::nullopt;
  }
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
      return std::nullopt;
    default: {
      const Value& value = row[predicate.column.position];
      if (value.is_null()) return std::nullopt;
      return EvaluateColumn(predicate, value, row);
    }
  }
}

}  // namespace quarry
