// Values, records and keys as a program writes them: Record{{"id", 1}, {"name", "x"}}, Key{1, "x"}.
// Plain value types over the messages of quarry.v1; nothing is rounded or cast on the way.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "quarry/v1/value.pb.h"

namespace quarry::client {

// One value. Numbers, booleans and text convert by themselves; every other type has a named maker,
// since text alone does not tell a decimal from a date.
class Value {
 public:
  Value() { proto_.set_null_value(google::protobuf::NULL_VALUE); }
  Value(std::nullptr_t) : Value() {}
  Value(bool value) { proto_.set_bool_value(value); }
  // Every integer type that fits in 64 signed bits; a uint64_t has to be converted by its owner.
  template <std::integral T>
    requires(!std::same_as<T, bool> && (std::signed_integral<T> || sizeof(T) < sizeof(int64_t)))
  Value(T value) {
    proto_.set_int64_value(value);
  }
  Value(double value) { proto_.set_double_value(value); }
  Value(const char* text) { proto_.set_text_value(text); }
  Value(std::string text) { proto_.set_text_value(std::move(text)); }
  Value(std::string_view text) { proto_.set_text_value(std::string(text)); }
  explicit Value(v1::Value proto) : proto_(std::move(proto)) {}

  static Value Bytes(std::string value);
  // The instant, cut to the microsecond below it.
  static Value Timestamp(absl::Time value);
  static Value Date(std::string value);      // "2026-01-31"
  static Value Time(std::string value);      // "23:59:59.999999"
  static Value Interval(std::string value);  // "P1Y2M3DT4H5M6.7S"
  static Value Decimal(std::string value);   // "-12.340"
  static Value Uuid(std::string value);
  static Value Json(std::string document);
  static Value Array(std::vector<Value> elements);
  static Value Native(std::string type, std::string text);

  bool is_null() const { return proto_.kind_case() == v1::Value::kNullValue; }
  // Each is nullopt when the value is of another type (a null included).
  std::optional<bool> AsBool() const;
  std::optional<int64_t> AsInt64() const;
  std::optional<double> AsDouble() const;
  // Of text, date, time, interval, decimal, uuid, json and native values.
  std::optional<std::string> AsText() const;
  std::optional<std::string> AsBytes() const;
  std::optional<absl::Time> AsTimestamp() const;

  const v1::Value& proto() const { return proto_; }

  // Same type and same bits, as their serialized forms compare.
  friend bool operator==(const Value& a, const Value& b);

 private:
  v1::Value proto_;
};

// Columns by name: a row that was read, or the part of it that a write sets.
class Record {
 public:
  Record() = default;
  Record(std::initializer_list<std::pair<std::string, Value>> columns);
  explicit Record(v1::Record proto) : proto_(std::move(proto)) {}

  Record& Set(std::string column, Value value);
  // nullopt when the column is not present; a null that is present is a null Value.
  std::optional<Value> Find(const std::string& column) const;
  // The value of a column that may be absent: a null stands for it.
  Value operator[](const std::string& column) const;
  int size() const { return static_cast<int>(proto_.columns().size()); }

  const v1::Record& proto() const { return proto_; }

 private:
  v1::Record proto_;
};

// The primary key of one row: Key{7, "x"} by position, Key::ByName({{"id", 7}}) by name.
class Key {
 public:
  Key() = default;
  Key(std::initializer_list<Value> values);
  explicit Key(v1::Key proto) : proto_(std::move(proto)) {}
  static Key ByName(const Record& columns);

  const v1::Key& proto() const { return proto_; }

 private:
  v1::Key proto_;
};

}  // namespace quarry::client
