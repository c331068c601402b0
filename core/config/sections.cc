#include "core/config/sections.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/did_you_mean.h"
#include "core/config/conninfo.h"
#include "core/config/schema.h"

namespace quarry {
namespace {

constexpr size_t kNameBytesMax = 63;
constexpr char kNameRule[] =
    "a name has letters, digits, \"_\" and \"-\", starts with a letter or digit, and is at most 63 long";

// The text of a scalar that must not be empty; nullopt, with a violation, when it is none.
std::optional<std::string> ReadText(const ConfigNode& node, const std::string& path, ConfigReport& report) {
  if (node.is_scalar() && !node.text.empty()) return node.text;
  report.Add(node.at, path, node.is_scalar() || node.is_null() ? "must not be empty" : "expects a single value");
  return std::nullopt;
}

// A list of texts, or one text.
std::vector<std::string> ReadTexts(const ConfigNode& node, const std::string& path, ConfigReport& report) {
  std::vector<std::string> texts;
  if (!node.is_list()) {
    std::optional<std::string> text = ReadText(node, path, report);
    if (text.has_value()) texts.push_back(*std::move(text));
    return texts;
  }
  for (size_t i = 0; i < node.items.size(); ++i) {
    std::optional<std::string> text = ReadText(node.items[i], absl::StrCat(path, "[", i, "]"), report);
    if (text.has_value()) texts.push_back(*std::move(text));
  }
  return texts;
}

using Environment = std::map<std::string, std::string>;

std::optional<PostgresEndpoint> ReadEndpoint(const ConfigNode& node, const std::string& path, const Environment& environment,
                                             ConfigReport& report) {
  const std::optional<std::string> text = ReadText(node, path, report);
  if (!text.has_value()) return std::nullopt;
  absl::StatusOr<PostgresEndpoint> endpoint = ParseConninfo(*text, environment);
  if (endpoint.ok()) return *std::move(endpoint);
  report.Add(node.at, path, std::string(endpoint.status().message()));
  return std::nullopt;
}

void ReadSqlite(const ConfigNode& node, const std::string& path, const std::string& data_dir, ShardConfig& shard,
                ConfigReport& report) {
  shard.dialect = Dialect::kSqlite;
  if (!CheckSection(node, path, "shards.<name>.sqlite", report)) return;
  const ConfigNode* file = node.Find("file");
  if (file == nullptr) {
    report.Add(node.at, path, "needs a file");
    return;
  }
  const std::optional<std::string> text = ReadText(*file, path + ".file", report);
  if (!text.has_value()) return;
  if (absl::StartsWith(*text, ":") || absl::StartsWith(*text, "file:") || absl::EndsWith(*text, "/")) {
    report.Add(file->at, path + ".file", "expects the path of a file; databases in memory and URIs are not supported");
    return;
  }
  shard.file = *text;
  const std::filesystem::path full = std::filesystem::path(data_dir) / *text;
  shard.path = full.lexically_normal().string();
}

void ReadPostgres(const ConfigNode& node, const std::string& path, const Environment& environment, ShardConfig& shard,
                  ConfigReport& report) {
  shard.dialect = Dialect::kPostgres;
  if (!CheckSection(node, path, "shards.<name>.postgres", report)) return;
  if (const ConfigNode* primary = node.Find("primary"); primary == nullptr) {
    report.Add(node.at, path, "needs a primary");
  } else if (std::optional<PostgresEndpoint> endpoint = ReadEndpoint(*primary, path + ".primary", environment, report)) {
    shard.primary = *std::move(endpoint);
  }
  const ConfigNode* replicas = node.Find("replicas");
  if (replicas == nullptr || replicas->is_null()) return;
  if (!replicas->is_list()) {
    report.Add(replicas->at, path + ".replicas", "expects a list");
    return;
  }
  for (size_t i = 0; i < replicas->items.size(); ++i) {
    std::optional<PostgresEndpoint> endpoint =
        ReadEndpoint(replicas->items[i], absl::StrCat(path, ".replicas[", i, "]"), environment, report);
    if (endpoint.has_value()) shard.replicas.push_back(*std::move(endpoint));
  }
}

void ReadShard(const ConfigNode& node, const std::string& path, const std::string& data_dir, const Environment& environment,
               ShardConfig& shard, ConfigReport& report) {
  if (!CheckSection(node, path, "shards.<name>", report)) return;
  const ConfigNode* sqlite = node.Find("sqlite");
  const ConfigNode* postgres = node.Find("postgres");
  if ((sqlite == nullptr) == (postgres == nullptr)) {
    report.Add(node.at, path, "needs one of sqlite and postgres");
  } else if (sqlite != nullptr) {
    ReadSqlite(*sqlite, path + ".sqlite", data_dir, shard, report);
  } else {
    ReadPostgres(*postgres, path + ".postgres", environment, shard, report);
  }
  const ConfigNode* pool = node.Find("pool");
  if (pool == nullptr || !CheckSection(*pool, path + ".pool", "shards.<name>.pool", report)) return;
  for (const ConfigSetting& setting : PoolSettings(path + ".pool", shard.pool)) {
    const ConfigNode* value = pool->Find(setting.path.substr(path.size() + 6));
    if (value != nullptr) ReadSetting(setting, *value, report);
  }
}

// A plain scalar as JSON: true, false, whole numbers of 64 bits, decimals; anything else is text.
nlohmann::json PlainJson(const std::string& text) {
  if (text == "true" || text == "false") return text == "true";
  size_t at = absl::StartsWith(text, "-") ? 1 : 0;
  const size_t digits_end = std::min(text.find_first_not_of("0123456789", at), text.size());
  const bool leading_zero = digits_end - at > 1 && text[at] == '0';
  if (digits_end == at || leading_zero) return text;
  if (int64_t number = 0; digits_end == text.size()) {
    if (absl::SimpleAtoi(text, &number)) return number;
    return text;
  }
  if (text.find_first_not_of("0123456789.eE+-", at) != std::string::npos || !nlohmann::json::accept(text)) return text;
  double number = 0;
  if (!absl::SimpleAtod(text, &number)) return text;
  return number;
}

nlohmann::json ToJson(const ConfigNode& node, const std::string& path, std::map<std::string, OptionSource>& sources) {
  sources[path] = {node.at, node.template_text};
  switch (node.kind) {
    case ConfigNode::Kind::kNull:
      return nullptr;
    case ConfigNode::Kind::kScalar:
      return node.quoted ? nlohmann::json(node.text) : PlainJson(node.text);
    case ConfigNode::Kind::kList: {
      nlohmann::json list = nlohmann::json::array();
      for (size_t i = 0; i < node.items.size(); ++i) {
        list.push_back(ToJson(node.items[i], absl::StrCat(path, "[", i, "]"), sources));
      }
      return list;
    }
    case ConfigNode::Kind::kMap: {
      nlohmann::json map = nlohmann::json::object();
      for (size_t i = 0; i < node.items.size(); ++i) {
        map[node.keys[i].name] = ToJson(node.items[i], JoinPath(path, node.keys[i].name), sources);
      }
      return map;
    }
  }
  return nullptr;
}

std::optional<TableKind> ReadKind(const ConfigNode& table, const std::string& path, ConfigReport& report) {
  const ConfigNode* kind = table.Find("kind");
  if (kind == nullptr) {
    report.Add(table.at, path, "needs a kind: sharded, reference (every shard holds every row) or single (one shard)");
    return std::nullopt;
  }
  const std::vector<std::string> kinds = {"sharded", "reference", "single"};
  const std::optional<std::string> text = ReadText(*kind, path + ".kind", report);
  if (!text.has_value()) return std::nullopt;
  if (*text == "sharded") return TableKind::kSharded;
  if (*text == "reference") return TableKind::kReference;
  if (*text == "single") return TableKind::kSingle;
  report.Add(kind->at, path + ".kind", absl::StrCat("expects one of ", absl::StrJoin(kinds, ", "), DidYouMean(*text, kinds)));
  return std::nullopt;
}

// Reports keys that another kind of table has.
void RefuseKeys(const ConfigNode& table, const std::string& path, const std::vector<std::string>& keys,
                const std::string& owner, ConfigReport& report) {
  for (const std::string& key : keys) {
    const ConfigNode* node = table.Find(key);
    if (node != nullptr) report.Add(node->at, JoinPath(path, key), absl::StrCat("is only for ", owner, " tables"));
  }
}

void ReadScatter(const ConfigNode& node, const std::string& path, TableDeclaration& table, ConfigReport& report) {
  if (node.is_scalar() && (node.text == "allow" || node.text == "deny")) {
    table.scatter_allowed = node.text == "allow";
    return;
  }
  report.Add(node.at, path, "expects allow or deny");
}

void ReadShardedTable(const ConfigNode& node, const std::string& path, TableDeclaration& table, ConfigReport& report) {
  RefuseKeys(node, path, {"shard"}, "single", report);
  if (const ConfigNode* key = node.Find("key"); key != nullptr) {
    table.shard_key = ReadTexts(*key, path + ".key", report);
    const std::set<std::string> distinct(table.shard_key.begin(), table.shard_key.end());
    if (distinct.size() != table.shard_key.size()) report.Add(key->at, path + ".key", "names a column twice");
    if (key->is_list() && key->items.empty()) report.Add(key->at, path + ".key", "names no column");
  } else {
    report.Add(node.at, path, "a sharded table needs a key: the column or columns that say its shard");
  }
  const ConfigNode* resolver = node.Find("resolver");
  const ConfigNode* with = node.Find("co_located_with");
  if (resolver != nullptr && with != nullptr) {
    report.Add(resolver->at, path + ".resolver", "comes from co_located_with; leave it out");
  } else if (resolver != nullptr) {
    table.resolver = ReadText(*resolver, path + ".resolver", report).value_or("");
  } else if (with == nullptr) {
    report.Add(node.at, path, "a sharded table needs a resolver, or co_located_with");
  }
  if (with != nullptr) table.co_located_with = ReadText(*with, path + ".co_located_with", report).value_or("");
  if (const ConfigNode* scatter = node.Find("scatter"); scatter != nullptr) {
    ReadScatter(*scatter, path + ".scatter", table, report);
  }
}

void ReadRelation(const ConfigNode& node, const std::string& path, RelationDeclaration& relation, ConfigReport& report) {
  if (!CheckSection(node, path, "tables.<name>.relations.<name>", report)) return;
  const ConfigNode* table = node.Find("table");
  const ConfigNode* columns = node.Find("columns");
  const ConfigNode* references = node.Find("references");
  if (table == nullptr || columns == nullptr || references == nullptr) {
    report.Add(node.at, path, "needs the related table, its columns (references), and the columns that equal them (columns)");
    return;
  }
  relation.table = ReadText(*table, path + ".table", report).value_or("");
  relation.columns = ReadTexts(*columns, path + ".columns", report);
  relation.references = ReadTexts(*references, path + ".references", report);
  if (columns->is_list() && columns->items.empty()) report.Add(columns->at, path + ".columns", "names no column");
  if (relation.columns.size() != relation.references.size()) {
    report.Add(references->at, path + ".references",
               absl::StrCat("has ", relation.references.size(), " columns, but columns has ", relation.columns.size()));
  }
}

void ReadRelations(const ConfigNode& table_node, const std::string& table_path, TableDeclaration& table,
                   ConfigReport& report) {
  const ConfigNode* node = table_node.Find("relations");
  if (node == nullptr || node->is_null()) return;
  const std::string path = table_path + ".relations";
  if (!node->is_map()) {
    report.Add(node->at, path, "expects a section with one key for each relation");
    return;
  }
  for (size_t i = 0; i < node->items.size(); ++i) {
    const ConfigNode::Key& key = node->keys[i];
    if (!IsPlainName(key.name)) report.Add(key.at, JoinPath(path, key.name), kNameRule);
    RelationDeclaration relation;
    relation.name = key.name;
    ReadRelation(node->items[i], JoinPath(path, key.name), relation, report);
    table.relations.push_back(std::move(relation));
  }
}

void ReadTable(const ConfigNode& node, const std::string& path, TableDeclaration& table, ConfigReport& report) {
  if (!CheckSection(node, path, "tables.<name>", report)) return;
  ReadRelations(node, path, table, report);
  if (const ConfigNode* age = node.Find("cache_max_age"); age != nullptr) {
    ReadSetting(CacheAgeSetting(path, table), *age, report);
  }
  if (const ConfigNode* merge = node.Find("merge_reads"); merge != nullptr) {
    ReadSetting(MergeReadsSetting(path, table), *merge, report);
  }
  const std::optional<TableKind> kind = ReadKind(node, path, report);
  if (!kind.has_value()) return;
  table.kind = *kind;
  if (*kind == TableKind::kSharded) {
    ReadShardedTable(node, path, table, report);
    return;
  }
  RefuseKeys(node, path, {"key", "resolver", "co_located_with", "scatter"}, "sharded", report);
  if (*kind == TableKind::kReference) {
    RefuseKeys(node, path, {"shard"}, "single", report);
  } else if (const ConfigNode* shard = node.Find("shard"); shard != nullptr) {
    table.shard = ReadText(*shard, path + ".shard", report).value_or("");
  } else {
    report.Add(node.at, path, "a single table needs its shard");
  }
}

// The map of a section of named things; null when it is absent or no map.
const ConfigNode* NamedSection(const ConfigNode& root, const std::string& section, ConfigReport& report) {
  const ConfigNode* node = root.Find(section);
  if (node == nullptr || node->is_null()) return nullptr;
  if (node->is_map()) return node;
  report.Add(node->at, section, "expects a section with one key for each name");
  return nullptr;
}

}  // namespace

bool IsPlainName(const std::string& name) {
  const auto plain = [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; };
  return !name.empty() && name.size() <= kNameBytesMax && std::all_of(name.begin(), name.end(), plain) &&
         absl::ascii_isalnum(static_cast<unsigned char>(name.front()));
}

bool CheckSection(const ConfigNode& node, const std::string& path, const std::string& pattern, ConfigReport& report) {
  if (node.is_null()) return true;
  if (!node.is_map()) {
    report.Add(node.at, path, "expects a section with keys");
    return false;
  }
  const std::vector<std::string> known = KeysBelow(pattern);
  for (const ConfigNode::Key& key : node.keys) {
    if (pattern == "resolvers.<name>" || std::find(known.begin(), known.end(), key.name) != known.end()) continue;
    const std::string hint = DidYouMean(key.name, known);
    report.Add(key.at, JoinPath(path, key.name),
               absl::StrCat("unknown key", hint.empty() ? absl::StrCat("; known here: ", absl::StrJoin(known, ", ")) : hint));
  }
  return true;
}

void ReadShards(const ConfigNode& root, const std::map<std::string, std::string>& environment, Config& config,
                ConfigReport& report) {
  const ConfigNode* shards = NamedSection(root, "shards", report);
  if (shards == nullptr) return;
  for (size_t i = 0; i < shards->items.size(); ++i) {
    const ConfigNode::Key& key = shards->keys[i];
    const std::string path = absl::StrCat("shards.", key.name);
    if (!IsPlainName(key.name)) report.Add(key.at, path, kNameRule);
    ShardConfig shard;
    shard.name = key.name;
    shard.pool = config.pools;
    ReadShard(shards->items[i], path, config.data_dir, environment, shard, report);
    config.shards.push_back(std::move(shard));
  }
}

void ReadResolvers(const ConfigNode& root, Config& config, ConfigReport& report) {
  const ConfigNode* resolvers = NamedSection(root, "resolvers", report);
  if (resolvers == nullptr) return;
  for (size_t i = 0; i < resolvers->items.size(); ++i) {
    const ConfigNode::Key& key = resolvers->keys[i];
    const ConfigNode& node = resolvers->items[i];
    const std::string path = absl::StrCat("resolvers.", key.name);
    if (!IsPlainName(key.name)) report.Add(key.at, path, kNameRule);
    ResolverConfig resolver;
    resolver.name = key.name;
    if (CheckSection(node, path, "resolvers.<name>", report)) {
      const ConfigNode* type = node.Find("type");
      if (type == nullptr) {
        report.Add(node.at, path, "needs a type, such as hash, range, lookup, consistent_hash or geo");
      } else {
        resolver.type = ReadText(*type, path + ".type", report).value_or("");
      }
      nlohmann::json options = ToJson(node, "", resolver.sources);
      if (options.is_object()) {
        options.erase("type");
        resolver.options = std::move(options);
      }
    }
    config.resolvers.push_back(std::move(resolver));
  }
}

void ReadPlugins(const ConfigNode& root, Config& config, ConfigReport& report) {
  const ConfigNode* plugins = root.Find("plugins");
  if (plugins == nullptr || plugins->is_null()) return;
  if (!plugins->is_list()) {
    report.Add(plugins->at, "plugins", "expects a list of paths");
    return;
  }
  config.plugins = ReadTexts(*plugins, "plugins", report);
}

void ReadPeers(const ConfigNode& root, Config& config, ConfigReport& report) {
  const ConfigNode* peers = root.Find("peers");
  const ConfigNode* addresses = peers != nullptr && peers->is_map() ? peers->Find("addresses") : nullptr;
  if (addresses == nullptr || addresses->is_null()) return;
  if (!addresses->is_list()) {
    report.Add(addresses->at, "peers.addresses", "expects a list of host:port");
    return;
  }
  config.peers.addresses = ReadTexts(*addresses, "peers.addresses", report);
}

void ReadTables(const ConfigNode& root, Config& config, ConfigReport& report) {
  const ConfigNode* tables = NamedSection(root, "tables", report);
  if (tables == nullptr) return;
  for (size_t i = 0; i < tables->items.size(); ++i) {
    const ConfigNode::Key& key = tables->keys[i];
    const std::string path = absl::StrCat("tables.", key.name);
    if (key.name.empty() || key.name.size() > kNameBytesMax) {
      report.Add(key.at, path, "the name of a table has 1 to 63 bytes");
    }
    TableDeclaration table;
    table.name = key.name;
    ReadTable(tables->items[i], path, table, report);
    config.tables.push_back(std::move(table));
  }
}

}  // namespace quarry
