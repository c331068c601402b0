#include "tests/differential/values.h"

#include <cmath>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"

namespace quarry::differential {
namespace {

constexpr size_t kWideDigits = 24;  // Before the point, and after it.

std::string TimestampText(int64_t micros) {
  return absl::FormatTime("%E4Y-%m-%d %H:%M:%E6S", absl::FromUnixMicros(micros), absl::UTCTimeZone());
}

std::string ShortFraction(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string DecimalCell(const std::string& text) {
  const std::string shortened = ShortFraction(text);
  return shortened == "-0" ? "0" : shortened;
}

struct DecimalParts {
  bool negative = false;
  std::string whole;
  std::string fraction;
};

DecimalParts PartsOf(std::string text) {
  DecimalParts parts;
  parts.negative = text[0] == '-';
  if (parts.negative) text.erase(0, 1);
  const size_t point = text.find('.');
  parts.whole = text.substr(0, point);
  if (point != std::string::npos) parts.fraction = text.substr(point + 1);
  return parts;
}

std::string ScaledInteger(const std::string& decimal, int scale) {
  DecimalParts parts = PartsOf(decimal);
  parts.fraction.resize(static_cast<size_t>(scale), '0');
  return absl::StrCat(parts.negative ? "-" : "", parts.whole, parts.fraction);
}

std::string FromScaled(const std::string& integer, int scale) {
  const bool negative = integer[0] == '-';
  std::string digits = negative ? integer.substr(1) : integer;
  if (digits.size() <= static_cast<size_t>(scale)) digits.insert(0, static_cast<size_t>(scale) + 1 - digits.size(), '0');
  digits.insert(digits.size() - static_cast<size_t>(scale), ".");
  return DecimalCell(absl::StrCat(negative ? "-" : "", digits));
}

std::string Complement(std::string digits) {
  for (char& digit : digits) digit = static_cast<char>('0' + '9' - digit);
  return digits;
}

// Sorts as the numbers do: a class, then digits of one width.
std::string WideText(const std::string& decimal) {
  if (decimal == "-Infinity") return "0";
  if (decimal == "Infinity") return "3";
  if (decimal == "NaN") return "4";
  const DecimalParts parts = PartsOf(decimal);
  std::string digits(kWideDigits - parts.whole.size(), '0');
  absl::StrAppend(&digits, parts.whole, parts.fraction);
  digits.resize(2 * kWideDigits, '0');
  const bool zero = digits.find_first_not_of('0') == std::string::npos;
  return parts.negative && !zero ? "1" + Complement(digits) : "2" + digits;
}

std::string FromWideText(const std::string& text) {
  if (text == "0") return "-Infinity";
  if (text == "3") return "Infinity";
  if (text == "4") return "NaN";
  const bool negative = text[0] == '1';
  const std::string digits = negative ? Complement(text.substr(1)) : text.substr(1);
  std::string whole = digits.substr(0, kWideDigits);
  whole.erase(0, std::min(whole.find_first_not_of('0'), kWideDigits - 1));
  return DecimalCell(absl::StrCat(negative ? "-" : "", whole, ".", digits.substr(kWideDigits)));
}

std::string QuotedForPostgres(const std::string& text) {
  return absl::StrCat("E'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "''"}}), "'");
}

std::string QuotedForSqlite(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "''"}}), "'");
}

std::string SqliteDecimal(const std::string& text, Profile profile) {
  if (profile == Profile::kWide) return QuotedForSqlite(WideText(text));
  return ScaledInteger(text, profile == Profile::kWhole ? 0 : kPlainScale);
}

}  // namespace

std::string DoubleText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return absl::StrFormat("%.17g", value == 0 ? 0.0 : value);
}

v1::Value ToProto(const Value& value) {
  v1::Value proto;
  switch (value.kind()) {
    case ValueKind::kBool:
      proto.set_bool_value(value.bool_value());
      break;
    case ValueKind::kInt64:
      proto.set_int64_value(value.int64_value());
      break;
    case ValueKind::kDouble:
      proto.set_double_value(value.double_value());
      break;
    case ValueKind::kText:
      proto.set_text_value(value.text());
      break;
    case ValueKind::kBytes:
      proto.set_bytes_value(value.text());
      break;
    case ValueKind::kTimestamp: {
      const int64_t seconds = absl::ToUnixSeconds(absl::FromUnixMicros(value.timestamp_micros()));
      proto.mutable_timestamp_value()->set_seconds(seconds);
      proto.mutable_timestamp_value()->set_nanos(static_cast<int32_t>(value.timestamp_micros() - seconds * 1'000'000) * 1000);
      break;
    }
    case ValueKind::kDate:
      proto.set_date_value(value.text());
      break;
    case ValueKind::kTime:
      proto.set_time_value(value.text());
      break;
    case ValueKind::kDecimal:
      proto.set_decimal_value(value.text());
      break;
    case ValueKind::kUuid:
      proto.set_uuid_value(value.text());
      break;
    default:
      proto.set_null_value(google::protobuf::NULL_VALUE);
  }
  return proto;
}

std::string PostgresLiteral(const Value& value, const ValueType& type) {
  switch (value.kind()) {
    case ValueKind::kBool:
      return value.bool_value() ? "true" : "false";
    case ValueKind::kInt64:
      return absl::StrCat("'", value.int64_value(), "'::int8");
    case ValueKind::kDouble:
      return absl::StrCat("'", std::signbit(value.double_value()) && value.double_value() == 0 ? "-0" : DoubleText(value.double_value()),
                          "'::float8");
    case ValueKind::kText:
      return QuotedForPostgres(value.text());
    case ValueKind::kBytes:
      return absl::StrCat("decode('", absl::BytesToHexString(value.text()), "', 'hex')");
    case ValueKind::kTimestamp: {
      const bool instant = type.kind == TypeKind::kTimestampTz;
      return absl::StrCat("'", TimestampText(value.timestamp_micros()), instant ? "+00'::timestamptz" : "'::timestamp");
    }
    case ValueKind::kDate:
      return absl::StrCat("'", value.text(), "'::date");
    case ValueKind::kTime:
      return absl::StrCat("'", value.text(), "'::time");
    case ValueKind::kDecimal:
      return absl::StrCat("'", value.text(), "'::numeric");
    case ValueKind::kUuid:
      return absl::StrCat("'", value.text(), "'::uuid");
    default:
      return "NULL";
  }
}

std::string SqliteLiteral(const Value& value, const ValueType& type) {
  switch (value.kind()) {
    case ValueKind::kBool:
      return value.bool_value() ? "1" : "0";
    case ValueKind::kInt64:
      if (type.kind == TypeKind::kDecimal) return SqliteDecimal(absl::StrCat(value.int64_value()), type.profile);
      // The least integer has no literal: its digits without the sign are a double.
      if (value.int64_value() == std::numeric_limits<int64_t>::min()) return "(-9223372036854775807 - 1)";
      return absl::StrCat(value.int64_value());
    case ValueKind::kDouble:
      if (std::isnan(value.double_value())) return "'NaN'";
      if (std::isinf(value.double_value())) return value.double_value() > 0 ? "9e999" : "-9e999";
      return absl::StrFormat("%.17e", value.double_value());
    case ValueKind::kBytes:
      return absl::StrCat("x'", absl::BytesToHexString(value.text()), "'");
    case ValueKind::kTimestamp:
      return absl::StrCat(value.timestamp_micros());
    case ValueKind::kTime: {
      const DecimalParts parts = PartsOf(value.text());
      return absl::StrCat("'", parts.whole, ".", parts.fraction, std::string(6 - parts.fraction.size(), '0'), "'");
    }
    case ValueKind::kDecimal:
      return type.kind == TypeKind::kDecimal ? SqliteDecimal(value.text(), type.profile) : value.text();
    case ValueKind::kNull:
      return "NULL";
    default:
      return QuotedForSqlite(value.text());
  }
}

Cell CellOf(const v1::Value& value, TypeKind type) {
  using Proto = v1::Value;
  const Proto::KindCase kind = value.kind_case();
  if (kind == Proto::kNullValue) return std::nullopt;
  const bool is_double = type == TypeKind::kDouble;
  if (type == TypeKind::kBool && kind == Proto::kBoolValue) return value.bool_value() ? "true" : "false";
  if (is_double && kind == Proto::kDoubleValue) return DoubleText(value.double_value());
  if (type == TypeKind::kText && kind == Proto::kTextValue) return value.text_value();
  if (type == TypeKind::kBytes && kind == Proto::kBytesValue) return absl::BytesToHexString(value.bytes_value());
  if (type == TypeKind::kDate && kind == Proto::kDateValue) return value.date_value();
  if (type == TypeKind::kTime && kind == Proto::kTimeValue) return ShortFraction(value.time_value());
  if (type == TypeKind::kDecimal && kind == Proto::kDecimalValue) return DecimalCell(value.decimal_value());
  if (type == TypeKind::kUuid && kind == Proto::kUuidValue) return value.uuid_value();
  const bool is_integer = type == TypeKind::kInt16 || type == TypeKind::kInt32 || type == TypeKind::kInt64;
  if (is_integer && kind == Proto::kInt64Value) return absl::StrCat(value.int64_value());
  const bool is_moment = type == TypeKind::kTimestamp || type == TypeKind::kTimestampTz;
  if (is_moment && kind == Proto::kTimestampValue) {
    return absl::StrCat(value.timestamp_value().seconds() * 1'000'000 + value.timestamp_value().nanos() / 1000);
  }
  return absl::StrCat("not of its type: ", value.ShortDebugString());
}

Cell CellOfPostgres(const std::string& text, TypeKind type) {
  if (type == TypeKind::kBool) return text == "t" ? "true" : "false";
  if (type == TypeKind::kDouble) return DoubleText(std::strtod(text.c_str(), nullptr));
  if (type == TypeKind::kTime) return ShortFraction(text);
  if (type == TypeKind::kDecimal) return DecimalCell(text);
  return text;
}

Cell CellOfSqlite(const std::string& text, const ValueType& type) {
  if (type.kind == TypeKind::kBool) return text == "1" ? "true" : "false";
  if (type.kind == TypeKind::kDouble) return DoubleText(text == "NaN" ? std::nan("") : std::strtod(text.c_str(), nullptr));
  if (type.kind == TypeKind::kTime) return ShortFraction(text);
  if (type.kind != TypeKind::kDecimal || type.profile == Profile::kQuotient) return text;
  if (type.profile == Profile::kWide) return FromWideText(text);
  return type.profile == Profile::kWhole ? DecimalCell(text) : FromScaled(text, kPlainScale);
}

}  // namespace quarry::differential
