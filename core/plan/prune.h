// Which shards may hold rows of which a predicate is true. Pure.
#pragma once

#include "absl/status/statusor.h"
#include "core/model/predicate.h"
#include "core/model/query.h"
#include "core/plan/snapshot.h"

namespace quarry {

// Sharded tables: equality and IN on the whole shard key give exactly those shards; an equal prefix of it and ranges give what the
// resolver says (ResolvePrefix, ResolveRange); AND narrows, OR unions, a contradiction gives none; anything else gives all of the
// resolver's shards. Never a shard too few. The work is bounded: an AND of ORs that would multiply beyond what key_boxes.h allows widens
// instead. Single tables: their shard. Reference tables: one shard, `spread`.
// `unmapped`, when given, gets the shard keys that the resolver's memory does not know but a lookup directory may: their shards are
// then the caller's to add. Without it such a key may be on every shard. A key that no directory can know is on none.
absl::StatusOr<ScatterRoute> Prune(const Predicate& predicate, const Table& table, const Snapshot& snapshot, ShardId spread,
                                   std::vector<Key>* unmapped = nullptr);

}  // namespace quarry
