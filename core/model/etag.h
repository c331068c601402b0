// A row's etag: a hash of its content, so that it needs no column of its own and is the same on both backends.
#pragma once

#include <string>

#include "core/model/value.h"

namespace quarry {

// Of all columns of the table in catalog order. 128 bits of XXH3 over the canonical bytes, as 32 hex digits.
// Equal content gives equal etags: a row changed and changed back has its old etag again.
std::string EtagOf(const Row& all_columns);

}  // namespace quarry
