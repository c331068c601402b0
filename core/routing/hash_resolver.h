// `hash`: the shard is the remainder of the key's partition hash, exactly as PostgreSQL's PARTITION BY HASH
// places a row. For tables whose number of shards stays; consistent_hash is for those that grow.
#pragma once

#include <memory>
#include <vector>

#include "core/routing/resolver.h"

namespace quarry {

// Options:
//   shards:  names in the order of their remainders; one may stand several times. Default: all shards.
//   modulus: default: the number of `shards`. Must be a multiple of it; remainder r belongs to
//            shards[r % count].
std::unique_ptr<Resolver> MakeHashResolver(const ResolverSpec& spec, std::vector<FieldViolation>& violations);

}  // namespace quarry
