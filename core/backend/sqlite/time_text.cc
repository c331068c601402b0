#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "core/backend/sqlite/values.h"

namespace quarry::sqlite {
namespace {

// Reads fixed-width numbers from the front of a text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}
  bool empty() const { return text_.empty(); }
  char peek() const { return text_.empty() ? '\0' : text_.front(); }
  bool Skip(char c) {
    if (peek() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool Digits(size_t count, int* out) {
    if (text_.size() < count) return false;
    int value = 0;
    for (const char c : text_.substr(0, count)) {
      if (c < '0' || c > '9') return false;
      value = value * 10 + (c - '0');
    }
    text_.remove_prefix(count);
    *out = value;
    return true;
  }
  // One to six digits as millionths.
  bool Fraction(int64_t* micros) {
    int64_t scale = 1'000'000;
    *micros = 0;
    while (peek() >= '0' && peek() <= '9') {
      scale /= 10;
      if (scale == 0) return false;
      *micros += (peek() - '0') * scale;
      text_.remove_prefix(1);
    }
    return scale < 1'000'000;
  }

 private:
  std::string_view text_;
};

// "", "Z", "+02", "+02:00", "-0330", to the end.
bool ReadZone(Scanner& scanner, int64_t* offset_seconds) {
  *offset_seconds = 0;
  if (scanner.empty()) return true;
  if (scanner.Skip('Z')) return scanner.empty();
  const bool west = scanner.peek() == '-';
  if (!scanner.Skip('+') && !scanner.Skip('-')) return false;
  int hours = 0;
  int minutes = 0;
  if (!scanner.Digits(2, &hours)) return false;
  scanner.Skip(':');
  if (!scanner.empty() && !scanner.Digits(2, &minutes)) return false;
  if (!scanner.empty() || hours > 15 || minutes > 59) return false;
  *offset_seconds = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
  return true;
}

}  // namespace

std::string FormatTimestamp(int64_t unix_micros, bool instant) {
  int64_t seconds = unix_micros / 1'000'000;
  int64_t micros = unix_micros % 1'000'000;
  if (micros < 0) {
    micros += 1'000'000;
    --seconds;
  }
  const absl::CivilSecond at = absl::CivilSecond(1970, 1, 1) + seconds;
  char text[64];
  const int length =
      std::snprintf(text, sizeof(text), "%04lld-%02d-%02d %02d:%02d:%02d.%06lld%s",
                    static_cast<long long>(at.year()), at.month(), at.day(), at.hour(), at.minute(),
                    at.second(), static_cast<long long>(micros), instant ? "Z" : "");
  return std::string(text, static_cast<size_t>(length));
}

bool IsStoredForm(std::string_view timestamp, bool instant) {
  constexpr size_t kLength = sizeof("2026-01-31 10:11:12.123456") - 1;
  if (timestamp.size() != kLength + (instant ? 1 : 0) || timestamp[10] != ' ' || timestamp[19] != '.') return false;
  const std::string_view micros = timestamp.substr(20, 6);
  const bool digits = std::all_of(micros.begin(), micros.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits && (!instant || timestamp.back() == 'Z');
}

std::string InStoredForm(std::string_view expression, bool instant) {
  return absl::StrCat("strftime('%Y-%m-%d %H:%M:%f000", instant ? "Z" : "", "', ", std::string(expression), ")");
}

std::optional<int64_t> ParseTimestamp(std::string_view text) {
  Scanner scanner(text);
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (!scanner.Digits(4, &year) || !scanner.Skip('-') || !scanner.Digits(2, &month) || !scanner.Skip('-') ||
      !scanner.Digits(2, &day) || !(scanner.Skip(' ') || scanner.Skip('T')) || !scanner.Digits(2, &hour) ||
      !scanner.Skip(':') || !scanner.Digits(2, &minute) || !scanner.Skip(':') ||
      !scanner.Digits(2, &second)) {
    return std::nullopt;
  }
  int64_t micros = 0;
  int64_t offset = 0;
  if (scanner.Skip('.') && !scanner.Fraction(&micros)) return std::nullopt;
  if (!ReadZone(scanner, &offset)) return std::nullopt;
  const absl::CivilSecond at(year, month, day, hour, minute, second);
  // Civil time normalizes what does not exist, such as the 30th of February.
  const bool exists = at.year() == year && at.month() == month && at.day() == day && at.hour() == hour &&
                      at.minute() == minute && at.second() == second;
  if (!exists || year < 1) return std::nullopt;
  return (at - absl::CivilSecond(1970, 1, 1) - offset) * 1'000'000 + micros;
}

}  // namespace quarry::sqlite
