// What SQLite lacks for questions to mean the same on both backends.
#pragma once

#include "absl/status/status.h"

struct sqlite3;

namespace quarry::sqlite {

// All deterministic and innocuous; NULL arguments give NULL, and aggregates skip them and give NULL for no rows.
//   quarry_like(pattern, text)   PostgreSQL's LIKE: 1 or 0
//   quarry_sum_int(x)            decimal text, exact beyond 64 bits
//   quarry_sum_decimal(x)        decimal text, exact; the greatest scale of all values
//   quarry_sum_double(x)         float8's sum in the order of the rows; NaN is the text 'NaN', as columns keep it
//   COLLATE quarry_decimal       decimal text by number, NaN greatest; for ORDER BY, GROUP BY, DISTINCT, min and max
// A value of another type, a pattern that ends in its escape and a sum of finite numbers beyond all doubles fail the statement.
absl::Status RegisterQueryFunctions(sqlite3* db);

}  // namespace quarry::sqlite
