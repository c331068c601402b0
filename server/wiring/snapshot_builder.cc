#include "server/wiring/snapshot_builder.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

Topology MakeTopology(const Config& config, Epoch epoch) {
  std::vector<Shard> shards;
  for (const ShardConfig& configured : config.shards) {
    Shard shard;
    shard.name = configured.name;
    shard.dialect = configured.dialect;
    shard.address = configured.address();
    shards.push_back(std::move(shard));
  }
  return Topology(epoch, std::move(shards));
}

// By resolver: the key types of the first table that uses it.
std::map<std::string, std::vector<ColumnType>> KeyTypes(const Catalog& catalog) {
  std::map<std::string, std::vector<ColumnType>> types;
  for (const auto& [name, table] : catalog.tables()) {
    if (table.kind() != TableKind::kSharded) continue;
    std::vector<ColumnType> key;
    for (const size_t column : table.shard_key()) key.push_back(table.columns()[column].type);
    types.emplace(table.declaration().resolver, std::move(key));
  }
  return types;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Snapshot>> SnapshotWithoutCatalog(const Config& config, Epoch epoch,
                                                                       const ResolverRegistry& registry,
                                                                       std::string problem) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->deployment = config.deployment;
  snapshot->topology = MakeTopology(config, epoch);
  snapshot->catalog_problem = std::move(problem);
  QUARRY_ASSIGN_OR_RETURN(snapshot->resolvers, BuildResolvers(config, registry));
  return snapshot;
}

absl::StatusOr<std::shared_ptr<const Snapshot>> SnapshotWithCatalog(const Config& config, Epoch epoch,
                                                                    const ResolverRegistry& registry,
                                                                    const std::vector<ShardSchema>& schemas) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->deployment = config.deployment;
  snapshot->topology = MakeTopology(config, epoch);
  QUARRY_ASSIGN_OR_RETURN(snapshot->catalog, BuildCatalog(config.tables, schemas));
  QUARRY_ASSIGN_OR_RETURN(snapshot->resolvers, BuildResolvers(config, registry, KeyTypes(snapshot->catalog)));
  snapshot->catalog_ready = true;
  return snapshot;
}

std::string TopologyFingerprint(const Config& config) {
  std::string text;
  for (const ShardConfig& shard : config.shards) absl::StrAppend(&text, "shard ", shard.name, "\n");
  for (const ResolverConfig& resolver : config.resolvers) {
    absl::StrAppend(&text, "resolver ", resolver.name, " ", resolver.type, " ", resolver.options.dump(), "\n");
  }
  return text;
}

}  // namespace quarry
