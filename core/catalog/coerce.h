// One value for one column, in the column's own kind. The rules are those of CheckValue in catalog.h.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "core/catalog/catalog.h"

namespace quarry {

// Null passes when the column is nullable. The error's message says what the column expects; it has no path yet.
absl::StatusOr<Value> Coerce(const Column& column, const Value& value);

// The numbers in "numeric(10,2)", "timestamp(3) without time zone", "character varying(40)"; the second is 0 when absent.
std::optional<std::pair<int, int>> TypeModifiers(const std::string& native_name);

}  // namespace quarry
