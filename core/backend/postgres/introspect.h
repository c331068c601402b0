// What a PostgreSQL database says of tables. Blocks: for a worker thread, never for a loop.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/catalog/catalog.h"

namespace quarry {

// `tables` may name a schema ("sales.orders"); others are found along the user's search_path. Names are as written in
// SQL without quotes, but keep their case. A table that does not exist is absent from the answer; a view or another
// kind of relation is refused with kFailedPrecondition. `ShardSchema::shard` is left empty.
// kUnavailable SHARD_UNAVAILABLE when the database does not answer within `timeout`.
absl::StatusOr<ShardSchema> IntrospectPostgres(const std::string& conninfo, const std::vector<std::string>& tables,
                                               absl::Duration timeout);

}  // namespace quarry
