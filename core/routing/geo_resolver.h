// `geo`: columns such as country and state to a region's shard; the most specific region that matches wins.
#pragma once

#include <memory>
#include <vector>

#include "core/routing/resolver.h"

namespace quarry {

// Options:
//   columns: the key columns that say the place. Default: all key columns.
//   regions: [{match: {country: US, state: [CA, OR]}, shard}]: a region matches when each named column has
//            one of its values. One that names more columns is more specific; among equals, the one that
//            names earlier columns.
//   default: the shard of what no region matches. Without it such a key is KEY_NOT_MAPPED.
std::unique_ptr<Resolver> MakeGeoResolver(const ResolverSpec& spec, std::vector<FieldViolation>& violations);

}  // namespace quarry
