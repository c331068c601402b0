// PostgreSQL's dates and times as text, and back. All pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quarry::postgres {

// PostgreSQL counts days and microseconds from 2000-01-01.
inline constexpr int64_t kEpochDays = 10957;
inline constexpr int64_t kEpochMicros = kEpochDays * 86'400'000'000;

// Microseconds since 1970 whose years are 1 to 9999: what a Value::Timestamp can carry on the wire.
bool FitsWire(int64_t unix_micros);

// "2026-01-31"; "0044-03-15 BC" before year 1.
std::string FormatDate(int64_t unix_days);
// "23:59:59.5": of microseconds since midnight.
std::string FormatTime(int64_t micros);
// "2026-01-31 23:59:59.5", with "+00" for an instant.
std::string FormatTimestamp(int64_t unix_micros, bool instant);
// ISO 8601 as PostgreSQL writes it: "P1Y2M3DT4H5M6.7S".
std::string FormatInterval(int32_t months, int32_t days, int64_t micros);
// The ISO form that PostgreSQL writes, with or without an offset; nullopt for any other, for years before 1 and
// after 9999.
std::optional<int64_t> ParseTimestamp(std::string_view text);
// True for "YYYY-MM-DD" exactly.
bool IsPlainDate(std::string_view text);

}  // namespace quarry::postgres
