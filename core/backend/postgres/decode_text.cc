#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/backend/postgres/calendar.h"
#include "core/backend/postgres/types.h"

namespace quarry::postgres {
namespace {

std::optional<Value> ReadScalar(Oid oid, std::string_view text) {
  const std::string owned(text);
  switch (oid) {
    case kBoolOid:
      return Value::Bool(owned == "t");
    case kInt2Oid:
    case kInt4Oid:
    case kInt8Oid:
    case kOidOid: {
      int64_t number = 0;
      if (!absl::SimpleAtoi(owned, &number)) return std::nullopt;
      return Value::Int64(number);
    }
    case kFloat4Oid:
      return Value::Double(std::strtof(owned.c_str(), nullptr));
    case kFloat8Oid:
      return Value::Double(std::strtod(owned.c_str(), nullptr));
    case kTextOid:
    case kVarcharOid:
    case kBpcharOid:
    case kNameOid:
    case kCharOid:
    case kUnknownOid:
      return Value::Text(owned);
    case kByteaOid:
      if (text.substr(0, 2) != "\\x") return std::nullopt;
      return Value::Bytes(absl::HexStringToBytes(owned.substr(2)));
    case kJsonOid:
    case kJsonbOid:
      return Value::Json(owned);
    case kUuidOid:
      return Value::Uuid(owned);
    case kNumericOid:
      return Value::Decimal(owned);
    case kIntervalOid:
      return Value::Interval(owned);
    case kTimeOid:
      return Value::Time(owned);
    case kDateOid:
      if (!IsPlainDate(text)) return std::nullopt;
      return Value::Date(owned);
    case kTimestampOid:
    case kTimestampTzOid: {
      const std::optional<int64_t> micros = ParseTimestamp(text);
      if (!micros.has_value()) return std::nullopt;
      return Value::Timestamp(*micros);
    }
    case kVoidOid:
      return Value::Null();
    default:
      return std::nullopt;
  }
}

std::string ShortName(Oid oid, const ColumnType& type) {
  if (oid == kTimestampTzOid) return "timestamptz";
  if (oid == kTimestampOid) return "timestamp";
  return type.native_name;
}

// Reads the literal that array_out writes: {1,NULL,"a \"b\"",{…}}.
class ArrayReader {
 public:
  ArrayReader(Oid element, std::string_view text) : element_(element), left_(text) {}
  std::optional<Value> ReadWhole() {
    // Bounds other than from 1 go before: "[2:3]={…}".
    if (!left_.empty() && left_.front() == '[') {
      const size_t start = left_.find('=');
      if (start == std::string_view::npos) return std::nullopt;
      left_.remove_prefix(start + 1);
    }
    std::optional<Value> array = ReadList();
    if (!left_.empty()) return std::nullopt;
    return array;
  }

 private:
  std::optional<Value> ReadList() {
    std::vector<Value> elements;
    if (!Take('{')) return std::nullopt;
    if (Take('}')) return Value::Array({});
    do {
      std::optional<Value> element = !left_.empty() && left_.front() == '{' ? ReadList() : ReadElement();
      if (!element.has_value()) return std::nullopt;
      elements.push_back(*std::move(element));
    } while (Take(','));
    if (!Take('}')) return std::nullopt;
    return Value::Array(std::move(elements));
  }
  std::optional<Value> ReadElement() {
    const bool quoted = Take('"');
    std::string text;
    while (!left_.empty()) {
      const char next = left_.front();
      if (quoted ? next == '"' : next == ',' || next == '}') break;
      left_.remove_prefix(1);
      if (next == '\\' && !left_.empty()) {
        text += left_.front();
        left_.remove_prefix(1);
      } else {
        text += next;
      }
    }
    if (quoted && !Take('"')) return std::nullopt;
    if (!quoted && text == "NULL") return Value::Null();
    return DecodeText(element_, TypeOfOid(element_), text);
  }
  bool Take(char expected) {
    if (left_.empty() || left_.front() != expected) return false;
    left_.remove_prefix(1);
    return true;
  }

  Oid element_;
  std::string_view left_;
};

}  // namespace

Value DecodeText(Oid oid, const ColumnType& type, std::string_view text) {
  const Oid element = ElementOid(oid);
  std::optional<Value> value = element != 0 ? ArrayReader(element, text).ReadWhole() : ReadScalar(oid, text);
  if (value.has_value()) return *std::move(value);
  return Value::Native(ShortName(oid, type), std::string(text));
}

}  // namespace quarry::postgres
