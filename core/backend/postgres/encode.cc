#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/backend/postgres/calendar.h"
#include "core/backend/postgres/types.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::postgres {
namespace {

std::string Field(size_t position) { return absl::StrCat("params[", position - 1, "]"); }

absl::Status WrongKind(Oid oid, const Value& value, size_t position) {
  const ColumnType type = TypeOfOid(oid);
  return InvalidField(Field(position),
                      absl::StrCat("a value of kind ", ValueKindName(value.kind()), " does not fit parameter $", position,
                                   ", which is of type ", type.native_name.empty() ? "unknown" : type.native_name,
                                   "; send it in that type or cast the parameter"));
}

absl::Status OutOfRange(Oid oid, size_t position) {
  ErrorDetail detail;
  detail.reason = reason::kValueOutOfRange;
  detail.violations = {{Field(position), absl::StrCat("the value is outside of ", TypeOfOid(oid).native_name,
                                                      " or cannot be held in it exactly")}};
  return MakeError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("parameter $", position, ": the value is outside of ", TypeOfOid(oid).native_name,
                                " or cannot be held in it exactly"),
                   detail);
}

template <typename T>
void AppendBigEndian(T number, std::string& bytes) {
  const auto bits = static_cast<uint64_t>(number);
  for (size_t i = sizeof(T); i-- > 0;) bytes += static_cast<char>(bits >> (8 * i));
}

template <typename T>
EncodedParam BigEndian(T number) {
  EncodedParam param;
  param.binary = true;
  AppendBigEndian(number, param.bytes);
  return param;
}

EncodedParam Binary(std::string bytes) {
  EncodedParam param;
  param.binary = true;
  param.bytes = std::move(bytes);
  return param;
}

// A text form is a C string to libpq.
absl::StatusOr<EncodedParam> AsText(std::string text, size_t position) {
  if (text.find('\0') != std::string::npos) return InvalidField(Field(position), "text with a NUL byte");
  EncodedParam param;
  param.bytes = std::move(text);
  return param;
}

template <typename T>
absl::StatusOr<EncodedParam> Integer(Oid oid, int64_t number, size_t position) {
  if (number < static_cast<int64_t>(std::numeric_limits<T>::min()) ||
      number > static_cast<int64_t>(std::numeric_limits<T>::max())) {
    return OutOfRange(oid, position);
  }
  return BigEndian(static_cast<T>(number));
}

absl::StatusOr<EncodedParam> EncodeInteger(Oid oid, int64_t number, size_t position) {
  switch (oid) {
    case kInt2Oid:
      return Integer<int16_t>(oid, number, position);
    case kInt4Oid:
      return Integer<int32_t>(oid, number, position);
    case kOidOid:
      return Integer<uint32_t>(oid, number, position);
    default:
      return BigEndian(number);
  }
}

absl::StatusOr<EncodedParam> EncodeFloat(Oid oid, double number, size_t position) {
  if (oid == kFloat8Oid) return BigEndian(std::bit_cast<uint64_t>(number));
  const auto narrow = static_cast<float>(number);
  if (std::isinf(narrow) && !std::isinf(number)) return OutOfRange(oid, position);
  return BigEndian(std::bit_cast<uint32_t>(narrow));
}

absl::StatusOr<EncodedParam> ForInteger(Oid oid, const Value& value, size_t position) {
  if (value.kind() == ValueKind::kInt64) return EncodeInteger(oid, value.int64_value(), position);
  if (value.kind() == ValueKind::kDouble) {
    const double number = value.double_value();
    if (!(std::abs(number) <= 0x1p53) || std::trunc(number) != number) return OutOfRange(oid, position);
    return EncodeInteger(oid, static_cast<int64_t>(number), position);
  }
  if (value.kind() == ValueKind::kDecimal) return AsText(TextForm(value), position);
  return WrongKind(oid, value, position);
}

absl::StatusOr<EncodedParam> ForFloat(Oid oid, const Value& value, size_t position) {
  if (value.kind() == ValueKind::kDouble) return EncodeFloat(oid, value.double_value(), position);
  if (value.kind() == ValueKind::kDecimal) return AsText(TextForm(value), position);
  if (value.kind() != ValueKind::kInt64) return WrongKind(oid, value, position);
  const int64_t number = value.int64_value();
  const int64_t exact_max = oid == kFloat8Oid ? int64_t{1} << 53 : int64_t{1} << 24;
  if (number > exact_max || number < -exact_max) return OutOfRange(oid, position);
  return EncodeFloat(oid, static_cast<double>(number), position);
}

absl::StatusOr<EncodedParam> ForTimestamp(Oid oid, const Value& value, size_t position) {
  if (value.kind() == ValueKind::kDate) return AsText(value.text(), position);
  if (value.kind() != ValueKind::kTimestamp) return WrongKind(oid, value, position);
  const int64_t micros = value.timestamp_micros();
  if (micros < std::numeric_limits<int64_t>::min() + 2 * kEpochMicros) return OutOfRange(oid, position);
  return BigEndian(micros - kEpochMicros);
}

std::optional<ValueKind> TextKindOf(TypeKind kind) {
  switch (kind) {
    case TypeKind::kDate:
      return ValueKind::kDate;
    case TypeKind::kTime:
      return ValueKind::kTime;
    case TypeKind::kInterval:
      return ValueKind::kInterval;
    case TypeKind::kUuid:
      return ValueKind::kUuid;
    case TypeKind::kJson:
      return ValueKind::kJson;
    default:
      return std::nullopt;
  }
}

absl::StatusOr<EncodedParam> EncodeScalar(Oid oid, const ColumnType& type, const Value& value, size_t position) {
  const ValueKind kind = value.kind();
  switch (type.kind) {
    case TypeKind::kBool:
      if (kind != ValueKind::kBool) return WrongKind(oid, value, position);
      return BigEndian(static_cast<uint8_t>(value.bool_value() ? 1 : 0));
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
      return ForInteger(oid, value, position);
    case TypeKind::kFloat:
    case TypeKind::kDouble:
      return ForFloat(oid, value, position);
    case TypeKind::kBytes:
      if (kind != ValueKind::kBytes) return WrongKind(oid, value, position);
      return Binary(value.text());
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampTz:
      return ForTimestamp(oid, value, position);
    case TypeKind::kDecimal:
      if (kind != ValueKind::kDecimal && kind != ValueKind::kInt64 && kind != ValueKind::kDouble) {
        return WrongKind(oid, value, position);
      }
      return AsText(TextForm(value), position);
    case TypeKind::kText:
    case TypeKind::kNative:
    case TypeKind::kUnknown:
      if (kind == ValueKind::kBytes) return WrongKind(oid, value, position);
      return AsText(TextForm(value), position);
    default:
      if (kind != TextKindOf(type.kind)) return WrongKind(oid, value, position);
      return AsText(value.text(), position);
  }
}

void AppendElement(const Value& value, std::string* out) {
  if (value.is_null()) {
    *out += "NULL";
    return;
  }
  if (value.kind() == ValueKind::kArray) {
    *out += TextForm(value);
    return;
  }
  *out += '"';
  for (const char c : TextForm(value)) {
    if (c == '"' || c == '\\') *out += '\\';
    *out += c;
  }
  *out += '"';
}

// Types of which each value has one binary form, which the server reads as it reads the text.
bool GoesInBinaryArrays(Oid element) {
  switch (element) {
    case kBoolOid:
    case kInt2Oid:
    case kInt4Oid:
    case kInt8Oid:
    case kFloat4Oid:
    case kFloat8Oid:
    case kTextOid:
    case kVarcharOid:
    case kTimestampOid:
    case kTimestampTzOid:
      return true;
    default:
      return false;
  }
}

// As array_send writes it; nullopt where an element goes as text only, or is an array.
absl::StatusOr<std::optional<EncodedParam>> BinaryArray(Oid element, const Value& array, size_t position) {
  const std::vector<Value>& values = array.elements();
  EncodedParam param;
  param.binary = true;
  const bool nulls = std::any_of(values.begin(), values.end(), [](const Value& value) { return value.is_null(); });
  AppendBigEndian<int32_t>(values.empty() ? 0 : 1, param.bytes);  // Dimensions.
  AppendBigEndian<int32_t>(nulls ? 1 : 0, param.bytes);
  AppendBigEndian(element, param.bytes);
  if (values.empty()) return std::optional(std::move(param));
  AppendBigEndian(static_cast<int32_t>(values.size()), param.bytes);
  AppendBigEndian<int32_t>(1, param.bytes);  // The first index.
  for (const Value& value : values) {
    if (value.kind() == ValueKind::kArray) return std::optional<EncodedParam>();
    QUARRY_ASSIGN_OR_RETURN(const EncodedParam one, Encode(element, value, position));
    if (!one.null && !one.binary) return std::optional<EncodedParam>();
    AppendBigEndian(one.null ? int32_t{-1} : static_cast<int32_t>(one.bytes.size()), param.bytes);
    param.bytes += one.bytes;
  }
  return std::optional(std::move(param));
}

// Each element must fit the array's element type; what goes out is the literal.
absl::Status CheckElements(Oid element, const Value& array, size_t position) {
  for (const Value& value : array.elements()) {
    if (value.kind() == ValueKind::kArray) {
      QUARRY_RETURN_IF_ERROR(CheckElements(element, value, position));
    } else {
      QUARRY_RETURN_IF_ERROR(Encode(element, value, position).status());
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string TextForm(const Value& value) {
  switch (value.kind()) {
    case ValueKind::kNull:
      return "";
    case ValueKind::kBool:
      return value.bool_value() ? "true" : "false";
    case ValueKind::kInt64:
      return absl::StrCat(value.int64_value());
    case ValueKind::kDouble: {
      const double number = value.double_value();
      if (std::isnan(number)) return "NaN";
      if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
      // The shorter of the two forms that read back as the same number.
      std::string text = absl::StrFormat("%.15g", number);
      return std::strtod(text.c_str(), nullptr) == number ? text : absl::StrFormat("%.17g", number);
    }
    case ValueKind::kTimestamp:
      return FormatTimestamp(value.timestamp_micros(), true);
    case ValueKind::kBytes:
      return absl::StrCat("\\x", absl::BytesToHexString(value.text()));
    case ValueKind::kNative:
      return value.native_text();
    case ValueKind::kArray: {
      std::string text = "{";
      for (const Value& element : value.elements()) {
        if (text.size() > 1) text += ',';
        AppendElement(element, &text);
      }
      return text + "}";
    }
    default:
      return value.text();
  }
}

absl::StatusOr<EncodedParam> Encode(Oid oid, const Value& value, size_t position) {
  if (value.is_null()) {
    EncodedParam param;
    param.null = true;
    return param;
  }
  // The usual key needs no look at the type.
  if (oid == kInt8Oid && value.kind() == ValueKind::kInt64) return BigEndian(value.int64_value());
  const ColumnType type = TypeOfOid(oid);
  if (value.kind() == ValueKind::kNative) return AsText(value.native_text(), position);
  if (value.kind() == ValueKind::kText) {
    if (type.kind == TypeKind::kBytes && !type.array) return WrongKind(oid, value, position);
    if (type.kind == TypeKind::kText && !type.array) return Binary(value.text());
    return AsText(value.text(), position);
  }
  if (value.kind() == ValueKind::kArray) {
    if (!type.array && type.kind != TypeKind::kNative) return WrongKind(oid, value, position);
    const Oid element = ElementOid(oid);
    if (GoesInBinaryArrays(element)) {
      QUARRY_ASSIGN_OR_RETURN(std::optional<EncodedParam> binary, BinaryArray(element, value, position));
      if (binary.has_value()) return *std::move(binary);
    }
    if (type.array) QUARRY_RETURN_IF_ERROR(CheckElements(element, value, position));
    return AsText(TextForm(value), position);
  }
  if (type.array) return WrongKind(oid, value, position);
  return EncodeScalar(oid, type, value, position);
}

}  // namespace quarry::postgres
