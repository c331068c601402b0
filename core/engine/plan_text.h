// What a database says of its plan, without the values that it writes into it. Pure.
#pragma once

#include <string>
#include <string_view>

namespace quarry {

// The lines of PostgreSQL's EXPLAIN: literals and numbers of conditions and keys become "?", names and estimates stay.
// SQLite's EXPLAIN QUERY PLAN holds no values.
std::string WithoutValues(std::string_view plan);

}  // namespace quarry
