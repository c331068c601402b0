// Columns and keys from the command line, typed by the table.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "quarry/v1/schema.pb.h"
#include "quarry/v1/value.pb.h"

namespace quarry::ctl {

// "name=text" (any text, the empty one too) or "name:=JSON" ("name:=null" is NULL).
// INVALID_ARGUMENT lists every bad one, with a suggestion for an unknown column.
absl::StatusOr<v1::Record> ParseAssignments(const v1::Table& table,
                                            const std::vector<std::string>& arguments);
// The members of one JSON object.
absl::StatusOr<v1::Record> ParseRecordJson(const v1::Table& table, const std::string& json);

// All of "name=value" with names of columns, or values in primary-key order.
absl::StatusOr<v1::Key> ParseKey(const v1::Table& table, const std::vector<std::string>& arguments);

// Moves the primary-key and shard-key columns of `record` into a key by name.
v1::Key TakeKey(const v1::Table& table, v1::Record& record);

// The one of `known` that `name` may be a misspelling of; "" when none is near.
std::string Nearest(const std::string& name, const std::vector<std::string>& known);

// nullptr when the table has no such column.
const v1::Column* FindColumn(const v1::Table& table, const std::string& name);
// "there is no column \"nam\" in customers; did you mean \"name\"?"
std::string UnknownColumn(const v1::Table& table, const std::string& name);

}  // namespace quarry::ctl
