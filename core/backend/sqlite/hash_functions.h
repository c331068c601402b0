// PostgreSQL's hash functions for partitioning, under their PostgreSQL names.
#pragma once

#include "absl/status/status.h"

struct sqlite3;

namespace quarry::sqlite {

// hashint8extended, hashint4extended, hashint2extended, hashcharextended (a boolean), hashtextextended,
// hashvarlenaextended, uuid_hash_extended, hash_numeric_extended, timestamp_hash_extended (and timestamptz_): (value,
// seed) to a signed 64-bit integer; NULL for NULL. All deterministic.
absl::Status RegisterHashFunctions(sqlite3* db);

}  // namespace quarry::sqlite
