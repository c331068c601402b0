#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "core/backend/sqlite/values.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace quarry::sqlite {
namespace {

using Json = nlohmann::json;
constexpr int kDepthMax = 16;

absl::Status BadArray(std::string_view why) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, reason::kSchemaMismatch,
      std::string("an array column holds text that is not an array of its type: ") + std::string(why));
}

Json DoubleToJson(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

Json ToJson(const Value& value) {
  switch (value.kind()) {
    case ValueKind::kNull:
      return nullptr;
    case ValueKind::kBool:
      return value.bool_value();
    case ValueKind::kInt64:
      return value.int64_value();
    case ValueKind::kDouble:
      return DoubleToJson(value.double_value());
    case ValueKind::kTimestamp:
      return FormatTimestamp(value.timestamp_micros(), true);
    case ValueKind::kBytes:
      return absl::BytesToHexString(value.text());
    case ValueKind::kNative:
      return value.native_text();
    case ValueKind::kArray: {
      Json array = Json::array();
      for (const Value& element : value.elements()) array.push_back(ToJson(element));
      return array;
    }
    default:
      return value.text();
  }
}

absl::StatusOr<Value> StringElement(std::string text, const ColumnType& type) {
  switch (type.kind) {
    case TypeKind::kText:
      return Value::Text(std::move(text));
    case TypeKind::kBytes:
      return Value::Bytes(absl::HexStringToBytes(text));
    case TypeKind::kDate:
      return DateOf(std::move(text));
    case TypeKind::kTime:
      return Value::Time(std::move(text));
    case TypeKind::kInterval:
      return Value::Interval(std::move(text));
    case TypeKind::kDecimal:
      return Value::Decimal(std::move(text));
    case TypeKind::kUuid:
      return Value::Uuid(std::move(text));
    case TypeKind::kJson:
      return Value::Json(std::move(text));
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampTz:
      if (const std::optional<int64_t> micros = ParseTimestamp(text)) return Value::Timestamp(*micros);
      return Value::Native(type.kind == TypeKind::kTimestamp ? "timestamp" : "timestamptz", std::move(text));
    case TypeKind::kFloat:
    case TypeKind::kDouble:
      if (text == "NaN") return Value::Double(std::numeric_limits<double>::quiet_NaN());
      if (text == "Infinity") return Value::Double(std::numeric_limits<double>::infinity());
      if (text == "-Infinity") return Value::Double(-std::numeric_limits<double>::infinity());
      return BadArray("text among numbers");
    default:
      return BadArray("text among other values");
  }
}

absl::StatusOr<Value> FromJson(const Json& json, const ColumnType& type, int depth) {
  if (depth > kDepthMax) return BadArray("it is nested too deeply");
  if (json.is_null()) return Value::Null();
  if (json.is_array()) {
    std::vector<Value> elements;
    elements.reserve(json.size());
    for (const Json& element : json) {
      QUARRY_ASSIGN_OR_RETURN(Value value, FromJson(element, type, depth + 1));
      elements.push_back(std::move(value));
    }
    return Value::Array(std::move(elements));
  }
  if (json.is_string()) return StringElement(json.get<std::string>(), type);
  if (json.is_boolean() && type.kind == TypeKind::kBool) return Value::Bool(json.get<bool>());
  const bool real = type.kind == TypeKind::kDouble || type.kind == TypeKind::kFloat;
  if (json.is_number() && real) return Value::Double(json.get<double>());
  const bool integral =
      type.kind == TypeKind::kInt16 || type.kind == TypeKind::kInt32 || type.kind == TypeKind::kInt64;
  // Parsed as unsigned when it is not negative: anything past the limit of int64 is refused.
  if (integral && json.is_number_unsigned() &&
      json.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return Value::Int64(json.get<int64_t>());
  }
  if (integral && json.is_number_integer() && !json.is_number_unsigned())
    return Value::Int64(json.get<int64_t>());
  return BadArray("an element is of another type");
}

}  // namespace

absl::StatusOr<std::string> EncodeArray(const Value& array) {
  try {
    return ToJson(array).dump();
  } catch (const Json::exception&) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidField,
                     "an array's element holds text that is not valid UTF-8");
  }
}

absl::StatusOr<Value> DecodeArray(std::string_view json, const ColumnType& type) {
  const Json parsed = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_array()) return BadArray("it is not a JSON array");
  return FromJson(parsed, type, 0);
}

}  // namespace quarry::sqlite
