#include "core/plan/route.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

absl::StatusOr<ShardId> Resolve(const Table& table, const Resolver& resolver, const Key& shard_key) {
  absl::StatusOr<ShardId> shard = resolver.Resolve(shard_key);
  (shard.ok() ? resolver.counts().resolved : resolver.counts().failed).Add();
  if (!shard.ok()) return WithFact(shard.status(), "table", table.name());
  return shard;
}

}  // namespace

absl::StatusOr<const Table*> FindTable(const Snapshot& snapshot, std::string_view name) {
  if (!snapshot.catalog_ready) {
    ErrorDetail detail;
    detail.reason = reason::kCatalogNotReady;
    detail.retry_after = absl::Seconds(1);
    return MakeError(absl::StatusCode::kUnavailable,
                     absl::StrCat("the tables are not known yet: ", snapshot.catalog_problem), detail);
  }
  return snapshot.catalog.FindTable(name);
}

Key ShardKeyOf(const Table& table, const Key& primary_key) {
  const std::vector<size_t>& key = table.primary_key();
  Key shard_key;
  shard_key.reserve(table.shard_key().size());
  for (const size_t column : table.shard_key()) {
    const auto at = std::find(key.begin(), key.end(), column) - key.begin();
    shard_key.push_back(primary_key[static_cast<size_t>(at)]);
  }
  return shard_key;
}

absl::StatusOr<const Resolver*> ResolverOf(const Table& table, const Snapshot& snapshot) {
  const auto found = snapshot.resolvers.find(table.declaration().resolver);
  if (found == snapshot.resolvers.end()) {
    return absl::InternalError(absl::StrCat("no resolver for table ", table.name()));
  }
  return found->second.get();
}

absl::StatusOr<ShardId> ShardOfShardKey(const Table& table, const Key& shard_key, const Snapshot& snapshot) {
  QUARRY_ASSIGN_OR_RETURN(const Resolver* resolver, ResolverOf(table, snapshot));
  return Resolve(table, *resolver, shard_key);
}

absl::StatusOr<ShardId> ShardOfRow(const Table& table, const Resolver& resolver, const Key& primary_key) {
  if (table.shard_key() == table.primary_key()) return Resolve(table, resolver, primary_key);
  return Resolve(table, resolver, ShardKeyOf(table, primary_key));
}

absl::StatusOr<ShardId> ShardOfRow(const Table& table, const Key& primary_key, const Snapshot& snapshot) {
  if (table.kind() == TableKind::kSingle) return snapshot.topology.Find(table.declaration().shard);
  QUARRY_ASSIGN_OR_RETURN(const Resolver* resolver, ResolverOf(table, snapshot));
  return ShardOfRow(table, *resolver, primary_key);
}

absl::StatusOr<ShardSet> ShardsOfTarget(const Target& target, const Snapshot& snapshot) {
  ShardSet shards;
  if (target.key.has_value()) {
    QUARRY_ASSIGN_OR_RETURN(const Table* table, FindTable(snapshot, target.key_table));
    QUARRY_ASSIGN_OR_RETURN(const Key key, CheckKey(*table, *target.key, "target.key.key"));
    if (table->kind() == TableKind::kReference) {
      shards.push_back(ShardId{0});
    } else {
      QUARRY_ASSIGN_OR_RETURN(const ShardId shard, ShardOfRow(*table, key, snapshot));
      shards.push_back(shard);
    }
  } else if (target.all_shards) {
    for (const Shard& shard : snapshot.topology.shards()) shards.push_back(shard.id);
  } else {
    for (const std::string& name : target.shards) {
      QUARRY_ASSIGN_OR_RETURN(const ShardId shard, snapshot.topology.Find(name));
      shards.push_back(shard);
    }
  }
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  if (shards.empty()) return InvalidField("target", "names no shard: give a shard, shards, a key, or all_shards");
  return shards;
}

}  // namespace quarry
