// Configuration + what the databases said -> the snapshot that calls use.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/catalog/catalog.h"
#include "core/config/config.h"
#include "core/plan/snapshot.h"
#include "core/routing/resolver.h"

namespace quarry {

// Everything but the tables: shards, resolvers, epoch. `problem` says why the tables are not known.
absl::StatusOr<std::shared_ptr<const Snapshot>> SnapshotWithoutCatalog(const Config& config, Epoch epoch,
                                                                       const ResolverRegistry& registry,
                                                                       std::string problem);
// With the tables that all of `schemas` agree on, and resolvers checked against the types of their keys.
absl::StatusOr<std::shared_ptr<const Snapshot>> SnapshotWithCatalog(const Config& config, Epoch epoch,
                                                                    const ResolverRegistry& registry,
                                                                    const std::vector<ShardSchema>& schemas);

// Of what decides where rows live: shard names and resolvers.
std::string TopologyFingerprint(const Config& config);

}  // namespace quarry
