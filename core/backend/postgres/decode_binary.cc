// The binary forms are those of PostgreSQL's *send functions.
#include <bit>
#include <cstdlib>
#include <limits>
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

constexpr int kDimensionsMax = 6;  // PostgreSQL's own limit.

absl::Status Malformed(Oid oid) {
  return MakeError(absl::StatusCode::kInternal, reason::kDatabaseError,
                   absl::StrCat("the database sent a value that is not of its type ", TypeOfOid(oid).native_name));
}

// Big-endian reads off the front; 0 once too little is left, which ok() then tells.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}
  template <typename T>
  T Number() {
    if (left_.size() < sizeof(T)) {
      ok_ = false;
      return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) value = value << 8 | static_cast<unsigned char>(left_[i]);
    left_.remove_prefix(sizeof(T));
    return static_cast<T>(value);
  }
  std::string_view Bytes(size_t size) {
    if (left_.size() < size) {
      ok_ = false;
      return {};
    }
    const std::string_view bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return bytes;
  }
  size_t left() const { return left_.size(); }
  // Nothing was missing and nothing is left.
  bool ended() const { return ok_ && left_.empty(); }
  bool ok() const { return ok_; }

 private:
  std::string_view left_;
  bool ok_ = true;
};

Value DecodeTimestamp(int64_t micros, bool instant) {
  const char* const name = instant ? "timestamptz" : "timestamp";
  if (micros == std::numeric_limits<int64_t>::max()) return Value::Native(name, "infinity");
  if (micros == std::numeric_limits<int64_t>::min()) return Value::Native(name, "-infinity");
  constexpr int64_t kLast = 300'000'000'000'000'000;  // Beyond it the sum below could overflow; year 11506.
  if (micros < kLast && FitsWire(micros + kEpochMicros)) return Value::Timestamp(micros + kEpochMicros);
  // Whole days move to the other epoch without overflow.
  constexpr int64_t kDayMicros = 86'400'000'000;
  int64_t days = micros / kDayMicros;
  int64_t rest = micros % kDayMicros;
  if (rest < 0) {
    rest += kDayMicros;
    --days;
  }
  std::string date = FormatDate(days + kEpochDays);
  const size_t era = date.find(" BC");
  const std::string suffix = era == std::string::npos ? "" : " BC";
  if (era != std::string::npos) date.resize(era);
  return Value::Native(name, absl::StrCat(date, " ", FormatTime(rest), instant ? "+00" : "", suffix));
}

Value DecodeDate(int32_t days) {
  if (days == std::numeric_limits<int32_t>::max()) return Value::Native("date", "infinity");
  if (days == std::numeric_limits<int32_t>::min()) return Value::Native("date", "-infinity");
  std::string text = FormatDate(days + kEpochDays);
  return IsPlainDate(text) ? Value::Date(std::move(text)) : Value::Native("date", std::move(text));
}

std::string FormatUuid(std::string_view bytes) {
  const std::string hex = absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-", hex.substr(16, 4), "-",
                      hex.substr(20));
}

absl::StatusOr<Value> DecodeDimension(Reader* reader, Oid element, const std::vector<int32_t>& sizes, size_t depth) {
  std::vector<Value> elements;
  elements.reserve(std::min<size_t>(static_cast<size_t>(sizes[depth]), reader->left()));
  for (int32_t i = 0; i < sizes[depth]; ++i) {
    if (depth + 1 < sizes.size()) {
      QUARRY_ASSIGN_OR_RETURN(Value inner, DecodeDimension(reader, element, sizes, depth + 1));
      elements.push_back(std::move(inner));
      continue;
    }
    const auto size = reader->Number<int32_t>();
    const std::string_view bytes = size > 0 ? reader->Bytes(static_cast<size_t>(size)) : std::string_view();
    if (!reader->ok()) return Malformed(element);
    if (size < 0) {
      elements.push_back(Value::Null());
      continue;
    }
    QUARRY_ASSIGN_OR_RETURN(Value value, DecodeBinary(element, bytes));
    elements.push_back(std::move(value));
  }
  return Value::Array(std::move(elements));
}

absl::StatusOr<Value> DecodeArray(Oid oid, std::string_view bytes) {
  Reader reader(bytes);
  const auto dimensions = reader.Number<int32_t>();
  reader.Number<int32_t>();  // Whether it has nulls.
  const auto element = reader.Number<uint32_t>();
  if (!reader.ok() || dimensions < 0 || dimensions > kDimensionsMax) return Malformed(oid);
  if (dimensions == 0) return Value::Array({});
  std::vector<int32_t> sizes;
  for (int32_t i = 0; i < dimensions; ++i) {
    sizes.push_back(reader.Number<int32_t>());
    reader.Number<int32_t>();  // The lower bound; arrays of other bases than 1 are read as lists all the same.
    if (!reader.ok() || sizes.back() < 0) return Malformed(oid);
  }
  QUARRY_ASSIGN_OR_RETURN(Value array, DecodeDimension(&reader, element, sizes, 0));
  if (!reader.ended()) return Malformed(oid);
  return array;
}

absl::StatusOr<Value> DecodeNumber(Oid oid, Reader* reader) {
  switch (oid) {
    case kBoolOid:
      return Value::Bool(reader->Number<uint8_t>() != 0);
    case kInt2Oid:
      return Value::Int64(reader->Number<int16_t>());
    case kInt4Oid:
      return Value::Int64(reader->Number<int32_t>());
    case kInt8Oid:
      return Value::Int64(reader->Number<int64_t>());
    case kOidOid:
      return Value::Int64(reader->Number<uint32_t>());
    case kFloat4Oid:
      return Value::Double(std::bit_cast<float>(reader->Number<uint32_t>()));
    case kFloat8Oid:
      return Value::Double(std::bit_cast<double>(reader->Number<uint64_t>()));
    case kDateOid:
      return DecodeDate(reader->Number<int32_t>());
    case kTimeOid:
      return Value::Time(FormatTime(reader->Number<int64_t>()));
    case kTimestampOid:
    case kTimestampTzOid:
      return DecodeTimestamp(reader->Number<int64_t>(), oid == kTimestampTzOid);
    case kIntervalOid: {
      const auto micros = reader->Number<int64_t>();
      const auto days = reader->Number<int32_t>();
      const auto months = reader->Number<int32_t>();
      return Value::Interval(FormatInterval(months, days, micros));
    }
    default:
      return Malformed(oid);
  }
}

}  // namespace

absl::StatusOr<std::string> DecodeNumeric(std::string_view bytes) {
  constexpr uint16_t kNegative = 0x4000, kNan = 0xC000, kInfinity = 0xD000, kMinusInfinity = 0xF000;
  Reader reader(bytes);
  const auto digits = reader.Number<int16_t>();
  const auto weight = reader.Number<int16_t>();
  const auto sign = reader.Number<uint16_t>();
  const auto scale = reader.Number<uint16_t>();
  if (sign == kNan) return std::string("NaN");
  if (sign == kInfinity) return std::string("Infinity");
  if (sign == kMinusInfinity) return std::string("-Infinity");
  if (!reader.ok() || digits < 0 || reader.left() != static_cast<size_t>(digits) * 2) return Malformed(kNumericOid);
  std::vector<int> groups;  // Each of four decimal digits.
  for (int16_t i = 0; i < digits; ++i) groups.push_back(reader.Number<int16_t>());
  const auto group = [&groups](int index) {
    return index >= 0 && index < static_cast<int>(groups.size()) ? groups[static_cast<size_t>(index)] : 0;
  };
  std::string text = sign == kNegative ? "-" : "";
  if (weight < 0) {
    text += '0';
  } else {
    absl::StrAppend(&text, group(0));
    for (int i = 1; i <= weight; ++i) text += absl::StrFormat("%04d", group(i));
  }
  if (scale == 0) return text;
  std::string fraction;
  for (int i = weight + 1; fraction.size() < scale; ++i) fraction += absl::StrFormat("%04d", group(i));
  fraction.resize(scale);
  return absl::StrCat(text, ".", fraction);
}

absl::StatusOr<Value> DecodeBinary(Oid oid, std::string_view bytes) {
  switch (oid) {
    case kTextOid:
    case kVarcharOid:
    case kBpcharOid:
    case kNameOid:
    case kCharOid:
    case kUnknownOid:
      return Value::Text(std::string(bytes));
    case kByteaOid:
      return Value::Bytes(std::string(bytes));
    case kJsonOid:
      return Value::Json(std::string(bytes));
    case kVoidOid:
      return Value::Null();
    case kJsonbOid:
      // A version byte goes before the text.
      if (bytes.empty() || bytes.front() != 1) return Malformed(oid);
      return Value::Json(std::string(bytes.substr(1)));
    case kUuidOid:
      if (bytes.size() != 16) return Malformed(oid);
      return Value::Uuid(FormatUuid(bytes));
    case kNumericOid: {
      QUARRY_ASSIGN_OR_RETURN(std::string text, DecodeNumeric(bytes));
      return Value::Decimal(std::move(text));
    }
    case kInt8Oid:
      break;  // Known to be no array.
    default:
      if (ElementOid(oid) != 0) return DecodeArray(oid, bytes);
  }
  Reader reader(bytes);
  QUARRY_ASSIGN_OR_RETURN(Value value, DecodeNumber(oid, &reader));
  if (!reader.ended()) return Malformed(oid);
  return value;
}

}  // namespace quarry::postgres
