#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/config/config.h"
#include "core/config/sections.h"
#include "core/config/tree.h"

namespace quarry {
namespace {

// The place of the option, or of the nearest value around it that was written.
const ConfigPosition& PositionOf(const ResolverConfig& resolver, std::string path) {
  static const ConfigPosition& nowhere = *new ConfigPosition();
  while (true) {
    const auto found = resolver.sources.find(path);
    if (found != resolver.sources.end()) return found->second.position;
    if (path.empty()) return nowhere;
    const size_t cut = path.find_last_of(".[");
    path.resize(cut == std::string::npos ? 0 : cut);
  }
}

ResolverSpec SpecOf(const Config& config, const ResolverConfig& resolver,
                    const std::map<std::string, std::vector<ColumnType>>& key_types) {
  ResolverSpec spec;
  spec.name = resolver.name;
  spec.type = resolver.type;
  spec.options = resolver.options;
  for (const ShardConfig& shard : config.shards) spec.shards.push_back(shard.name);
  for (const TableDeclaration& table : config.tables) {
    if (table.resolver != resolver.name || !spec.key_columns.empty()) continue;
    spec.key_columns = table.shard_key;
  }
  if (const auto found = key_types.find(resolver.name); found != key_types.end()) spec.key_types = found->second;
  return spec;
}

void AddViolations(const ResolverConfig& resolver, const absl::Status& status, ConfigReport& report) {
  const std::string path = absl::StrCat("resolvers.", resolver.name);
  const ErrorDetail detail = DetailOf(status);
  if (detail.violations.empty()) report.Add(PositionOf(resolver, ""), path, std::string(status.message()));
  for (const FieldViolation& violation : detail.violations) {
    report.Add(PositionOf(resolver, violation.field),
               violation.field.empty() ? path : absl::StrCat(path, ".", violation.field), violation.description);
  }
}

using Resolvers = std::map<std::string, std::shared_ptr<const Resolver>, std::less<>>;

// Those without a mistake.
Resolvers Build(const Config& config, const ResolverRegistry& registry,
                const std::map<std::string, std::vector<ColumnType>>& key_types, ConfigReport& report) {
  Resolvers resolvers;
  for (const ResolverConfig& resolver : config.resolvers) {
    absl::StatusOr<std::shared_ptr<const Resolver>> made = registry.Make(SpecOf(config, resolver, key_types));
    if (made.ok()) {
      resolvers.emplace(resolver.name, *std::move(made));
    } else {
      AddViolations(resolver, made.status(), report);
    }
  }
  return resolvers;
}

// A section of the file that is there and is no map, or no list: what it would have named is not known.
bool Unreadable(const ConfigNode& root, const char* section, bool list) {
  const ConfigNode* node = root.Find(section);
  return node != nullptr && !node->is_null() && !(list ? node->is_list() : node->is_map());
}

}  // namespace

absl::StatusOr<Resolvers> BuildResolvers(const Config& config, const ResolverRegistry& registry,
                                         const std::map<std::string, std::vector<ColumnType>>& key_types) {
  ConfigReport report;
  Resolvers resolvers = Build(config, registry, key_types, report);
  if (!report.empty()) return report.ToStatus();
  return resolvers;
}

void CheckResolvers(const ConfigNode& root, const Config& config, const ConfigOptions& options, ConfigReport& report) {
  if (!options.registry || Unreadable(root, "plugins", /*list=*/true)) return;
  const absl::StatusOr<std::unique_ptr<ResolverRegistry>> registry = options.registry(config);
  if (!registry.ok()) {
    const ConfigNode* plugins = root.Find("plugins");
    report.Add(plugins == nullptr ? ConfigPosition() : plugins->at, "plugins", std::string(registry.status().message()));
    return;
  }
  Config judged = config;
  const auto untyped = [](const ResolverConfig& resolver) { return resolver.type.empty(); };
  // Those are reported already, and without shards there is nothing that a resolver could name.
  if (!report.empty()) {
    judged.resolvers.erase(std::remove_if(judged.resolvers.begin(), judged.resolvers.end(), untyped), judged.resolvers.end());
  }
  if (config.shards.empty()) judged.resolvers.clear();
  ConfigReport own;
  Build(judged, **registry, {}, own);
  report.Merge(own);
}

}  // namespace quarry
