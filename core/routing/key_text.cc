#include "core/routing/key_text.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace quarry {
namespace {

absl::string_view Absl(std::string_view text) { return absl::string_view(text.data(), text.size()); }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Reads exactly `count` digits at the front and steps over them.
std::optional<int> TakeDigits(std::string_view& text, size_t count) noexcept {
  if (text.size() < count) return std::nullopt;
  int number = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!IsDigit(text[i])) return std::nullopt;
    number = number * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return number;
}

bool TakeChar(std::string_view& text, char c) noexcept {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

bool IsLeap(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

int DaysInMonth(int64_t year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && IsLeap(year) ? 29 : kDays[month - 1];
}

// Days since 1970-01-01 in the proleptic Gregorian calendar; Howard Hinnant's days_from_civil.
int64_t DaysFromCivil(int64_t year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

int HexDigit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

int FloorDiv4(int64_t power) { return static_cast<int>(power >= 0 ? power / 4 : -((3 - power) / 4)); }

bool IsSpecialDecimal(std::string_view unsigned_text) {
  return absl::EqualsIgnoreCase(Absl(unsigned_text), "nan") ||
         absl::EqualsIgnoreCase(Absl(unsigned_text), "infinity") ||
         absl::EqualsIgnoreCase(Absl(unsigned_text), "inf");
}

// Splits "12.5e3" into its mantissa and exponent. False when the exponent is malformed or beyond what numeric
// can hold.
bool TakeExponent(std::string_view& text, int& exponent) {
  constexpr int kExponentMax = 150'000;
  const size_t at = text.find_first_of("eE");
  if (at == std::string_view::npos) return true;
  if (!absl::SimpleAtoi(Absl(text.substr(at + 1)), &exponent) || std::abs(exponent) > kExponentMax)
    return false;
  text = text.substr(0, at);
  return true;
}

}  // namespace

std::optional<int32_t> ParseDateDays(std::string_view text) noexcept {
  if (text == "infinity") return std::numeric_limits<int32_t>::max();
  if (text == "-infinity") return std::numeric_limits<int32_t>::min();
  constexpr std::string_view kBeforeChrist = " BC";
  bool before_christ = false;
  if (text.size() > kBeforeChrist.size() &&
      text.substr(text.size() - kBeforeChrist.size()) == kBeforeChrist) {
    before_christ = true;
    text.remove_suffix(kBeforeChrist.size());
  }
  size_t year_digits = 0;
  while (year_digits < text.size() && IsDigit(text[year_digits])) ++year_digits;
  if (year_digits < 4 || year_digits > 7) return std::nullopt;
  const std::optional<int> year = TakeDigits(text, year_digits);
  if (!TakeChar(text, '-')) return std::nullopt;
  const std::optional<int> month = TakeDigits(text, 2);
  if (!TakeChar(text, '-')) return std::nullopt;
  const std::optional<int> day = TakeDigits(text, 2);
  if (!year || !month || !day || !text.empty() || *year == 0 || *month < 1 || *month > 12)
    return std::nullopt;
  const int64_t astronomical = before_christ ? 1 - *year : *year;
  if (*day < 1 || *day > DaysInMonth(astronomical, *month)) return std::nullopt;
  constexpr int64_t kDaysTo2000 = 10957;
  return static_cast<int32_t>(DaysFromCivil(astronomical, *month, *day) - kDaysTo2000);
}

std::optional<int64_t> ParseTimeMicros(std::string_view text) noexcept {
  const std::optional<int> hour = TakeDigits(text, 2);
  if (!TakeChar(text, ':')) return std::nullopt;
  const std::optional<int> minute = TakeDigits(text, 2);
  if (!hour || !minute || *minute > 59) return std::nullopt;
  int64_t micros = (int64_t{*hour} * 60 + *minute) * 60'000'000;
  if (TakeChar(text, ':')) {
    const std::optional<int> second = TakeDigits(text, 2);
    if (!second || *second > 59) return std::nullopt;
    micros += int64_t{*second} * 1'000'000;
    if (TakeChar(text, '.')) {
      if (text.empty()) return std::nullopt;
      for (int64_t unit = 100'000; !text.empty() && IsDigit(text.front()) && unit > 0; unit /= 10) {
        micros += unit * (text.front() - '0');
        text.remove_prefix(1);
      }
    }
  }
  constexpr int64_t kDayMicros = 86'400'000'000;
  if (!text.empty() || micros > kDayMicros) return std::nullopt;
  return micros;
}

std::optional<int64_t> ParseTimestampMicros(std::string_view text, bool zone_allowed) {
  constexpr const char* kWithoutZone[] = {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%E*S",
                                          "%Y-%m-%dT%H:%M:%E*S"};
  constexpr const char* kWithZone[] = {"%Y-%m-%d %H:%M:%E*S%Ez", "%Y-%m-%dT%H:%M:%E*S%Ez"};
  if (text.empty() || !IsDigit(text.front())) return std::nullopt;
  const auto parse = [text](const char* format, absl::Time& time) {
    std::string error;
    return absl::ParseTime(format, Absl(text), &time, &error);
  };
  absl::Time time;
  bool parsed = false;
  for (const char* format : kWithoutZone) parsed = parsed || parse(format, time);
  if (zone_allowed) {
    for (const char* format : kWithZone) parsed = parsed || parse(format, time);
  }
  if (!parsed) return std::nullopt;
  const int64_t micros = absl::ToUnixMicros(time);
  if (absl::FromUnixMicros(micros) != time) return std::nullopt;
  return micros;
}

std::optional<std::array<uint8_t, 16>> ParseUuid(std::string_view text) noexcept {
  constexpr size_t kUuidChars = 36;
  if (text.size() != kUuidChars) return std::nullopt;
  std::array<uint8_t, 16> bytes;
  size_t at = 0;
  for (uint8_t& byte : bytes) {
    if (at == 8 || at == 13 || at == 18 || at == 23) {
      if (text[at] != '-') return std::nullopt;
      ++at;
    }
    const int high = HexDigit(text[at]);
    const int low = HexDigit(text[at + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    byte = static_cast<uint8_t>(high << 4 | low);
    at += 2;
  }
  return bytes;
}

std::optional<DecimalDigits> ParseDecimal(std::string_view text) {
  DecimalDigits parsed;
  parsed.negative = TakeChar(text, '-');
  if (!parsed.negative) TakeChar(text, '+');
  if (IsSpecialDecimal(text)) {
    parsed.special = true;
    return parsed;
  }
  int exponent = 0;
  if (!TakeExponent(text, exponent)) return std::nullopt;
  const size_t point = std::min(text.find('.'), text.size());
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  size_t first = kNone;
  size_t last = kNone;
  size_t digit_count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == point) continue;
    if (!IsDigit(text[i])) return std::nullopt;
    ++digit_count;
    if (text[i] == '0') continue;
    if (first == kNone) first = i;
    last = i;
  }
  if (digit_count == 0) return std::nullopt;
  if (first == kNone) {
    parsed.negative = false;
    return parsed;
  }
  // The power of ten of the digit at position i.
  const auto power = [&](size_t i) {
    return static_cast<int64_t>(point) - static_cast<int64_t>(i) - (i < point ? 1 : 0) + exponent;
  };
  constexpr int16_t kTens[] = {1, 10, 100, 1000};
  parsed.weight = FloorDiv4(power(first));
  parsed.digits.resize(static_cast<size_t>(parsed.weight - FloorDiv4(power(last))) + 1);
  for (size_t i = first; i <= last; ++i) {
    if (i == point) continue;
    const int group = FloorDiv4(power(i));
    const auto add = (text[i] - '0') * kTens[power(i) - int64_t{group} * 4];
    int16_t& digit = parsed.digits[static_cast<size_t>(parsed.weight - group)];
    digit = static_cast<int16_t>(digit + add);
  }
  return parsed;
}

bool SameDecimal(std::string_view a, std::string_view b) {
  if (a == b) return true;
  const std::optional<DecimalDigits> x = ParseDecimal(a);
  const std::optional<DecimalDigits> y = ParseDecimal(b);
  if (!x || !y || x->special || y->special) return false;
  return x->negative == y->negative && x->digits == y->digits &&
         (x->digits.empty() || x->weight == y->weight);
}

}  // namespace quarry
