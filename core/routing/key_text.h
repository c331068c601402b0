// The text forms of key values, read into what can be hashed and ordered. Pure; nothing allocates unless
// said.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/container/inlined_vector.h"

namespace quarry {

// Days from 2000-01-01 to "2026-01-31", "0044-03-15 BC", "infinity" or "-infinity" (PostgreSQL's own
// markers).
std::optional<int32_t> ParseDateDays(std::string_view text) noexcept;
// Microseconds since midnight of "23:59", "23:59:59" or "23:59:59.999999"; "24:00:00" is the end of the day.
std::optional<int64_t> ParseTimeMicros(std::string_view text) noexcept;
// Microseconds since 1970 of "2026-01-31", "2026-01-31 12:00:00.5" or "2026-01-31T12:00:00Z". With
// `zone_allowed` an offset may follow and its absence means UTC; without, an offset is malformed.
std::optional<int64_t> ParseTimestampMicros(std::string_view text, bool zone_allowed);
// The 16 bytes of a hyphenated UUID.
std::optional<std::array<uint8_t, 16>> ParseUuid(std::string_view text) noexcept;

// A decimal as PostgreSQL's numeric holds it, without its sign and scale: digits of base 10,000, the first
// one worth 10,000^weight, without zeros at either end. Empty digits: zero.
struct DecimalDigits {
  absl::InlinedVector<int16_t, 32> digits;
  int weight = 0;
  bool negative = false;
  bool special = false;  // NaN or an infinity.
};
// Allocates for more than 128 decimal digits. Absent when malformed.
std::optional<DecimalDigits> ParseDecimal(std::string_view text);
// The same number, whatever the scale or notation. Malformed texts are equal only when identical.
bool SameDecimal(std::string_view a, std::string_view b);

}  // namespace quarry
