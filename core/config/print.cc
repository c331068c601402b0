#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "core/config/config.h"
#include "core/config/schema.h"
#include "core/config/tree.h"

namespace quarry {
namespace {

ConfigNode Scalar(std::string text, bool quoted) {
  ConfigNode node;
  node.kind = ConfigNode::Kind::kScalar;
  node.text = std::move(text);
  node.quoted = quoted;
  return node;
}

// Text that reads as itself.
ConfigNode Text(const std::string& text) { return Scalar(absl::StrReplaceAll(text, {{"${", "$${"}}), true); }

ConfigNode Texts(const std::vector<std::string>& texts) {
  ConfigNode list;
  list.kind = ConfigNode::Kind::kList;
  for (const std::string& text : texts) list.items.push_back(Text(text));
  return list;
}

ConfigNode& At(ConfigNode& root, const std::string& path) {
  ConfigNode* node = &root;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(path, '.'))) node = &node->Child(part, {});
  return *node;
}

// In place of a secret; long enough to be read again.
constexpr char kHiddenSecret[] = "***hidden secret***";

ConfigNode SettingNode(const ConfigSetting& setting) {
  return setting.unit == ConfigUnit::kText ? Text(SettingText(setting)) : Scalar(SettingText(setting), false);
}

// A value that came from ${…} may be secret: it is printed as it was written.
ConfigNode TemplateNode(const std::string& written, bool as_text) {
  const bool one_reference = written.find('}') == written.size() - 1 && written.compare(0, 2, "${") == 0 &&
                             written.find_first_of(" #\"'\\") == std::string::npos;
  return Scalar(written, as_text || !one_reference);
}

ConfigNode JsonNode(const nlohmann::json& value, const std::string& path,
                    const std::map<std::string, OptionSource>& sources) {
  const auto source = sources.find(path);
  if (source != sources.end() && !source->second.template_text.empty()) {
    return TemplateNode(source->second.template_text, value.is_string());
  }
  ConfigNode node;
  if (value.is_string()) return Text(value.get<std::string>());
  if (value.is_object()) {
    node.kind = ConfigNode::Kind::kMap;
    for (const auto& [key, item] : value.items()) node.Child(key, {}) = JsonNode(item, JoinPath(path, key), sources);
  } else if (value.is_array()) {
    node.kind = ConfigNode::Kind::kList;
    for (size_t i = 0; i < value.size(); ++i) {
      node.items.push_back(JsonNode(value[i], absl::StrCat(path, "[", i, "]"), sources));
    }
  } else if (!value.is_null()) {
    return Scalar(value.dump(), false);
  }
  return node;
}

// Only what differs from the global pool.
void PrintPool(const PoolConfig& shard_pool, const PoolConfig& global, ConfigNode& node) {
  PoolConfig own = shard_pool;
  PoolConfig common = global;
  const std::vector<ConfigSetting> settings = PoolSettings("pool", own);
  const std::vector<ConfigSetting> defaults = PoolSettings("pool", common);
  for (size_t i = 0; i < settings.size(); ++i) {
    if (SettingText(settings[i]) != SettingText(defaults[i])) At(node, settings[i].path) = SettingNode(settings[i]);
  }
}

ConfigNode ShardNode(const ShardConfig& shard, const PoolConfig& global) {
  ConfigNode node;
  if (shard.dialect == Dialect::kSqlite) {
    At(node, "sqlite.file") = Text(shard.file);
  } else {
    At(node, "postgres.primary") = Text(shard.primary.shown);
    std::vector<std::string> replicas;
    for (const PostgresEndpoint& replica : shard.replicas) replicas.push_back(replica.shown);
    if (!replicas.empty()) At(node, "postgres.replicas") = Texts(replicas);
  }
  PrintPool(shard.pool, global, node);
  return node;
}

ConfigNode ResolverNode(const ResolverConfig& resolver) {
  ConfigNode node;
  node.kind = ConfigNode::Kind::kMap;
  node.Child("type", {}) = Text(resolver.type);
  ConfigNode options = JsonNode(resolver.options, "", resolver.sources);
  for (size_t i = 0; i < options.items.size(); ++i) node.Child(options.keys[i].name, {}) = std::move(options.items[i]);
  return node;
}

ConfigNode TableNode(const TableDeclaration& table) {
  ConfigNode node;
  switch (table.kind) {
    case TableKind::kReference:
      node.Child("kind", {}) = Scalar("reference", false);
      break;
    case TableKind::kSingle:
      node.Child("kind", {}) = Scalar("single", false);
      node.Child("shard", {}) = Text(table.shard);
      break;
    case TableKind::kSharded:
      node.Child("kind", {}) = Scalar("sharded", false);
      node.Child("key", {}) = Texts(table.shard_key);
      if (table.co_located_with.empty()) {
        node.Child("resolver", {}) = Text(table.resolver);
      } else {
        node.Child("co_located_with", {}) = Text(table.co_located_with);
      }
      node.Child("scatter", {}) = Scalar(table.scatter_allowed ? "allow" : "deny", false);
      break;
  }
  if (table.cache_age_max > absl::ZeroDuration()) {
    node.Child("cache_max_age", {}) = Scalar(absl::FormatDuration(table.cache_age_max), false);
  }
  if (table.merge_reads) node.Child("merge_reads", {}) = Scalar("true", false);
  for (const RelationDeclaration& relation : table.relations) {
    ConfigNode& printed = node.Child("relations", {}).Child(relation.name, {});
    printed.Child("table", {}) = Text(relation.table);
    printed.Child("columns", {}) = Texts(relation.columns);
    printed.Child("references", {}) = Texts(relation.references);
  }
  return node;
}

}  // namespace

std::string PrintConfig(const Config& config) {
  Config copy = config;
  ConfigNode root;
  if (!copy.tokens.secret.empty()) copy.tokens.secret = kHiddenSecret;
  for (const ConfigSetting& setting : GlobalSettings(copy)) {
    // A text that is not set has no form that could be read again.
    if (!SettingText(setting).empty()) At(root, setting.path) = SettingNode(setting);
  }
  for (const ShardConfig& shard : config.shards) {
    root.Child("shards", {}).Child(shard.name, {}) = ShardNode(shard, config.pools);
  }
  for (const ResolverConfig& resolver : config.resolvers) {
    root.Child("resolvers", {}).Child(resolver.name, {}) = ResolverNode(resolver);
  }
  if (!config.peers.addresses.empty()) At(root, "peers.addresses") = Texts(config.peers.addresses);
  if (!config.plugins.empty()) root.Child("plugins", {}) = Texts(config.plugins);
  for (const TableDeclaration& table : config.tables) {
    root.Child("tables", {}).Child(table.name, {}) = TableNode(table);
  }
  return EmitYaml(root);
}

}  // namespace quarry
