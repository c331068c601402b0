#include "server/translate/value.h"

#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/ids.h"

namespace quarry {
namespace {

constexpr int64_t kSecondsMin = -62'135'596'800;  // 0001-01-01T00:00:00Z
constexpr int64_t kSecondsMax = 253'402'300'799;  // 9999-12-31T23:59:59Z

bool HasNul(const std::string& text) { return std::memchr(text.data(), 0, text.size()) != nullptr; }

std::string CheckedText(const std::string& text, const FieldPath& path, Violations& violations) {
  if (HasNul(text)) violations.Add(path, "holds U+0000, which the databases cannot store in text");
  return text;
}

Value ToTimestamp(const google::protobuf::Timestamp& time, const FieldPath& path, Violations& violations) {
  if (time.seconds() < kSecondsMin || time.seconds() > kSecondsMax) {
    violations.Add(path, "is outside the years 0001 to 9999; send it as native_value");
    return Value::Null();
  }
  if (time.nanos() < 0 || time.nanos() > 999'999'999) {
    violations.Add(path, "has nanos outside 0 to 999,999,999");
    return Value::Null();
  }
  if (time.nanos() % 1000 != 0) {
    violations.Add(path, "is finer than one microsecond; round its nanos to a multiple of 1,000");
    return Value::Null();
  }
  return Value::Timestamp(time.seconds() * 1'000'000 + time.nanos() / 1000);
}

Value ToUuid(const std::string& text, const FieldPath& path, Violations& violations) {
  std::optional<std::string> canonical = CanonicalUuid(text);
  if (canonical.has_value()) return Value::Uuid(*std::move(canonical));
  violations.Add(path, "is no UUID; write 32 hexadecimal digits in the form 8-4-4-4-12");
  return Value::Null();
}

Value ToArray(const v1::ArrayValue& wire, const FieldPath& path, Violations& violations) {
  const FieldPath elements_path(path, "elements");
  std::vector<Value> elements;
  elements.reserve(static_cast<size_t>(wire.elements_size()));
  for (int i = 0; i < wire.elements_size(); ++i) {
    const FieldPath at(elements_path, static_cast<size_t>(i));
    const v1::Value& element = wire.elements(i);
    if (element.has_array_value()) {
      violations.Add(at, "is an array in an array; send arrays of more dimensions as native_value");
      continue;
    }
    elements.push_back(ToValue(element, at, violations));
  }
  return Value::Array(std::move(elements));
}

v1::TypeCode CodeOf(TypeKind kind) {
  switch (kind) {
    case TypeKind::kUnknown:
      return v1::TYPE_CODE_UNSPECIFIED;
    case TypeKind::kBool:
      return v1::TYPE_CODE_BOOL;
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
      return v1::TYPE_CODE_INT64;
    case TypeKind::kFloat:
    case TypeKind::kDouble:
      return v1::TYPE_CODE_DOUBLE;
    case TypeKind::kText:
      return v1::TYPE_CODE_TEXT;
    case TypeKind::kBytes:
      return v1::TYPE_CODE_BYTES;
    case TypeKind::kTimestamp:
      return v1::TYPE_CODE_TIMESTAMP;
    case TypeKind::kTimestampTz:
      return v1::TYPE_CODE_TIMESTAMPTZ;
    case TypeKind::kDate:
      return v1::TYPE_CODE_DATE;
    case TypeKind::kTime:
      return v1::TYPE_CODE_TIME;
    case TypeKind::kInterval:
      return v1::TYPE_CODE_INTERVAL;
    case TypeKind::kDecimal:
      return v1::TYPE_CODE_DECIMAL;
    case TypeKind::kUuid:
      return v1::TYPE_CODE_UUID;
    case TypeKind::kJson:
      return v1::TYPE_CODE_JSON;
    case TypeKind::kNative:
      return v1::TYPE_CODE_NATIVE;
  }
  return v1::TYPE_CODE_UNSPECIFIED;
}

void FillTimestamp(int64_t micros, google::protobuf::Timestamp* wire) {
  int64_t seconds = micros / 1'000'000;
  int64_t rest = micros % 1'000'000;
  if (rest < 0) {
    --seconds;
    rest += 1'000'000;
  }
  wire->set_seconds(seconds);
  wire->set_nanos(static_cast<int32_t>(rest * 1000));
}

}  // namespace

Value ToValue(const v1::Value& wire, const FieldPath& path, Violations& violations) {
  switch (wire.kind_case()) {
    case v1::Value::kNullValue:
      return Value::Null();
    case v1::Value::kBoolValue:
      return Value::Bool(wire.bool_value());
    case v1::Value::kInt64Value:
      return Value::Int64(wire.int64_value());
    case v1::Value::kDoubleValue:
      return Value::Double(wire.double_value());
    case v1::Value::kTextValue:
      return Value::Text(CheckedText(wire.text_value(), path, violations));
    case v1::Value::kBytesValue:
      return Value::Bytes(wire.bytes_value());
    case v1::Value::kTimestampValue:
      return ToTimestamp(wire.timestamp_value(), path, violations);
    case v1::Value::kDateValue:
      return Value::Date(CheckedText(wire.date_value(), path, violations));
    case v1::Value::kTimeValue:
      return Value::Time(CheckedText(wire.time_value(), path, violations));
    case v1::Value::kIntervalValue:
      return Value::Interval(CheckedText(wire.interval_value(), path, violations));
    case v1::Value::kDecimalValue:
      return Value::Decimal(CheckedText(wire.decimal_value(), path, violations));
    case v1::Value::kUuidValue:
      return ToUuid(wire.uuid_value(), path, violations);
    case v1::Value::kJsonValue:
      return Value::Json(CheckedText(wire.json_value(), path, violations));
    case v1::Value::kArrayValue:
      return ToArray(wire.array_value(), path, violations);
    case v1::Value::kNativeValue:
      return Value::Native(CheckedText(wire.native_value().type(), path, violations),
                           CheckedText(wire.native_value().text(), path, violations));
    case v1::Value::KIND_NOT_SET:
      break;
  }
  violations.Add(path, "has no value set; SQL NULL is null_value");
  return Value::Null();
}

Record ToRecord(const google::protobuf::Map<std::string, v1::Value>& columns, const FieldPath& path,
                Violations& violations) {
  Record record;
  for (const auto& [name, value] : columns) {
    record.emplace(name, ToValue(value, FieldPath(path, name), violations));
  }
  return record;
}

KeyInput ToKeyInput(const v1::Key& wire, const FieldPath& path, Violations& violations) {
  KeyInput key;
  const bool by_position = wire.values_size() > 0;
  if (by_position == !wire.columns().empty()) {
    violations.Add(path, by_position ? "has both values and columns; give one of the two"
                                     : "is empty; give values in primary-key order, or columns by name");
    return key;
  }
  key.by_name = ToRecord(wire.columns(), path, violations);
  const FieldPath values_path(path, "values");
  key.by_position.reserve(static_cast<size_t>(wire.values_size()));
  for (int i = 0; i < wire.values_size(); ++i) {
    key.by_position.push_back(
        ToValue(wire.values(i), FieldPath(values_path, static_cast<size_t>(i)), violations));
  }
  return key;
}

void FillValue(const Value& value, v1::Value* wire) {
  switch (value.kind()) {
    case ValueKind::kNull:
      wire->set_null_value(google::protobuf::NULL_VALUE);
      break;
    case ValueKind::kBool:
      wire->set_bool_value(value.bool_value());
      break;
    case ValueKind::kInt64:
      wire->set_int64_value(value.int64_value());
      break;
    case ValueKind::kDouble:
      wire->set_double_value(value.double_value());
      break;
    case ValueKind::kText:
      wire->set_text_value(value.text());
      break;
    case ValueKind::kBytes:
      wire->set_bytes_value(value.text());
      break;
    case ValueKind::kTimestamp:
      FillTimestamp(value.timestamp_micros(), wire->mutable_timestamp_value());
      break;
    case ValueKind::kDate:
      wire->set_date_value(value.text());
      break;
    case ValueKind::kTime:
      wire->set_time_value(value.text());
      break;
    case ValueKind::kInterval:
      wire->set_interval_value(value.text());
      break;
    case ValueKind::kDecimal:
      wire->set_decimal_value(value.text());
      break;
    case ValueKind::kUuid:
      wire->set_uuid_value(value.text());
      break;
    case ValueKind::kJson:
      wire->set_json_value(value.text());
      break;
    case ValueKind::kArray:
      wire->mutable_array_value();  // Set also when it is empty.
      for (const Value& element : value.elements()) FillValue(element, wire->mutable_array_value()->add_elements());
      break;
    case ValueKind::kNative:
      wire->mutable_native_value()->set_type(value.native_type());
      wire->mutable_native_value()->set_text(value.native_text());
      break;
  }
}

void FillType(const ColumnType& type, v1::ColumnType* wire) {
  const v1::TypeCode code = CodeOf(type.kind);
  wire->set_code(type.array ? v1::TYPE_CODE_ARRAY : code);
  if (type.array) wire->set_element_code(code);
  wire->set_native_type(type.native_name);
}

void FillHeader(const RowHeader& header, v1::RowHeader* wire) {
  if (header == nullptr) return;
  for (const ColumnHeader& column : *header) {
    v1::ColumnHeader* out = wire->add_columns();
    out->set_name(column.name);
    FillType(column.type, out->mutable_type());
  }
}

void FillRow(const Row& row, v1::Row* wire) {
  wire->mutable_values()->Reserve(static_cast<int>(row.size()));
  for (const Value& value : row) FillValue(value, wire->add_values());
}

void FillRecord(const RowHeader& header, const Row& row, v1::Record* wire) {
  if (header == nullptr) return;
  auto& columns = *wire->mutable_columns();
  for (size_t i = 0; i < row.size() && i < header->size(); ++i) FillValue(row[i], &columns[(*header)[i].name]);
}

void FillKey(const Record& key, v1::Key* wire) {
  auto& columns = *wire->mutable_columns();
  for (const auto& [name, value] : key) FillValue(value, &columns[name]);
}

}  // namespace quarry
