#include "client/values.h"

namespace quarry::client {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;

v1::Value TimestampProto(absl::Time time) {
  const int64_t micros = absl::ToUnixMicros(time);
  int64_t seconds = micros / kMicrosPerSecond;
  int64_t rest = micros % kMicrosPerSecond;
  if (rest < 0) {
    --seconds;
    rest += kMicrosPerSecond;
  }
  v1::Value proto;
  proto.mutable_timestamp_value()->set_seconds(seconds);
  proto.mutable_timestamp_value()->set_nanos(static_cast<int32_t>(rest * 1000));
  return proto;
}

template <typename Setter>
Value Make(Setter setter) {
  v1::Value proto;
  setter(proto);
  return Value(std::move(proto));
}

}  // namespace

Value Value::Bytes(std::string value) {
  return Make([&](v1::Value& proto) { proto.set_bytes_value(std::move(value)); });
}
Value Value::Timestamp(absl::Time value) { return Value(TimestampProto(value)); }
Value Value::Date(std::string value) {
  return Make([&](v1::Value& proto) { proto.set_date_value(std::move(value)); });
}
Value Value::Time(std::string value) {
  return Make([&](v1::Value& proto) { proto.set_time_value(std::move(value)); });
}
Value Value::Interval(std::string value) {
  return Make([&](v1::Value& proto) { proto.set_interval_value(std::move(value)); });
}
Value Value::Decimal(std::string value) {
  return Make([&](v1::Value& proto) { proto.set_decimal_value(std::move(value)); });
}
Value Value::Uuid(std::string value) {
  return Make([&](v1::Value& proto) { proto.set_uuid_value(std::move(value)); });
}
Value Value::Json(std::string document) {
  return Make([&](v1::Value& proto) { proto.set_json_value(std::move(document)); });
}
Value Value::Array(std::vector<Value> elements) {
  return Make([&](v1::Value& proto) {
    for (Value& element : elements)
      *proto.mutable_array_value()->add_elements() = std::move(element.proto_);
    proto.mutable_array_value();  // An array without elements is still an array.
  });
}
Value Value::Native(std::string type, std::string text) {
  return Make([&](v1::Value& proto) {
    proto.mutable_native_value()->set_type(std::move(type));
    proto.mutable_native_value()->set_text(std::move(text));
  });
}

std::optional<bool> Value::AsBool() const {
  if (!proto_.has_bool_value()) return std::nullopt;
  return proto_.bool_value();
}

std::optional<int64_t> Value::AsInt64() const {
  if (!proto_.has_int64_value()) return std::nullopt;
  return proto_.int64_value();
}

std::optional<double> Value::AsDouble() const {
  if (!proto_.has_double_value()) return std::nullopt;
  return proto_.double_value();
}

std::optional<std::string> Value::AsText() const {
  switch (proto_.kind_case()) {
    case v1::Value::kTextValue:
      return proto_.text_value();
    case v1::Value::kDateValue:
      return proto_.date_value();
    case v1::Value::kTimeValue:
      return proto_.time_value();
    case v1::Value::kIntervalValue:
      return proto_.interval_value();
    case v1::Value::kDecimalValue:
      return proto_.decimal_value();
    case v1::Value::kUuidValue:
      return proto_.uuid_value();
    case v1::Value::kJsonValue:
      return proto_.json_value();
    case v1::Value::kNativeValue:
      return proto_.native_value().text();
    default:
      return std::nullopt;
  }
}

std::optional<std::string> Value::AsBytes() const {
  if (!proto_.has_bytes_value()) return std::nullopt;
  return proto_.bytes_value();
}

std::optional<absl::Time> Value::AsTimestamp() const {
  if (!proto_.has_timestamp_value()) return std::nullopt;
  return absl::FromUnixSeconds(proto_.timestamp_value().seconds()) +
         absl::Nanoseconds(proto_.timestamp_value().nanos());
}

bool operator==(const Value& a, const Value& b) {
  return a.proto_.SerializeAsString() == b.proto_.SerializeAsString();
}

Record::Record(std::initializer_list<std::pair<std::string, Value>> columns) {
  for (const auto& [column, value] : columns) (*proto_.mutable_columns())[column] = value.proto();
}

Record& Record::Set(std::string column, Value value) {
  (*proto_.mutable_columns())[column] = value.proto();
  return *this;
}

std::optional<Value> Record::Find(const std::string& column) const {
  const auto found = proto_.columns().find(column);
  if (found == proto_.columns().end()) return std::nullopt;
  return Value(found->second);
}

Value Record::operator[](const std::string& column) const { return Find(column).value_or(Value()); }

Key::Key(std::initializer_list<Value> values) {
  for (const Value& value : values) *proto_.add_values() = value.proto();
}

Key Key::ByName(const Record& columns) {
  Key key;
  for (const auto& [column, value] : columns.proto().columns())
    (*key.proto_.mutable_columns())[column] = value;
  return key;
}

}  // namespace quarry::client
