// Key -> shard, by the table's kind and resolver. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/operation.h"
#include "core/plan/snapshot.h"

namespace quarry {

// kUnavailable CATALOG_NOT_READY while no shard has told its schema; else as Catalog::FindTable.
absl::StatusOr<const Table*> FindTable(const Snapshot& snapshot, std::string_view name);

// The shard-key values of a primary key, in the resolver's order. Sharded tables only.
Key ShardKeyOf(const Table& table, const Key& primary_key);

// Where the row with this primary key lives: one shard of a sharded or single table. Not for reference tables.
absl::StatusOr<ShardId> ShardOfRow(const Table& table, const Key& primary_key, const Snapshot& snapshot);
// Of a sharded table whose resolver is at hand.
absl::StatusOr<ShardId> ShardOfRow(const Table& table, const Resolver& resolver, const Key& primary_key);
// The same from the shard-key values alone.
absl::StatusOr<ShardId> ShardOfShardKey(const Table& table, const Key& shard_key, const Snapshot& snapshot);

// The shards that a target names, ascending; kInvalidArgument when it names none.
absl::StatusOr<ShardSet> ShardsOfTarget(const Target& target, const Snapshot& snapshot);

// The table's resolver; kInternal when the snapshot lacks it, which its builder rules out.
absl::StatusOr<const Resolver*> ResolverOf(const Table& table, const Snapshot& snapshot);

}  // namespace quarry
