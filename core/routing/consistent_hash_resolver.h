// `consistent_hash`: a fixed number of buckets of the partition hash, and a table that says which shard owns
// each bucket. For tables that grow: a shard that comes takes only its own share of the buckets, a shard that
// leaves gives away only its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/routing/resolver.h"

namespace quarry {

inline constexpr uint64_t kBucketsDefault = 4096;

struct WeightedShard {
  std::string name;
  uint64_t weight = 1;  // Its share is weight / sum of weights; 0 owns nothing.
};

// The index in `shards` of each bucket's owner. Weighted rendezvous hashing (D. Thaler and C. Ravishankar,
// "Using name-based mappings to increase hit rates", IEEE/ACM ToN 1998), with integers only so that every
// machine agrees: a shard of weight w draws w points for a bucket and the highest point of all owns it.
// Depends on the shards' names, not on their order. A shard's share differs from the ideal by about 1 /
// sqrt(its buckets). At least one weight is positive. Cost: buckets x sum of weights; do not call on the path
// of a request.
std::vector<uint32_t> BucketOwners(uint64_t buckets, const std::vector<WeightedShard>& shards);

// Options:
//   buckets:    1 to 1,048,576; default 4,096. Never changes for a table that holds rows.
//   shards:     who takes part. Default: all shards.
//   weights:    {shard: 0 to 1000}; default 1 each.
//   assignment: {shard: [bucket, "first-last", ...]}: these buckets belong to that shard whatever the
//               weights say.
std::unique_ptr<Resolver> MakeConsistentHashResolver(const ResolverSpec& spec,
                                                     std::vector<FieldViolation>& violations);

}  // namespace quarry
