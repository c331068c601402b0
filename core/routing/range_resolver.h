// `range`: half-open ranges of the key, which cover all keys or leave the rest to a declared default.
#pragma once

#include <memory>
#include <vector>

#include "core/routing/resolver.h"

namespace quarry {

// Key columns: integers, text, timestamps, dates, times and uuids. Text is ordered by its bytes, as collation
// "C" does: a database column of another order must not be pruned with ResolveRange.
//
// Options:
//   ranges:  [{from, to, shard}], from <= key < to, in any order. A value for a key of one column, a list for
//            several; a list shorter than the key is a prefix: from [DE] starts at the first key of DE,
//            to [DE] ends before it. An absent end is open.
//   default: the shard of what no range covers. Without it the ranges must cover everything.
std::unique_ptr<Resolver> MakeRangeResolver(const ResolverSpec& spec,
                                            std::vector<FieldViolation>& violations);

}  // namespace quarry
