// Values as people and files write them <-> quarry.v1 values, exact in both directions: the
// column's type decides what a text means, and text that does not fit is an error, never rounded.
//
// Text: integers; decimals and doubles with a point or exponent; true/false; timestamps as RFC 3339
// with 'T' or a space and at most microseconds (without an offset: UTC); bytes as \x and
// hexadecimal digits, or base64; arrays as JSON; intervals as ISO 8601. Printed values are read
// back as the same value.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "quarry/v1/value.pb.h"

namespace quarry::ctl {

// INVALID_ARGUMENT says what `text` should look like. An unspecified type infers: integer, number
// with a point, true, false or null; "type:text" (int, double, decimal, text, bool, bytes, date,
// time, timestamp, timestamptz, interval, uuid, json) says it; anything else is text.
absl::StatusOr<v1::Value> FromText(const v1::ColumnType& type, std::string_view text);

// The same from one JSON value, as it is spelt: numbers never pass through a double. null is SQL
// NULL, for a json column too.
absl::StatusOr<v1::Value> FromJson(const v1::ColumnType& type, std::string_view json);

// The members of a JSON object in order, each value as it is spelt. INVALID_ARGUMENT when `json` is
// not exactly one object, or has a member twice.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> SplitJsonObject(
    std::string_view json);

// As FromText reads it; NULL for a null. `type` tells a wall clock from an instant.
std::string ToText(const v1::Value& value, const v1::ColumnType& type);
// Plain JSON: integers, booleans and finite doubles as such, json columns as the document, the rest
// as strings.
std::string ToJson(const v1::Value& value, const v1::ColumnType& type);
// Whether `text` is UTF-8: no overlong forms, no surrogates.
bool IsUtf8(std::string_view text);
// A JSON string literal. Bytes that are not UTF-8 become U+FFFD.
std::string JsonString(std::string_view text);

}  // namespace quarry::ctl
