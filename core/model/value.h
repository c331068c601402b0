// One value of a row, exact on both backends, and the plain containers made of it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace quarry {

enum class ValueKind : uint8_t {
  kNull = 0,
  kBool,
  kInt64,
  kDouble,  // NaN and infinities included.
  kText,    // Valid UTF-8 without NUL.
  kBytes,
  kTimestamp,  // Microseconds since 1970-01-01 00:00:00; the column's type says instant or wall clock.
  kDate,       // "2026-01-31"
  kTime,       // "23:59:59.999999"
  kInterval,   // ISO 8601, "P1Y2M3DT4H5M6.7S"
  kDecimal,    // "-12.340", "NaN", "Infinity"; scale is kept.
  kUuid,       // Canonical lower case.
  kJson,       // As given (PostgreSQL's jsonb normalizes it).
  kArray,
  kNative,  // A PostgreSQL type by name, in its text form.
};

// Value type; cheap to move, copies share arrays and natives. Accessors require the kind they name.
class Value {
 public:
  Value() = default;
  static Value Null() { return Value(); }
  static Value Bool(bool value) { return Value(ValueKind::kBool, value); }
  static Value Int64(int64_t value) { return Value(ValueKind::kInt64, value); }
  static Value Double(double value) { return Value(ValueKind::kDouble, value); }
  static Value Text(std::string value) { return Value(ValueKind::kText, std::move(value)); }
  static Value Bytes(std::string value) { return Value(ValueKind::kBytes, std::move(value)); }
  // Microseconds since the Unix epoch. "infinity" and years that the wire cannot carry are natives.
  static Value Timestamp(int64_t unix_micros) { return Value(ValueKind::kTimestamp, unix_micros); }
  static Value Date(std::string value) { return Value(ValueKind::kDate, std::move(value)); }
  static Value Time(std::string value) { return Value(ValueKind::kTime, std::move(value)); }
  static Value Interval(std::string value) { return Value(ValueKind::kInterval, std::move(value)); }
  static Value Decimal(std::string value) { return Value(ValueKind::kDecimal, std::move(value)); }
  static Value Uuid(std::string value) { return Value(ValueKind::kUuid, std::move(value)); }
  static Value Json(std::string value) { return Value(ValueKind::kJson, std::move(value)); }
  static Value Array(std::vector<Value> elements) {
    return Value(ValueKind::kArray, std::make_shared<const std::vector<Value>>(std::move(elements)));
  }
  static Value Native(std::string type, std::string text) {
    return Value(ValueKind::kNative, std::make_shared<const std::pair<std::string, std::string>>(
                                         std::move(type), std::move(text)));
  }

  ValueKind kind() const { return kind_; }
  bool is_null() const { return kind_ == ValueKind::kNull; }
  bool bool_value() const { return std::get<bool>(data_); }
  int64_t int64_value() const { return std::get<int64_t>(data_); }
  double double_value() const { return std::get<double>(data_); }
  int64_t timestamp_micros() const { return std::get<int64_t>(data_); }
  // Of text, bytes, date, time, interval, decimal, uuid and json.
  const std::string& text() const { return std::get<std::string>(data_); }
  std::string TakeText() && { return std::get<std::string>(std::move(data_)); }
  const std::vector<Value>& elements() const { return *std::get<Elements>(data_); }
  const std::string& native_type() const { return std::get<NativeText>(data_)->first; }
  const std::string& native_text() const { return std::get<NativeText>(data_)->second; }

  // Same kind and same bits, but NaN equals NaN and 0.0 equals -0.0; no numeric promotion.
  friend bool operator==(const Value& a, const Value& b);
  friend bool operator!=(const Value& a, const Value& b) { return !(a == b); }

 private:
  using Elements = std::shared_ptr<const std::vector<Value>>;
  using NativeText = std::shared_ptr<const std::pair<std::string, std::string>>;
  template <typename T>
  Value(ValueKind kind, T data) : kind_(kind), data_(std::move(data)) {}

  ValueKind kind_ = ValueKind::kNull;
  std::variant<std::monostate, bool, int64_t, double, std::string, Elements, NativeText> data_;
};

// "int64", "text", …; for messages.
const char* ValueKindName(ValueKind kind);
// For tests and explanations of keys, never for logs of row data: text is quoted, long text is cut.
std::string DebugString(const Value& value);
// Approximate bytes on the wire; for limits.
size_t ByteSize(const Value& value);

using Row = std::vector<Value>;
// A single row or the columns of a write: present columns only.
using Record = std::map<std::string, Value, std::less<>>;
// The values of a key in its columns' order, checked against the catalog.
using Key = std::vector<Value>;

// A key as a caller gives it: by name or by position in primary-key order, never both.
struct KeyInput {
  Record by_name;
  std::vector<Value> by_position;
  bool empty() const { return by_name.empty() && by_position.empty(); }
};

}  // namespace quarry
