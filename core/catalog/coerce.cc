#include "core/catalog/coerce.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/ids.h"
#include "core/base/status_macros.h"
#include "core/catalog/text_forms.h"
#include "nlohmann/json.hpp"

namespace quarry {
namespace {

constexpr size_t kDimensionsMax = 6;
constexpr int64_t kTimestampMin = -210'866'803'200'000'000;  // 4713 BC, where PostgreSQL's timestamps start.

absl::Status Refused(const Column& column, const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrCat("column \"", column.name, "\" expects ", TypeName(column.type), "; ", why));
}

absl::Status WrongKind(const Column& column, const Value& value) {
  return Refused(column, absl::StrCat("got ", ValueKindName(value.kind())));
}

// The text of a value that is of `kind` or plain text; null for other kinds.
const std::string* TextOf(const Value& value, ValueKind kind) {
  if (value.kind() == kind || value.kind() == ValueKind::kText) return &value.text();
  return nullptr;
}

absl::StatusOr<Value> CoerceInteger(const Column& column, const Value& value) {
  if (value.kind() != ValueKind::kInt64) return WrongKind(column, value);
  const int64_t n = value.int64_value();
  const int bits = column.type.kind == TypeKind::kInt16 ? 16 : column.type.kind == TypeKind::kInt32 ? 32 : 64;
  const int64_t max = bits == 64 ? std::numeric_limits<int64_t>::max() : (int64_t{1} << (bits - 1)) - 1;
  if (n > max || n < -max - 1) {
    return Refused(column, absl::StrCat("the number is outside of ", -max - 1, " to ", max));
  }
  return value;
}

absl::StatusOr<Value> CoerceFloat(const Column& column, const Value& value) {
  const bool narrow = column.type.kind == TypeKind::kFloat;
  if (value.kind() == ValueKind::kInt64) {
    const int64_t exact_max = narrow ? int64_t{1} << 24 : int64_t{1} << 53;
    if (value.int64_value() > exact_max || value.int64_value() < -exact_max) {
      return Refused(column, "the integer is too large to be held exactly; send a double");
    }
    return Value::Double(static_cast<double>(value.int64_value()));
  }
  if (value.kind() != ValueKind::kDouble) return WrongKind(column, value);
  const double number = value.double_value();
  if (!narrow || !std::isfinite(number)) return value;
  // Beyond the halfway point to 2^128 the rounded number would be infinite, and the conversion undefined.
  constexpr double kRoundsToInfinity = 0x1.ffffffp127;
  if (std::fabs(number) >= kRoundsToInfinity) return Refused(column, "the number is too large for 32 bits");
  return Value::Double(static_cast<double>(static_cast<float>(number)));
}

absl::StatusOr<Value> CoerceText(const Column& column, const Value& value) {
  if (value.kind() != ValueKind::kText) return WrongKind(column, value);
  if (!IsValidText(value.text())) return Refused(column, "the text is not valid UTF-8 or holds a NUL");
  if (absl::StartsWith(column.type.native_name, "character varying(")) {
    const auto modifiers = TypeModifiers(column.type.native_name);
    size_t characters = 0;
    for (const char c : value.text()) characters += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    if (modifiers.has_value() && characters > static_cast<size_t>(modifiers->first)) {
      return Refused(column, absl::StrCat("the text is longer than ", modifiers->first, " characters"));
    }
  }
  return value;
}

const char* EndOfTime(std::string_view text) {
  const absl::string_view word(text.data(), text.size());
  if (absl::EqualsIgnoreCase(word, "infinity")) return "infinity";
  if (absl::EqualsIgnoreCase(word, "-infinity")) return "-infinity";
  return nullptr;
}

const char* PlainName(TypeKind kind) {
  return kind == TypeKind::kDate ? "date" : kind == TypeKind::kTimestamp ? "timestamp" : "timestamptz";
}

// A native for a date or timestamp column: what the wire's own kinds cannot carry.
absl::StatusOr<Value> CoerceTimeNative(const Column& column, const Value& value) {
  const std::string name = PlainName(column.type.kind);
  if (value.native_type() != name && value.native_type() != column.type.native_name) {
    return Refused(column, "got a native of another type");
  }
  if (const char* end = EndOfTime(value.native_text()); end != nullptr) return Value::Native(name, end);
  const std::string& text = value.native_text();
  if (text.empty() || text.size() > 64 || text.find_first_not_of("0123456789-+:. TZBCAD") != std::string::npos) {
    return Refused(column, "the native's text is neither a point in time nor \"infinity\"");
  }
  return Value::Native(name, text);
}

// The digits after the seconds that the column keeps.
int FractionDigits(const Column& column) {
  const auto modifiers = TypeModifiers(column.type.native_name);
  return modifiers.has_value() && modifiers->first < 6 ? modifiers->first : 6;
}

absl::StatusOr<Value> CoerceTimestamp(const Column& column, const Value& value) {
  if (value.kind() == ValueKind::kNative) return CoerceTimeNative(column, value);
  const bool zoned = column.type.kind == TypeKind::kTimestampTz;
  int64_t micros = 0;
  if (value.kind() == ValueKind::kTimestamp) {
    micros = value.timestamp_micros();
  } else if (value.kind() == ValueKind::kText) {
    if (const char* end = EndOfTime(value.text()); end != nullptr) {
      return Value::Native(PlainName(column.type.kind), end);
    }
    const std::optional<int64_t> parsed = ParseTimestamp(value.text(), zoned);
    if (!parsed.has_value()) {
      return Refused(column, zoned ? "the text is not of the form 2026-01-31T23:59:59.123456Z (or +02:00 for the Z)"
                                   : "the text is not of the form 2026-01-31T23:59:59.123456, without a zone");
    }
    micros = *parsed;
  } else {
    return WrongKind(column, value);
  }
  if (micros < kTimestampMin) return Refused(column, "the time is before 4713 BC");
  int64_t unit = 1;
  for (int digits = FractionDigits(column); digits < 6; ++digits) unit *= 10;
  if (micros % unit != 0) {
    return Refused(column, absl::StrCat("the seconds have more than ", FractionDigits(column), " decimals"));
  }
  return Value::Timestamp(micros);
}

absl::StatusOr<Value> CoerceDate(const Column& column, const Value& value) {
  if (value.kind() == ValueKind::kNative) return CoerceTimeNative(column, value);
  const std::string* text = TextOf(value, ValueKind::kDate);
  if (text == nullptr) return WrongKind(column, value);
  if (const char* end = EndOfTime(*text); end != nullptr) return Value::Native("date", end);
  std::optional<std::string> date = CanonicalDate(*text);
  if (!date.has_value()) return Refused(column, "the text is not a date of the form 2026-01-31");
  return Value::Date(*std::move(date));
}

absl::StatusOr<Value> CoerceTime(const Column& column, const Value& value) {
  const std::string* text = TextOf(value, ValueKind::kTime);
  if (text == nullptr) return WrongKind(column, value);
  std::optional<std::string> time = CanonicalTime(*text);
  if (!time.has_value()) return Refused(column, "the text is not a time of the form 23:59:59.123456");
  const size_t point = time->find('.');
  if (point != std::string::npos && time->size() - point - 1 > static_cast<size_t>(FractionDigits(column))) {
    return Refused(column, absl::StrCat("the seconds have more than ", FractionDigits(column), " decimals"));
  }
  return Value::Time(*std::move(time));
}

absl::StatusOr<Value> CoerceInterval(const Column& column, const Value& value) {
  const std::string* text = TextOf(value, ValueKind::kInterval);
  if (text == nullptr) return WrongKind(column, value);
  if (!IsInterval(*text)) return Refused(column, "the text is not an interval of the form P1Y2M3DT4H5M6.7S");
  return Value::Interval(*text);
}

// What numeric(precision, scale) would round or refuse. Trailing zeros lose nothing.
absl::Status CheckScale(const Column& column, const std::string& decimal) {
  const auto modifiers = TypeModifiers(column.type.native_name);
  if (!modifiers.has_value() || decimal == "NaN") return absl::OkStatus();
  const auto [precision, scale] = *modifiers;
  if (absl::EndsWith(decimal, "Infinity")) return Refused(column, "a column with a precision holds no infinity");
  const size_t point = std::min(decimal.find('.'), decimal.size());
  const size_t last = decimal.find_last_not_of('0');
  if (last != std::string::npos && last > point && last - point > static_cast<size_t>(scale)) {
    return Refused(column, absl::StrCat("the number has more than ", scale, " decimals"));
  }
  const size_t sign = decimal.front() == '-' ? 1 : 0;
  const size_t whole = decimal[sign] == '0' ? 0 : point - sign;
  if (whole > static_cast<size_t>(precision - scale)) {
    return Refused(column, absl::StrCat("the number has more than ", precision - scale, " digits before the point"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Value> CoerceDecimal(const Column& column, const Value& value) {
  std::optional<std::string> decimal;
  if (value.kind() == ValueKind::kInt64) {
    decimal = absl::StrCat(value.int64_value());
  } else if (const std::string* text = TextOf(value, ValueKind::kDecimal); text != nullptr) {
    decimal = CanonicalDecimal(*text);
  } else {
    return WrongKind(column, value);
  }
  if (!decimal.has_value()) return Refused(column, "the text is not a decimal number of the form -12.340");
  QUARRY_RETURN_IF_ERROR(CheckScale(column, *decimal));
  return Value::Decimal(*std::move(decimal));
}

absl::StatusOr<Value> CoerceUuid(const Column& column, const Value& value) {
  const std::string* text = TextOf(value, ValueKind::kUuid);
  if (text == nullptr) return WrongKind(column, value);
  std::optional<std::string> uuid = CanonicalUuid(*text);
  if (!uuid.has_value()) return Refused(column, "the text is not a UUID");
  return Value::Uuid(*std::move(uuid));
}

// The same text with at most two digits in a row outside of strings: JSON exactly when `text` is.
std::string WithShortNumbers(const std::string& text) {
  std::string shortened;
  shortened.reserve(text.size());
  bool in_string = false;
  int digits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    digits = !in_string && absl::ascii_isdigit(static_cast<unsigned char>(c)) ? digits + 1 : 0;
    if (digits > 2) continue;
    shortened.push_back(c);
    if (c == '"') in_string = !in_string;
    if (c == '\\' && in_string && i + 1 < text.size()) shortened.push_back(text[++i]);
  }
  return shortened;
}

// The parser also refuses numbers that no double holds, which JSON has no word against.
bool IsJson(const std::string& text) { return nlohmann::json::accept(text) || nlohmann::json::accept(WithShortNumbers(text)); }

absl::StatusOr<Value> CoerceJson(const Column& column, const Value& value) {
  const std::string* text = TextOf(value, ValueKind::kJson);
  if (text == nullptr) return WrongKind(column, value);
  if (!IsValidText(*text) || !IsJson(*text)) return Refused(column, "the text is not valid JSON");
  return Value::Json(*text);
}

absl::StatusOr<Value> CoerceNative(const Column& column, const Value& value) {
  const bool native = value.kind() == ValueKind::kNative;
  if (!native && value.kind() != ValueKind::kText) return WrongKind(column, value);
  if (native && value.native_type() != column.type.native_name) return Refused(column, "got a native of another type");
  const std::string& text = native ? value.native_text() : value.text();
  if (!IsValidText(text)) return Refused(column, "the text is not valid UTF-8 or holds a NUL");
  return Value::Native(column.type.native_name, text);
}

absl::StatusOr<Value> CoerceScalar(const Column& column, const Value& value) {
  switch (column.type.kind) {
    case TypeKind::kUnknown:
      return value;
    case TypeKind::kBool:
      if (value.kind() != ValueKind::kBool) return WrongKind(column, value);
      return value;
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
      return CoerceInteger(column, value);
    case TypeKind::kFloat:
    case TypeKind::kDouble:
      return CoerceFloat(column, value);
    case TypeKind::kText:
      return CoerceText(column, value);
    case TypeKind::kBytes:
      if (value.kind() != ValueKind::kBytes) return WrongKind(column, value);
      return value;
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampTz:
      return CoerceTimestamp(column, value);
    case TypeKind::kDate:
      return CoerceDate(column, value);
    case TypeKind::kTime:
      return CoerceTime(column, value);
    case TypeKind::kInterval:
      return CoerceInterval(column, value);
    case TypeKind::kDecimal:
      return CoerceDecimal(column, value);
    case TypeKind::kUuid:
      return CoerceUuid(column, value);
    case TypeKind::kJson:
      return CoerceJson(column, value);
    case TypeKind::kNative:
      return CoerceNative(column, value);
  }
  return WrongKind(column, value);
}

// Arrays of arrays are rectangular, as PostgreSQL has them: `shape` holds the length of each dimension seen so far.
absl::StatusOr<Value> CoerceArray(const Column& column, const Value& value, size_t depth, bool inner,
                                  std::vector<size_t>& shape);

absl::StatusOr<Value> CoerceElement(const Column& column, const Value& element, size_t depth, bool nested,
                                    std::vector<size_t>& shape) {
  const bool is_array = element.kind() == ValueKind::kArray;
  if (is_array != nested) return Refused(column, "arrays and single elements are mixed in one dimension");
  if (is_array) return CoerceArray(column, element, depth + 1, true, shape);
  if (element.is_null()) return element;
  return CoerceScalar(column, element);
}

absl::StatusOr<Value> CoerceArray(const Column& column, const Value& value, size_t depth, bool inner,
                                  std::vector<size_t>& shape) {
  const std::vector<Value>& elements = value.elements();
  if (depth >= kDimensionsMax) return Refused(column, absl::StrCat("it has more than ", kDimensionsMax, " dimensions"));
  if (inner && elements.empty()) return Refused(column, "an inner array is empty");
  if (shape.size() == depth) shape.push_back(elements.size());
  if (shape[depth] != elements.size()) return Refused(column, "inner arrays differ in length");
  const bool nested = !elements.empty() && elements.front().kind() == ValueKind::kArray;
  std::vector<Value> out;
  out.reserve(elements.size());
  for (const Value& element : elements) {
    QUARRY_ASSIGN_OR_RETURN(Value coerced, CoerceElement(column, element, depth, nested, shape));
    out.push_back(std::move(coerced));
  }
  return Value::Array(std::move(out));
}

}  // namespace

std::optional<std::pair<int, int>> TypeModifiers(const std::string& native_name) {
  const size_t open = native_name.find('(');
  const size_t close = native_name.find(')', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  const std::string inside = native_name.substr(open + 1, close - open - 1);
  if (inside.empty() || inside.size() > 16 || !absl::ascii_isdigit(static_cast<unsigned char>(inside.front()))) {
    return std::nullopt;
  }
  const size_t comma = inside.find(',');
  const int second = comma == std::string::npos ? 0 : std::atoi(inside.c_str() + comma + 1);
  if (second < 0) return std::nullopt;
  return std::pair<int, int>(std::atoi(inside.c_str()), second);
}

absl::StatusOr<Value> Coerce(const Column& column, const Value& value) {
  if (value.is_null()) {
    if (column.nullable) return value;
    return Refused(column, "it must not be null");
  }
  if (!column.type.array) return CoerceScalar(column, value);
  if (value.kind() != ValueKind::kArray) return WrongKind(column, value);
  std::vector<size_t> shape;
  return CoerceArray(column, value, 0, false, shape);
}

}  // namespace quarry
