#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/differential/values.h"

namespace quarry::differential {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

int64_t AnyInteger(TypeKind kind, Dice& dice) {
  if (dice.Percent(75)) return dice.Below(17) - 6;
  static const std::vector<int64_t> kLarge = {
      std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min() + 1,
      (int64_t{1} << 53) + 1,              -(int64_t{1} << 53) - 1,             4'000'000'000};
  static const std::vector<int64_t> kMiddle = {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max(), 70'000};
  static const std::vector<int64_t> kSmall = {std::numeric_limits<int16_t>::min(), std::numeric_limits<int16_t>::max(), 300};
  if (kind == TypeKind::kInt64 && dice.Percent(60)) return dice.Pick(kLarge);
  if (kind != TypeKind::kInt16 && dice.Percent(60)) return dice.Pick(kMiddle);
  return dice.Pick(kSmall);
}

double AnyDouble(Profile profile, Dice& dice) {
  if (profile == Profile::kLoose) return (1 + dice.Below(1000)) / 10.0;
  if (profile == Profile::kSummable) {
    if (dice.Percent(1)) return dice.Percent(50) ? kInfinity : std::nan("");
    return (dice.Below(81) - 40) / 8.0;
  }
  static const std::vector<double> kExtremes = {
      0.0, -0.0, std::nan(""), kInfinity, -kInfinity, 1.7976931348623157e308, -1.7976931348623157e308,
      5e-324, 0.1, 1e15 + 0.3, 9007199254740993.0, -2.5, 1.0};
  return dice.Percent(50) ? dice.Pick(kExtremes) : (dice.Below(9) - 4) * 0.3;
}

std::string AnyText(Dice& dice) {
  static const std::vector<std::string> kTexts = {
      "", "a", "A", "b", "B", "aa", "ab", "aB", "AB", "abc", "a%b", "a_b", "a\\b", "axb", "it's", "\"q\"", "%", "_", "\\", "é", "e",
      "É", "z", "Z", "ß", "ss", "日本", "日", "🙂", "\xEF\xBF\xAE", " a", "a ", "\t", "a\nb", "NULL", "'; DROP TABLE x; --",
      "@p0", "$1", "?", "e\xCC\x81", "10", "9", "{}", "a--b", "/*", "0", "-1", "NaN", "true"};
  if (dice.Percent(85)) return dice.Pick(kTexts);
  return absl::StrCat(dice.Pick(kTexts), dice.Pick(kTexts), dice.Below(3));
}

std::string AnyBytes(Dice& dice) {
  static const std::vector<std::string> kBytes = {"", std::string(1, '\0'), std::string("\0\1", 2), "\xff", "\xff\xfe", "abc",
                                                  "ab", "A", "'", "\\", "\x80", "%", "\xc3"};
  return dice.Pick(kBytes);
}

int64_t AnyMicros(Dice& dice) {
  static const std::vector<int64_t> kMoments = {0, -1, 1, 999'999, -1'000'000, -62'135'596'800'000'000, 253'402'300'799'999'999,
                                                1'768'471'872'123'456, 951'782'400'000'000, -86'400'000'001};
  if (dice.Percent(40)) return dice.Pick(kMoments);
  return 1'767'225'600'000'000 + dice.Below(12) * int64_t{43'200'000'000};
}

std::string AnyDate(Dice& dice) {
  static const std::vector<std::string> kDates = {"0001-01-01", "9999-12-31", "1970-01-01", "1969-12-31", "2000-02-29", "0999-09-09"};
  return dice.Percent(40) ? dice.Pick(kDates) : absl::StrFormat("2026-01-%02d", 1 + dice.Below(12));
}

std::string AnyTime(Dice& dice) {
  static const std::vector<std::string> kTimes = {"00:00:00", "24:00:00", "23:59:59.999999", "10:00:00", "10:00:00.5",
                                                  "10:00:00.05", "10:00:00.000001", "09:59:59.9"};
  return dice.Percent(60) ? dice.Pick(kTimes) : absl::StrFormat("%02d:%02d:00", dice.Below(24), dice.Below(2) * 30);
}

std::string AnyUuid(Dice& dice) {
  static const std::vector<std::string> kUuids = {"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
                                                  "7fffffff-ffff-ffff-ffff-ffffffffffff", "80000000-0000-0000-0000-000000000000"};
  if (dice.Percent(30)) return dice.Pick(kUuids);
  return absl::StrFormat("0000000%x-aaaa-4bbb-8ccc-%012x", dice.Below(16), dice.Below(3));
}

std::string AnyDigits(int count, Dice& dice) {
  std::string digits;
  for (int i = 0; i < count; ++i) digits.push_back(static_cast<char>('0' + dice.Below(10)));
  return digits;
}

std::string AnyDecimal(Profile profile, Dice& dice) {
  static const std::vector<std::string> kDecimals = {"0", "0.00", "1.5", "1.50", "-1.5", "-1.5000", "10", "9", "0.0001", "-0.0001",
                                                     "9999999999999.9999", "-9999999999999.9999", "100", "99.99", "2"};
  if (profile == Profile::kWide && dice.Percent(40)) {
    static const std::vector<std::string> kSpecial = {"NaN", "Infinity", "-Infinity"};
    if (dice.Percent(10)) return dice.Pick(kSpecial);
    const std::string digits = absl::StrCat(1 + dice.Below(9), AnyDigits(dice.Below(20), dice));
    const std::string fraction = dice.Percent(70) ? absl::StrCat(".", AnyDigits(1 + dice.Below(20), dice)) : "";
    return absl::StrCat(dice.Percent(40) ? "-" : "", digits, fraction);
  }
  if (profile == Profile::kWhole) return absl::StrCat(dice.Percent(80) ? dice.Below(100) - 30 : dice.Below(2'000'000'000));
  if (dice.Percent(50)) return dice.Pick(kDecimals);
  return absl::StrCat(dice.Percent(30) ? "-" : "", 1 + dice.Below(30), ".", dice.Below(4) * 25 + 10);
}

}  // namespace

Value AnyValue(const ValueType& type, Dice& dice) {
  switch (type.kind) {
    case TypeKind::kBool:
      return Value::Bool(dice.Percent(50));
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
      return Value::Int64(AnyInteger(type.kind, dice));
    case TypeKind::kDouble:
      return Value::Double(AnyDouble(type.profile, dice));
    case TypeKind::kText:
      return Value::Text(AnyText(dice));
    case TypeKind::kBytes:
      return Value::Bytes(AnyBytes(dice));
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampTz:
      return Value::Timestamp(AnyMicros(dice));
    case TypeKind::kDate:
      return Value::Date(AnyDate(dice));
    case TypeKind::kTime:
      return Value::Time(AnyTime(dice));
    case TypeKind::kDecimal:
      return Value::Decimal(AnyDecimal(type.profile, dice));
    default:
      return Value::Uuid(AnyUuid(dice));
  }
}

}  // namespace quarry::differential
