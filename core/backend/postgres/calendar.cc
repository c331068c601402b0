#include "core/backend/postgres/calendar.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/civil_time.h"

namespace quarry::postgres {
namespace {

constexpr int64_t kSecondMicros = 1'000'000;
constexpr int64_t kDayMicros = 86'400 * kSecondMicros;

void AppendFraction(int64_t micros, std::string* out) {
  if (micros == 0) return;
  std::string digits = absl::StrFormat("%06d", micros);
  digits.erase(digits.find_last_not_of('0') + 1);
  absl::StrAppend(out, ".", digits);
}

std::string DateDigits(absl::CivilDay day) {
  const int64_t year = day.year() > 0 ? day.year() : 1 - day.year();
  return absl::StrFormat("%04d-%02d-%02d", year, day.month(), day.day());
}

// Reads exactly `size` digits off the front.
bool TakeNumber(std::string_view* text, size_t size, int64_t* value) {
  if (text->size() < size) return false;
  *value = 0;
  for (const char digit : text->substr(0, size)) {
    if (digit < '0' || digit > '9') return false;
    *value = *value * 10 + (digit - '0');
  }
  text->remove_prefix(size);
  return true;
}

bool TakeChar(std::string_view* text, char expected) {
  if (text->empty() || text->front() != expected) return false;
  text->remove_prefix(1);
  return true;
}

bool TakeFraction(std::string_view* text, int64_t* micros) {
  *micros = 0;
  if (!TakeChar(text, '.')) return true;
  int64_t unit = 100'000;
  bool any = false;
  while (!text->empty() && text->front() >= '0' && text->front() <= '9' && unit > 0) {
    *micros += (text->front() - '0') * unit;
    unit /= 10;
    text->remove_prefix(1);
    any = true;
  }
  return any;
}

// "+05:30", "-08", or nothing.
bool TakeOffset(std::string_view* text, int64_t* seconds) {
  *seconds = 0;
  if (text->empty()) return true;
  const int64_t sign = text->front() == '-' ? -1 : 1;
  if (text->front() != '-' && text->front() != '+') return false;
  text->remove_prefix(1);
  int64_t hours = 0;
  int64_t minutes = 0;
  int64_t rest = 0;
  if (!TakeNumber(text, 2, &hours)) return false;
  if (TakeChar(text, ':') && !TakeNumber(text, 2, &minutes)) return false;
  if (TakeChar(text, ':') && !TakeNumber(text, 2, &rest)) return false;
  *seconds = sign * (hours * 3600 + minutes * 60 + rest);
  return true;
}

}  // namespace

bool FitsWire(int64_t unix_micros) {
  return unix_micros >= -62'135'596'800 * kSecondMicros && unix_micros < 253'402'300'800 * kSecondMicros;
}

std::string FormatDate(int64_t unix_days) {
  const absl::CivilDay day = absl::CivilDay(1970, 1, 1) + unix_days;
  std::string text = DateDigits(day);
  if (day.year() <= 0) text += " BC";
  return text;
}

std::string FormatTime(int64_t micros) {
  const int64_t seconds = micros / kSecondMicros;
  std::string text = absl::StrFormat("%02d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
  AppendFraction(micros % kSecondMicros, &text);
  return text;
}

std::string FormatTimestamp(int64_t unix_micros, bool instant) {
  int64_t days = unix_micros / kDayMicros;
  int64_t rest = unix_micros % kDayMicros;
  if (rest < 0) {
    rest += kDayMicros;
    --days;
  }
  const absl::CivilDay day = absl::CivilDay(1970, 1, 1) + days;
  std::string text = absl::StrCat(DateDigits(day), " ", FormatTime(rest));
  if (instant) text += "+00";
  if (day.year() <= 0) text += " BC";
  return text;
}

std::string FormatInterval(int32_t months, int32_t days, int64_t micros) {
  if (months == 0 && days == 0 && micros == 0) return "PT0S";
  std::string text = "P";
  const auto part = [&text](int64_t value, char unit) {
    if (value != 0) absl::StrAppend(&text, value, std::string(1, unit));
  };
  part(months / 12, 'Y');
  part(months % 12, 'M');
  part(days, 'D');
  if (micros == 0) return text;
  text += 'T';
  const int64_t seconds = micros / kSecondMicros;
  part(seconds / 3600, 'H');
  part(seconds / 60 % 60, 'M');
  const int64_t left = micros % (60 * kSecondMicros);
  if (left == 0) return text;
  if (left < 0) text += '-';
  absl::StrAppend(&text, std::abs(left) / kSecondMicros);
  AppendFraction(std::abs(left) % kSecondMicros, &text);
  text += 'S';
  return text;
}

std::optional<int64_t> ParseTimestamp(std::string_view text) {
  int64_t year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, micros = 0, offset = 0;
  const bool parsed = TakeNumber(&text, 4, &year) && TakeChar(&text, '-') && TakeNumber(&text, 2, &month) &&
                      TakeChar(&text, '-') && TakeNumber(&text, 2, &day) && TakeChar(&text, ' ') &&
                      TakeNumber(&text, 2, &hour) && TakeChar(&text, ':') && TakeNumber(&text, 2, &minute) &&
                      TakeChar(&text, ':') && TakeNumber(&text, 2, &second) && TakeFraction(&text, &micros) &&
                      TakeOffset(&text, &offset) && text.empty();
  if (!parsed) return std::nullopt;
  const int64_t days = absl::CivilDay(year, month, day) - absl::CivilDay(1970, 1, 1);
  const int64_t seconds = days * 86'400 + hour * 3600 + minute * 60 + second - offset;
  const int64_t result = seconds * kSecondMicros + micros;
  if (!FitsWire(result)) return std::nullopt;
  return result;
}

bool IsPlainDate(std::string_view text) {
  int64_t part = 0;
  return TakeNumber(&text, 4, &part) && TakeChar(&text, '-') && TakeNumber(&text, 2, &part) &&
         TakeChar(&text, '-') && TakeNumber(&text, 2, &part) && text.empty();
}

}  // namespace quarry::postgres
