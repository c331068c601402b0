// By what a row that comes back is recognised as the one that was asked for.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/model/value.h"

namespace quarry {

// The bytes by which a key is recognised in what a database returns: equal keys give equal bytes, also when a decimal
// comes back with another scale.
std::string KeyBytes(const Row& row, const std::vector<size_t>& key_positions);

}  // namespace quarry
