// Timestamps as text: RFC 3339 with 'T' or a space, at most microseconds.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "google/protobuf/timestamp.pb.h"

namespace quarry::ctl {

// A date alone is its midnight; no offset means UTC. INVALID_ARGUMENT for anything that is not a
// time of the years 0001 to 9999, and for an offset where `wall_clock` has no zone to move it to.
absl::StatusOr<google::protobuf::Timestamp> ParseTimestamp(std::string_view text, bool wall_clock);
// True for "YYYY-MM-DD" of a day that exists, in the years 0001 to 9999.
bool IsDate(std::string_view text);
// "2026-01-31T23:59:59.5Z", without the Z for a wall clock; no trailing zeros.
std::string FormatTimestamp(const google::protobuf::Timestamp& time, bool wall_clock);

}  // namespace quarry::ctl
