#include "client/quarryctl/text_value.h"

#include <charconv>
#include <cmath>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/quarryctl/timestamp_text.h"
#include "core/base/ids.h"
#include "core/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace quarry::ctl {
namespace {

using Json = nlohmann::json;

absl::string_view Absl(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

absl::Status NotA(std::string_view text, const char* what) {
  return absl::InvalidArgumentError(absl::StrCat("\"", Absl(text), "\" is not ", what));
}

// All of `text` as a number of type T.
template <typename T>
std::optional<T> Parse(std::string_view text) {
  if (absl::StartsWith(Absl(text), "+")) text.remove_prefix(1);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

absl::StatusOr<v1::Value> ParseInt64(std::string_view text) {
  const auto number = Parse<int64_t>(text);
  if (!number) return NotA(text, "a whole number of 64 bits");
  v1::Value value;
  value.set_int64_value(*number);
  return value;
}

absl::StatusOr<v1::Value> ParseDouble(std::string_view text) {
  const auto number = Parse<double>(text);
  if (!number) return NotA(text, "a number that a double can hold");
  v1::Value value;
  value.set_double_value(*number);
  return value;
}

absl::StatusOr<v1::Value> ParseBool(std::string_view text) {
  const std::string lower = absl::AsciiStrToLower(Absl(text));
  v1::Value value;
  for (const char* yes : {"true", "t", "yes", "on", "1"}) {
    if (lower == yes) {
      value.set_bool_value(true);
      return value;
    }
  }
  for (const char* no : {"false", "f", "no", "off", "0"}) {
    if (lower == no) {
      value.set_bool_value(false);
      return value;
    }
  }
  return NotA(text, "true or false");
}

size_t CountDigits(std::string_view text, size_t& at) {
  const size_t start = at;
  while (at < text.size() && absl::ascii_isdigit(text[at])) ++at;
  return at - start;
}

bool IsDecimal(std::string_view text) {
  size_t at = 0;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  const std::string_view rest = text.substr(at);
  if (rest == "NaN" || rest == "Infinity") return rest == text || text[0] == '-';
  size_t digits = CountDigits(text, at);
  if (at < text.size() && text[at] == '.') {
    ++at;
    digits += CountDigits(text, at);
  }
  if (digits == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (CountDigits(text, at) == 0) return false;
  }
  return at == text.size();
}

absl::StatusOr<v1::Value> ParseDecimal(std::string_view text) {
  if (!IsDecimal(text)) return NotA(text, "a decimal number such as -12.3400");
  if (text.front() == '+') text.remove_prefix(1);
  v1::Value value;
  value.set_decimal_value(std::string(text));
  return value;
}

absl::StatusOr<v1::Value> ParseBytes(std::string_view text) {
  v1::Value value;
  std::string bytes;
  if (absl::StartsWith(Absl(text), "\\x")) {
    const std::string_view digits = text.substr(2);
    const bool hex = digits.size() % 2 == 0 &&
                     digits.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
    if (!hex) return NotA(text, "\\x with pairs of hexadecimal digits");
    bytes = absl::HexStringToBytes(Absl(digits));
  } else if (!absl::Base64Unescape(Absl(text), &bytes)) {
    return NotA(text, "bytes: give \\x and hexadecimal digits, or base64");
  }
  value.set_bytes_value(std::move(bytes));
  return value;
}

v1::Value Native(std::string_view type, std::string_view text) {
  v1::Value value;
  value.mutable_native_value()->set_type(std::string(type));
  value.mutable_native_value()->set_text(std::string(text));
  return value;
}

bool IsInfinity(std::string_view text) { return text == "infinity" || text == "-infinity"; }

absl::StatusOr<v1::Value> ParseTime(std::string_view text, bool wall_clock) {
  if (IsInfinity(text)) return Native(wall_clock ? "timestamp" : "timestamptz", text);
  QUARRY_ASSIGN_OR_RETURN(const auto time, ParseTimestamp(text, wall_clock));
  v1::Value value;
  *value.mutable_timestamp_value() = time;
  return value;
}

absl::StatusOr<v1::Value> ParseDate(std::string_view text) {
  if (IsInfinity(text)) return Native("date", text);
  if (!IsDate(text)) return NotA(text, "a date such as 2026-01-31");
  v1::Value value;
  value.set_date_value(std::string(text));
  return value;
}

absl::StatusOr<v1::Value> ParseUuid(std::string_view text) {
  const auto uuid = CanonicalUuid(text);
  if (!uuid) return NotA(text, "a UUID such as 0190163d-8694-739b-aea5-966c26f8ad91");
  v1::Value value;
  value.set_uuid_value(*uuid);
  return value;
}

absl::StatusOr<v1::Value> ParseJson(std::string_view text) {
  if (!Json::accept(text)) return NotA(text, "a JSON document");
  v1::Value value;
  value.set_json_value(std::string(text));
  return value;
}

absl::StatusOr<v1::Value> ParseInterval(std::string_view text) {
  const std::string_view rest = absl::StartsWith(Absl(text), "-") ? text.substr(1) : text;
  if (rest.size() < 2 || rest[0] != 'P')
    return NotA(text, "an ISO 8601 duration such as P1DT2H30M");
  v1::Value value;
  value.set_interval_value(std::string(text));
  return value;
}

size_t EndOfString(std::string_view json, size_t at) {
  for (++at; json[at] != '"'; ++at) {
    if (json[at] == '\\') ++at;
  }
  return at + 1;
}

size_t SkipSpace(std::string_view json, size_t at) {
  while (at < json.size() && absl::ascii_isspace(json[at])) ++at;
  return at;
}

// The end of the value that starts at `at`, in text that is known to be JSON.
size_t EndOfValue(std::string_view json, size_t at) {
  int depth = 0;
  while (at < json.size()) {
    const char c = json[at];
    if (c == '"') {
      at = EndOfString(json, at);
      if (depth == 0) return at;
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') {
      if (depth == 0) return at;  // Closes what holds a number or a literal.
      if (--depth == 0) return at + 1;
    }
    if (depth == 0 && (c == ',' || absl::ascii_isspace(c))) return at;
    ++at;
  }
  return at;
}

std::vector<std::string_view> SplitArray(std::string_view json) {
  std::vector<std::string_view> elements;
  size_t at = SkipSpace(json, 1);
  while (json[at] != ']') {
    const size_t end = EndOfValue(json, at);
    elements.push_back(json.substr(at, end - at));
    at = SkipSpace(json, end);
    if (json[at] == ',') at = SkipSpace(json, at + 1);
  }
  return elements;
}

absl::StatusOr<v1::Value> ParseArray(const v1::ColumnType& type, std::string_view json) {
  if (!Json::accept(json) || json[0] != '[') return NotA(json, "a JSON array");
  v1::ColumnType element_type;
  element_type.set_code(type.element_code());
  v1::Value value;
  value.mutable_array_value();
  for (const std::string_view element : SplitArray(json)) {
    QUARRY_ASSIGN_OR_RETURN(*value.mutable_array_value()->add_elements(),
                            FromJson(element_type, element));
  }
  return value;
}

v1::Value TextValue(std::string_view text) {
  v1::Value value;
  value.set_text_value(std::string(text));
  return value;
}

std::optional<v1::TypeCode> CodeNamed(std::string_view name) {
  static constexpr std::pair<std::string_view, v1::TypeCode> kNames[] = {
      {"int", v1::TYPE_CODE_INT64},
      {"double", v1::TYPE_CODE_DOUBLE},
      {"decimal", v1::TYPE_CODE_DECIMAL},
      {"text", v1::TYPE_CODE_TEXT},
      {"bool", v1::TYPE_CODE_BOOL},
      {"bytes", v1::TYPE_CODE_BYTES},
      {"date", v1::TYPE_CODE_DATE},
      {"time", v1::TYPE_CODE_TIME},
      {"timestamp", v1::TYPE_CODE_TIMESTAMP},
      {"timestamptz", v1::TYPE_CODE_TIMESTAMPTZ},
      {"interval", v1::TYPE_CODE_INTERVAL},
      {"uuid", v1::TYPE_CODE_UUID},
      {"json", v1::TYPE_CODE_JSON}};
  for (const auto& [known, code] : kNames) {
    if (known == name) return code;
  }
  return std::nullopt;
}

absl::StatusOr<v1::Value> Infer(std::string_view text) {
  if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    if (const auto code = CodeNamed(text.substr(0, colon))) {
      v1::ColumnType type;
      type.set_code(*code);
      return FromText(type, text.substr(colon + 1));
    }
  }
  v1::Value value;
  if (text == "null") {
    value.set_null_value(google::protobuf::NULL_VALUE);
  } else if (text == "true" || text == "false") {
    value.set_bool_value(text == "true");
  } else if (const auto whole = Parse<int64_t>(text)) {
    value.set_int64_value(*whole);
  } else if (const auto number = Parse<double>(text);
             number && std::isfinite(*number) && IsDecimal(text)) {
    value.set_double_value(*number);
  } else {
    return TextValue(text);
  }
  return value;
}

std::string DoubleText(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), number).ptr;
  return std::string(buffer, end);
}

std::string ArrayText(const v1::ArrayValue& array, v1::TypeCode element_code) {
  v1::ColumnType type;
  type.set_code(element_code);
  std::string text = "[";
  for (const v1::Value& element : array.elements()) {
    absl::StrAppend(&text, text.size() > 1 ? "," : "", ToJson(element, type));
  }
  return text + "]";
}

}  // namespace

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xC2 ? 0
                          : lead < 0xE0 ? 2
                          : lead < 0xF0 ? 3
                          : lead < 0xF5 ? 4
                                        : 0;
    if (length == 0 || text.size() - i < length) return false;
    uint32_t point = length == 1 ? lead : lead & (0x7F >> length);
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      point = point << 6 | (next & 0x3F);
    }
    const bool surrogate = point >= 0xD800 && point < 0xE000;
    const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
    if (surrogate || overlong || point > 0x10FFFF) return false;
    i += length;
  }
  return true;
}

absl::StatusOr<v1::Value> FromText(const v1::ColumnType& type, std::string_view text) {
  if (!IsUtf8(text)) return absl::InvalidArgumentError("is not UTF-8");
  v1::Value value;
  switch (type.code()) {
    case v1::TYPE_CODE_BOOL:
      return ParseBool(text);
    case v1::TYPE_CODE_INT64:
      return ParseInt64(text);
    case v1::TYPE_CODE_DOUBLE:
      return ParseDouble(text);
    case v1::TYPE_CODE_TEXT:
      return TextValue(text);
    case v1::TYPE_CODE_BYTES:
      return ParseBytes(text);
    case v1::TYPE_CODE_TIMESTAMP:
      return ParseTime(text, true);
    case v1::TYPE_CODE_TIMESTAMPTZ:
      return ParseTime(text, false);
    case v1::TYPE_CODE_DATE:
      return ParseDate(text);
    case v1::TYPE_CODE_TIME:
      value.set_time_value(std::string(text));
      return value;
    case v1::TYPE_CODE_INTERVAL:
      return ParseInterval(text);
    case v1::TYPE_CODE_DECIMAL:
      return ParseDecimal(text);
    case v1::TYPE_CODE_UUID:
      return ParseUuid(text);
    case v1::TYPE_CODE_JSON:
      return ParseJson(text);
    case v1::TYPE_CODE_ARRAY:
      return ParseArray(type, text);
    case v1::TYPE_CODE_NATIVE:
      return Native(type.native_type(), text);
    default:
      return Infer(text);
  }
}

absl::StatusOr<v1::Value> FromJson(const v1::ColumnType& type, std::string_view json) {
  if (!Json::accept(json)) return NotA(json, "a JSON value");
  const size_t start = SkipSpace(json, 0);
  json = json.substr(start, EndOfValue(json, start) - start);
  v1::Value value;
  if (json == "null") {
    value.set_null_value(google::protobuf::NULL_VALUE);
    return value;
  }
  if (type.code() == v1::TYPE_CODE_JSON) return ParseJson(json);
  switch (json[0]) {
    case '"': {
      const std::string text = Json::parse(json).get<std::string>();
      return type.code() == v1::TYPE_CODE_UNSPECIFIED ? TextValue(text) : FromText(type, text);
    }
    case '[':
      if (type.code() == v1::TYPE_CODE_ARRAY) return ParseArray(type, json);
      return NotA(json, "a value of this column: it is an array");
    case '{':
      return NotA(json, "a value of this column: it is an object");
    case 't':
    case 'f':
      if (type.code() == v1::TYPE_CODE_BOOL || type.code() == v1::TYPE_CODE_UNSPECIFIED)
        return ParseBool(json);
      return NotA(json, "a value of this column: it is a boolean");
    default:
      break;
  }
  switch (type.code()) {
    case v1::TYPE_CODE_INT64:
    case v1::TYPE_CODE_DOUBLE:
    case v1::TYPE_CODE_DECIMAL:
    case v1::TYPE_CODE_UNSPECIFIED:
      return FromText(type, json);
    default:
      return NotA(json, "a value of this column: it is a number, give a string");
  }
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> SplitJsonObject(
    std::string_view json) {
  if (!Json::accept(json)) return absl::InvalidArgumentError("is not valid JSON");
  size_t at = SkipSpace(json, 0);
  if (json[at] != '{') return absl::InvalidArgumentError("is not a JSON object");
  std::vector<std::pair<std::string, std::string>> members;
  std::set<std::string> seen;
  at = SkipSpace(json, at + 1);
  while (json[at] != '}') {
    const size_t name_end = EndOfString(json, at);
    std::string name = Json::parse(json.substr(at, name_end - at)).get<std::string>();
    if (!seen.insert(name).second)
      return absl::InvalidArgumentError(absl::StrCat("has \"", name, "\" twice"));
    at = SkipSpace(json, SkipSpace(json, name_end) + 1);  // Past the colon.
    const size_t end = EndOfValue(json, at);
    members.emplace_back(std::move(name), std::string(json.substr(at, end - at)));
    at = SkipSpace(json, end);
    if (json[at] == ',') at = SkipSpace(json, at + 1);
  }
  return members;
}

std::string ToText(const v1::Value& value, const v1::ColumnType& type) {
  switch (value.kind_case()) {
    case v1::Value::kBoolValue:
      return value.bool_value() ? "true" : "false";
    case v1::Value::kInt64Value:
      return absl::StrCat(value.int64_value());
    case v1::Value::kDoubleValue:
      return DoubleText(value.double_value());
    case v1::Value::kTextValue:
      return value.text_value();
    case v1::Value::kBytesValue:
      return absl::StrCat("\\x", absl::BytesToHexString(value.bytes_value()));
    case v1::Value::kTimestampValue:
      return FormatTimestamp(value.timestamp_value(), type.code() == v1::TYPE_CODE_TIMESTAMP);
    case v1::Value::kDateValue:
      return value.date_value();
    case v1::Value::kTimeValue:
      return value.time_value();
    case v1::Value::kIntervalValue:
      return value.interval_value();
    case v1::Value::kDecimalValue:
      return value.decimal_value();
    case v1::Value::kUuidValue:
      return value.uuid_value();
    case v1::Value::kJsonValue:
      return value.json_value();
    case v1::Value::kArrayValue:
      return ArrayText(value.array_value(), type.element_code());
    case v1::Value::kNativeValue:
      return value.native_value().text();
    default:
      return "NULL";
  }
}

std::string JsonString(std::string_view text) {
  return Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string ToJson(const v1::Value& value, const v1::ColumnType& type) {
  switch (value.kind_case()) {
    case v1::Value::kNullValue:
    case v1::Value::KIND_NOT_SET:
      return "null";
    case v1::Value::kDoubleValue:
      if (!std::isfinite(value.double_value())) return JsonString(DoubleText(value.double_value()));
      return DoubleText(value.double_value());
    case v1::Value::kBoolValue:
    case v1::Value::kInt64Value:
    case v1::Value::kJsonValue:
    case v1::Value::kArrayValue:
      return ToText(value, type);
    default:
      return JsonString(ToText(value, type));
  }
}

}  // namespace quarry::ctl
