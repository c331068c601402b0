#include "core/catalog/text_forms.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/civil_time.h"

namespace quarry {
namespace {

constexpr size_t kIntegerDigitsMax = 131'072;
constexpr size_t kScaleMax = 16'383;
constexpr int64_t kYearMax = 5'874'897;
constexpr int64_t kYearMaxBc = 4'713;
constexpr int64_t kMicros = 1'000'000;

// Takes text apart from the left.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : left_(text) {}

  bool done() const { return left_.empty(); }
  bool Take(char c) {
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  bool Take(std::string_view word) {
    if (left_.substr(0, word.size()) != word) return false;
    left_.remove_prefix(word.size());
    return true;
  }
  // The digits that come next; may be none.
  std::string_view Digits() {
    size_t n = 0;
    while (n < left_.size() && absl::ascii_isdigit(static_cast<unsigned char>(left_[n]))) ++n;
    const std::string_view digits = left_.substr(0, n);
    left_.remove_prefix(n);
    return digits;
  }
  // Exactly two digits, at most `max`.
  std::optional<int> TwoDigits(int max) {
    if (left_.size() < 2 || !absl::ascii_isdigit(static_cast<unsigned char>(left_[0])) ||
        !absl::ascii_isdigit(static_cast<unsigned char>(left_[1]))) {
      return std::nullopt;
    }
    const int value = (left_[0] - '0') * 10 + (left_[1] - '0');
    left_.remove_prefix(2);
    if (value > max) return std::nullopt;
    return value;
  }

 private:
  std::string_view left_;
};

struct Date {
  int64_t year = 0;  // Astronomical: 0 is 1 BC.
  int month = 0;
  int day = 0;
  std::string year_text;
};

std::optional<Date> TakeDate(Scanner& in) {
  Date date;
  const std::string_view year = in.Digits();
  if (year.size() < 4 || year.size() > 7 || (year.size() > 4 && year.front() == '0')) return std::nullopt;
  date.year_text = std::string(year);
  date.year = std::atoll(date.year_text.c_str());
  if (!in.Take('-')) return std::nullopt;
  const std::optional<int> month = in.TwoDigits(12);
  if (!month.has_value() || !in.Take('-')) return std::nullopt;
  const std::optional<int> day = in.TwoDigits(31);
  if (!day.has_value()) return std::nullopt;
  date.month = *month;
  date.day = *day;
  return date;
}

bool OnCalendar(const Date& date) {
  const absl::CivilDay day(date.year, date.month, date.day);
  return day.year() == date.year && day.month() == date.month && day.day() == date.day;
}

struct TimeOfDay {
  int64_t micros = 0;  // Since midnight; 24:00:00 included.
};

// The fraction after the point, in microseconds: one to six digits.
std::optional<int64_t> TakeMicros(Scanner& in) {
  std::string digits(in.Digits());
  if (digits.empty() || digits.size() > 6) return std::nullopt;
  digits.resize(6, '0');
  return std::atoll(digits.c_str());
}

std::optional<TimeOfDay> TakeTime(Scanner& in, bool seconds_required) {
  const std::optional<int> hour = in.TwoDigits(24);
  if (!hour.has_value() || !in.Take(':')) return std::nullopt;
  const std::optional<int> minute = in.TwoDigits(59);
  if (!minute.has_value()) return std::nullopt;
  int64_t micros = (int64_t{*hour} * 60 + *minute) * 60 * kMicros;
  if (in.Take(':')) {
    const std::optional<int> second = in.TwoDigits(59);
    if (!second.has_value()) return std::nullopt;
    micros += *second * kMicros;
    if (in.Take('.')) {
      const std::optional<int64_t> fraction = TakeMicros(in);
      if (!fraction.has_value()) return std::nullopt;
      micros += *fraction;
    }
  } else if (seconds_required) {
    return std::nullopt;
  }
  if (micros > int64_t{24} * 3600 * kMicros) return std::nullopt;
  return TimeOfDay{micros};
}

// Offset from UTC in microseconds of "Z" or "+HH:MM".
std::optional<int64_t> TakeZone(Scanner& in) {
  if (in.Take('Z')) return 0;
  const bool west = in.Take('-');
  if (!west && !in.Take('+')) return std::nullopt;
  const std::optional<int> hour = in.TwoDigits(15);
  if (!hour.has_value() || !in.Take(':')) return std::nullopt;
  const std::optional<int> minute = in.TwoDigits(59);
  if (!minute.has_value()) return std::nullopt;
  const int64_t offset = (int64_t{*hour} * 60 + *minute) * 60 * kMicros;
  return west ? -offset : offset;
}

// Bytes of the UTF-8 sequence that starts at `at`; 0 when it is none.
size_t SequenceLength(std::string_view text, size_t at) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return first == 0 ? 0 : 1;
  const size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                        : first >= 0xe0 && first <= 0xef ? 3
                        : first >= 0xf0 && first <= 0xf4 ? 4
                                                         : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(at + 1);
  if (first == 0xe0 && second < 0xa0) return 0;  // Overlong.
  if (first == 0xed && second > 0x9f) return 0;  // Surrogate.
  if (first == 0xf0 && second < 0x90) return 0;  // Overlong.
  if (first == 0xf4 && second > 0x8f) return 0;  // Beyond U+10FFFF.
  return length;
}

// The exponent of "e-12"; no exponent is 0.
std::optional<int> TakeExponent(Scanner& in) {
  if (!in.Take('e') && !in.Take('E')) return 0;
  const bool negative = in.Take('-');
  if (!negative) in.Take('+');
  const std::string digits(in.Digits());
  if (digits.empty() || digits.size() > 6) return std::nullopt;
  const int exponent = std::atoi(digits.c_str());
  return negative ? -exponent : exponent;
}

std::optional<std::string> SpecialDecimal(std::string_view text) {
  const absl::string_view word(text.data(), text.size());
  if (absl::EqualsIgnoreCase(word, "nan")) return "NaN";
  for (const char* name : {"infinity", "+infinity", "inf", "+inf"}) {
    if (absl::EqualsIgnoreCase(word, name)) return "Infinity";
  }
  for (const char* name : {"-infinity", "-inf"}) {
    if (absl::EqualsIgnoreCase(word, name)) return "-Infinity";
  }
  return std::nullopt;
}

// Moves the point of `whole`.`fraction` by `exponent` places.
void ShiftPoint(int exponent, std::string& whole, std::string& fraction) {
  if (exponent > 0) {
    const size_t places = static_cast<size_t>(exponent);
    if (fraction.size() < places) fraction.resize(places, '0');
    whole.append(fraction, 0, places);
    fraction.erase(0, places);
  } else if (exponent < 0) {
    const size_t places = static_cast<size_t>(-exponent);
    if (whole.size() < places) whole.insert(0, places - whole.size(), '0');
    fraction.insert(0, whole.substr(whole.size() - places));
    whole.resize(whole.size() - places);
  }
}

}  // namespace

bool IsValidText(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = SequenceLength(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::optional<std::string> CanonicalDate(std::string_view text) {
  Scanner in(text);
  std::optional<Date> date = TakeDate(in);
  if (!date.has_value() || date->year == 0) return std::nullopt;
  const bool bc = in.Take(" BC");
  if (!in.done() || date->year > (bc ? kYearMaxBc : kYearMax)) return std::nullopt;
  if (bc) date->year = 1 - date->year;
  if (!OnCalendar(*date)) return std::nullopt;
  return std::string(text);
}

std::optional<std::string> CanonicalTime(std::string_view text) {
  Scanner in(text);
  const std::optional<TimeOfDay> time = TakeTime(in, false);
  if (!time.has_value() || !in.done()) return std::nullopt;
  const int64_t seconds = time->micros / kMicros;
  std::string out = absl::StrFormat("%02d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
  if (const int64_t fraction = time->micros % kMicros; fraction != 0) {
    out += absl::StrFormat(".%06d", fraction);
    out.erase(out.find_last_not_of('0') + 1);
  }
  return out;
}

std::optional<int64_t> ParseTimestamp(std::string_view text, bool with_zone) {
  Scanner in(text);
  const std::optional<Date> date = TakeDate(in);
  if (!date.has_value() || date->year < 1 || date->year > 9999 || !OnCalendar(*date)) return std::nullopt;
  if (!in.Take('T') && !in.Take(' ')) return std::nullopt;
  const std::optional<TimeOfDay> time = TakeTime(in, true);
  if (!time.has_value() || time->micros >= int64_t{24} * 3600 * kMicros) return std::nullopt;
  int64_t offset = 0;
  if (with_zone) {
    const std::optional<int64_t> zone = TakeZone(in);
    if (!zone.has_value()) return std::nullopt;
    offset = *zone;
  }
  if (!in.done()) return std::nullopt;
  const int64_t days = absl::CivilDay(date->year, date->month, date->day) - absl::CivilDay(1970, 1, 1);
  return days * 24 * 3600 * kMicros + time->micros - offset;
}

bool IsInterval(std::string_view text) {
  Scanner in(text);
  if (!in.Take('P')) return false;
  constexpr std::string_view kDateUnits = "YMWD";
  constexpr std::string_view kTimeUnits = "HMS";
  std::string_view units = kDateUnits;
  bool any = false;
  bool in_time = false;
  while (!in.done()) {
    if (!in_time && in.Take('T')) {
      in_time = true;
      units = kTimeUnits;
      any = false;
      continue;
    }
    in.Take('-');
    const std::string_view digits = in.Digits();
    if (digits.empty() || digits.size() > 9) return false;
    const bool fraction = in.Take('.');
    if (fraction && !TakeMicros(in).has_value()) return false;
    size_t unit = 0;
    while (unit < units.size() && !in.Take(units[unit])) ++unit;
    if (unit == units.size() || (fraction && units[unit] != 'S')) return false;
    units.remove_prefix(unit + 1);
    any = true;
  }
  return any;
}

std::optional<std::string> CanonicalDecimal(std::string_view text) {
  if (text.size() > kIntegerDigitsMax + kScaleMax + 16) return std::nullopt;
  if (std::optional<std::string> special = SpecialDecimal(text); special.has_value()) return special;
  Scanner in(text);
  const bool negative = in.Take('-');
  if (!negative) in.Take('+');
  std::string whole(in.Digits());
  std::string fraction;
  if (in.Take('.')) fraction = std::string(in.Digits());
  if (whole.empty() && fraction.empty()) return std::nullopt;
  const std::optional<int> exponent = TakeExponent(in);
  if (!exponent.has_value() || !in.done()) return std::nullopt;
  if (std::abs(*exponent) > static_cast<int>(kIntegerDigitsMax + kScaleMax)) return std::nullopt;
  ShiftPoint(*exponent, whole, fraction);
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  if (whole.size() > kIntegerDigitsMax || fraction.size() > kScaleMax) return std::nullopt;
  const bool zero = whole.empty() && fraction.find_first_not_of('0') == std::string::npos;
  std::string out = negative && !zero ? "-" : "";
  out += whole.empty() ? "0" : whole;
  if (!fraction.empty()) out += "." + fraction;
  return out;
}

}  // namespace quarry
