// The text forms of values: what is well formed, in its one canonical spelling. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quarry {

// Valid UTF-8 (no surrogates, no overlong forms) without NUL.
bool IsValidText(std::string_view text);

// "2026-01-31", "0044-03-15 BC", years 4713 BC to 5874897. nullopt when it is no date of the calendar.
std::optional<std::string> CanonicalDate(std::string_view text);

// "HH:MM", "HH:MM:SS", "HH:MM:SS.ffffff" up to 24:00:00 -> "HH:MM:SS[.f]" without trailing zeros.
std::optional<std::string> CanonicalTime(std::string_view text);

// Microseconds since 1970 of "YYYY-MM-DD(T| )HH:MM:SS[.ffffff]", years 1 to 9999, followed by "Z" or "+HH:MM" exactly when
// `with_zone`.
std::optional<int64_t> ParseTimestamp(std::string_view text, bool with_zone);

// ISO 8601, "P1Y2M3W4DT5H6M7.8S": units in this order, each at most once, each number may be negative.
bool IsInterval(std::string_view text);

// Plain digits with the scale kept: no exponent, no "+", no leading zeros, no negative zero; or "NaN", "Infinity",
// "-Infinity". nullopt beyond PostgreSQL's limits: 131,072 digits before the point, 16,383 after it.
std::optional<std::string> CanonicalDecimal(std::string_view text);

}  // namespace quarry
