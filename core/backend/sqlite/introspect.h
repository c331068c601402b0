// What a SQLite database says of its tables.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/sqlite/connection.h"
#include "core/catalog/catalog.h"

namespace quarry::sqlite {

// Tables that do not exist are absent. kFailedPrecondition SCHEMA_MISMATCH, naming every column at once, for types that
// cannot be kept exactly, and for views and virtual tables.
absl::StatusOr<ShardSchema> IntrospectTables(Connection& connection, const std::vector<std::string>& tables);

}  // namespace quarry::sqlite
