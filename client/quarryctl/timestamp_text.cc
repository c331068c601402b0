#include "client/quarryctl/timestamp_text.h"

#include <cctype>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace quarry::ctl {
namespace {

// Reads text from left to right.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool done() const { return at_ == text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  bool Skip(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  // Exactly `digits` digits, as a number.
  std::optional<int> Digits(int digits) {
    int value = 0;
    for (int i = 0; i < digits; ++i) {
      if (!std::isdigit(static_cast<unsigned char>(peek()))) return std::nullopt;
      value = value * 10 + (text_[at_++] - '0');
    }
    return value;
  }
  // The digits of a fraction as nanoseconds; nullopt when there is none, or one finer than a
  // microsecond.
  std::optional<int> Nanos() {
    int nanos = 0;
    int digits = 0;
    for (int scale = 100'000'000; std::isdigit(static_cast<unsigned char>(peek())); scale /= 10) {
      const int digit = text_[at_++] - '0';
      if (++digits > 6 && digit != 0) return std::nullopt;
      nanos += digit * scale;
    }
    if (digits == 0) return std::nullopt;
    return nanos;
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

std::optional<absl::CivilDay> ScanDay(Scanner& in) {
  const auto year = in.Digits(4);
  if (!year || !in.Skip('-')) return std::nullopt;
  const auto month = in.Digits(2);
  if (!month || !in.Skip('-')) return std::nullopt;
  const auto day = in.Digits(2);
  if (!day || *year < 1) return std::nullopt;
  const absl::CivilDay civil(*year, *month, *day);
  if (civil.month() != *month || civil.day() != *day) return std::nullopt;
  return civil;
}

struct TimeOfDay {
  int seconds = 0;
  int nanos = 0;
};

std::optional<TimeOfDay> ScanTime(Scanner& in) {
  TimeOfDay time;
  const auto hour = in.Digits(2);
  if (!hour || *hour > 23 || !in.Skip(':')) return std::nullopt;
  const auto minute = in.Digits(2);
  if (!minute || *minute > 59) return std::nullopt;
  time.seconds = *hour * 3600 + *minute * 60;
  if (!in.Skip(':')) return time;
  const auto second = in.Digits(2);
  if (!second || *second > 59) return std::nullopt;
  time.seconds += *second;
  if (!in.Skip('.')) return time;
  const auto nanos = in.Nanos();
  if (!nanos) return std::nullopt;
  time.nanos = *nanos;
  return time;
}

// Seconds east of UTC: "Z", "+02", "+0200", "+02:00".
std::optional<int> ScanOffset(Scanner& in) {
  if (in.Skip('Z') || in.Skip('z')) return 0;
  const int sign = in.peek() == '-' ? -1 : 1;
  if (!in.Skip('+') && !in.Skip('-')) return std::nullopt;
  const auto hours = in.Digits(2);
  if (!hours || *hours > 23) return std::nullopt;
  const bool colon = in.Skip(':');
  if (in.done() && !colon) return sign * *hours * 3600;
  const auto minutes = in.Digits(2);
  if (!minutes || *minutes > 59) return std::nullopt;
  return sign * (*hours * 3600 + *minutes * 60);
}

absl::Status NotATimestamp(std::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", std::string(text), "\" is not a timestamp such as 2026-01-31T23:59:59.123456Z"));
}

}  // namespace

absl::StatusOr<google::protobuf::Timestamp> ParseTimestamp(std::string_view text, bool wall_clock) {
  Scanner in(text);
  const auto day = ScanDay(in);
  if (!day) return NotATimestamp(text);
  TimeOfDay time;
  int offset = 0;
  if (!in.done()) {
    if (!in.Skip('T') && !in.Skip('t') && !in.Skip(' ')) return NotATimestamp(text);
    const auto scanned = ScanTime(in);
    if (!scanned) return NotATimestamp(text);
    time = *scanned;
  }
  in.Skip(' ');  // PostgreSQL and SQL dumps put one before the offset.
  if (!in.done()) {
    const auto scanned = ScanOffset(in);
    if (!scanned || !in.done()) return NotATimestamp(text);
    if (wall_clock) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", std::string(text), "\" has an offset, but the column has no time zone"));
    }
    offset = *scanned;
  }
  google::protobuf::Timestamp result;
  const int64_t days = *day - absl::CivilDay(1970, 1, 1);
  result.set_seconds(days * 86400 + time.seconds - offset);
  result.set_nanos(time.nanos);
  const int64_t first = (absl::CivilDay(1, 1, 1) - absl::CivilDay(1970, 1, 1)) * 86400;
  const int64_t last = (absl::CivilDay(10000, 1, 1) - absl::CivilDay(1970, 1, 1)) * 86400;
  if (result.seconds() < first || result.seconds() >= last) return NotATimestamp(text);
  return result;
}

bool IsDate(std::string_view text) {
  Scanner in(text);
  return ScanDay(in).has_value() && in.done();
}

std::string FormatTimestamp(const google::protobuf::Timestamp& time, bool wall_clock) {
  const auto civil = absl::CivilSecond(1970, 1, 1) + time.seconds();
  std::string text = absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d", civil.year(), civil.month(),
                                     civil.day(), civil.hour(), civil.minute(), civil.second());
  if (time.nanos() != 0) {
    std::string fraction = absl::StrFormat("%09d", time.nanos());
    fraction.erase(fraction.find_last_not_of('0') + 1);
    absl::StrAppend(&text, ".", fraction);
  }
  return wall_clock ? text : text + "Z";
}

}  // namespace quarry::ctl
