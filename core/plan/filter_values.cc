#include "core/plan/filter_values.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "core/catalog/coerce.h"
#include "core/catalog/text_forms.h"
#include "core/model/decimal.h"

namespace quarry {
namespace {

Comparison Compare(CompareOp op, Value value) { return {Comparison::Outcome::kCompare, op, std::move(value)}; }

Comparison Always(bool always) {
  return {always ? Comparison::Outcome::kAlways : Comparison::Outcome::kNever, CompareOp::kEqual, Value()};
}

bool AsksLess(CompareOp op) { return op == CompareOp::kLess || op == CompareOp::kLessOrEqual; }
bool AsksGreater(CompareOp op) { return op == CompareOp::kGreater || op == CompareOp::kGreaterOrEqual; }

// With a value greater than all that the column can hold, and with one that is less.
Comparison Above(CompareOp op) { return Always(AsksLess(op) || op == CompareOp::kNotEqual); }
Comparison Below(CompareOp op) { return Always(AsksGreater(op) || op == CompareOp::kNotEqual); }

// With a value that lies between two neighbours among those that the column can hold.
Comparison Between(CompareOp op, Value lower, Value upper) {
  if (AsksLess(op)) return Compare(CompareOp::kLessOrEqual, std::move(lower));
  if (AsksGreater(op)) return Compare(CompareOp::kGreaterOrEqual, std::move(upper));
  return Always(op == CompareOp::kNotEqual);
}

struct Bounds {
  int64_t min;
  int64_t max;
};

Bounds BoundsOf(TypeKind kind) {
  if (kind == TypeKind::kInt16) return {std::numeric_limits<int16_t>::min(), std::numeric_limits<int16_t>::max()};
  if (kind == TypeKind::kInt32) return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
  return {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
}

// An integer, or the greatest one below a number that is none.
struct Floor {
  int64_t whole = 0;
  bool exact = true;
  int beyond = 0;  // 1 or -1: above or below all integers of 64 bits; NaN is above.
};

Floor FloorOf(double number) {
  if (std::isnan(number) || number >= 0x1p63) return {0, true, 1};
  if (number < -0x1p63) return {0, true, -1};
  const double whole = std::floor(number);
  return {static_cast<int64_t>(whole), whole == number, 0};
}

// Of a canonical decimal.
Floor FloorOf(const std::string& decimal) {
  if (decimal == "NaN" || decimal == "Infinity") return {0, true, 1};
  const bool negative = decimal.front() == '-';
  if (decimal == "-Infinity") return {0, true, -1};
  const size_t point = std::min(decimal.find('.'), decimal.size());
  Floor floor;
  floor.exact = decimal.find_first_not_of('0', std::min(point + 1, decimal.size())) == std::string::npos;
  const bool fits = absl::SimpleAtoi(decimal.substr(0, point), &floor.whole);
  if (!fits) return {0, true, negative ? -1 : 1};
  if (negative && !floor.exact) {
    if (floor.whole == std::numeric_limits<int64_t>::min()) return {0, true, -1};
    --floor.whole;
  }
  return floor;
}

absl::StatusOr<Comparison> CompareInteger(const Column& column, CompareOp op, const Value& value) {
  Floor floor;
  if (value.kind() == ValueKind::kInt64) {
    floor.whole = value.int64_value();
  } else if (value.kind() == ValueKind::kDouble) {
    floor = FloorOf(value.double_value());
  } else if (value.kind() == ValueKind::kDecimal && CanonicalDecimal(value.text()).has_value()) {
    floor = FloorOf(*CanonicalDecimal(value.text()));
  } else {
    return Coerce(column, value).status();
  }
  const auto [min, max] = BoundsOf(column.type.kind);
  if (floor.beyond > 0 || (floor.beyond == 0 && (floor.whole > max || (floor.whole == max && !floor.exact)))) return Above(op);
  if (floor.beyond < 0 || floor.whole < min) return Below(op);
  if (floor.exact) return Compare(op, Value::Int64(floor.whole));
  return Between(op, Value::Int64(floor.whole), Value::Int64(floor.whole + 1));
}

// The column's neighbours of an integer that it cannot hold exactly.
template <typename Float>
Comparison CompareWithInteger(CompareOp op, int64_t number) {
  const auto nearest = static_cast<Float>(number);
  // 2^63 is no int64.
  const bool above = nearest >= static_cast<Float>(0x1p63) || static_cast<int64_t>(nearest) > number;
  const auto held = [](Float held) { return Value::Double(static_cast<double>(held)); };
  if (!above && static_cast<int64_t>(nearest) == number) return Compare(op, held(nearest));
  constexpr Float kInfinity = std::numeric_limits<Float>::infinity();
  if (above) return Between(op, held(std::nextafter(nearest, -kInfinity)), held(nearest));
  return Between(op, held(nearest), held(std::nextafter(nearest, kInfinity)));
}

// With a finite number beyond the greatest that the column can hold, or below the least: infinities are further out.
template <typename Float>
Comparison CompareBeyond(CompareOp op, bool positive) {
  const double greatest = static_cast<double>(std::numeric_limits<Float>::max());
  const double infinity = std::numeric_limits<double>::infinity();
  if (positive) return Between(op, Value::Double(greatest), Value::Double(infinity));
  return Between(op, Value::Double(-infinity), Value::Double(-greatest));
}

double DoubleOf(const std::string& decimal) {
  if (decimal == "NaN") return std::numeric_limits<double>::quiet_NaN();
  return std::strtod(decimal.c_str(), nullptr);
}

absl::StatusOr<Comparison> CompareFloat(const Column& column, CompareOp op, const Value& value) {
  const bool narrow = column.type.kind == TypeKind::kFloat;
  if (value.kind() == ValueKind::kInt64) {
    return narrow ? CompareWithInteger<float>(op, value.int64_value()) : CompareWithInteger<double>(op, value.int64_value());
  }
  double number = 0;
  bool finite = true;
  if (value.kind() == ValueKind::kDouble) {
    number = value.double_value();
    finite = std::isfinite(number);
  } else if (value.kind() == ValueKind::kDecimal && CanonicalDecimal(value.text()).has_value()) {
    const std::string decimal = *CanonicalDecimal(value.text());
    number = DoubleOf(decimal);
    finite = decimal != "NaN" && decimal.find("Infinity") == std::string::npos;
  } else {
    return Coerce(column, value).status();
  }
  if (finite && std::isinf(number)) {
    return narrow ? CompareBeyond<float>(op, number > 0) : CompareBeyond<double>(op, number > 0);
  }
  absl::StatusOr<Value> held = Coerce(column, Value::Double(number));
  if (held.ok()) return Compare(op, *std::move(held));
  return CompareBeyond<float>(op, number > 0);
}

// Every double is a decimal.
std::string ExactDecimal(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
  constexpr int kDecimalsMax = 1074;  // Of the least double above 0.
  return ShortestDecimal(absl::StrFormat("%.*f", kDecimalsMax, number));
}

absl::StatusOr<Comparison> CompareDecimal(const Column& column, CompareOp op, const Value& value) {
  const bool floats = value.kind() == ValueKind::kDouble;
  QUARRY_ASSIGN_OR_RETURN(Value held, Coerce(column, floats ? Value::Decimal(ExactDecimal(value.double_value())) : value));
  return Compare(op, std::move(held));
}

// The same type without length, precision and scale, which bound what is stored and not what it can be compared with.
Column Unbounded(const Column& column) {
  Column unbounded = column;
  unbounded.nullable = false;
  std::string& name = unbounded.type.native_name;
  const size_t open = name.find('(');
  const size_t close = name.find(')', open == std::string::npos ? 0 : open);
  if (column.type.kind != TypeKind::kNative && open != std::string::npos && close != std::string::npos) {
    name.erase(open, close - open + 1);
  }
  return unbounded;
}

}  // namespace

absl::StatusOr<Comparison> CompareWith(const Column& column, CompareOp op, const Value& value) {
  const Column unbounded = Unbounded(column);
  switch (column.type.kind) {
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
      return CompareInteger(unbounded, op, value);
    case TypeKind::kFloat:
    case TypeKind::kDouble:
      return CompareFloat(unbounded, op, value);
    case TypeKind::kDecimal:
      return CompareDecimal(unbounded, op, value);
    default: {
      // A native's name may be that of the column with its precision.
      QUARRY_ASSIGN_OR_RETURN(Value held, Coerce(value.kind() == ValueKind::kNative ? column : unbounded, value));
      return Compare(op, std::move(held));
    }
  }
}

}  // namespace quarry
