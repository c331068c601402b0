// A configuration file as a tree with positions, and the mistakes found in it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/config/config.h"

namespace quarry {

struct ConfigNode {
  enum class Kind : uint8_t { kNull, kScalar, kList, kMap };
  struct Key {
    std::string name;
    ConfigPosition at;
  };

  Kind kind = Kind::kNull;
  ConfigPosition at;
  std::string text;            // kScalar.
  bool quoted = false;         // kScalar: text, whatever it looks like.
  std::string template_text;   // kScalar: as written, when it had ${…}; then `text` may be secret.
  std::vector<Key> keys;       // kMap: one per item.
  std::vector<ConfigNode> items;  // kList, kMap.

  bool is_map() const { return kind == Kind::kMap; }
  bool is_list() const { return kind == Kind::kList; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_null() const { return kind == Kind::kNull; }
  const ConfigNode* Find(std::string_view key) const;
  // The item under `key`, added when absent; a null becomes a map. Requires a map or a null.
  ConfigNode& Child(const std::string& key, const ConfigPosition& position);
};

// Every mistake, in the order found.
class ConfigReport {
 public:
  void Add(const ConfigPosition& at, const std::string& path, const std::string& what);
  // Those of `other`, without what is found at the same place already.
  void Merge(const ConfigReport& other);
  bool empty() const { return violations_.empty(); }
  // OK when nothing was found.
  absl::Status ToStatus() const;

 private:
  std::vector<FieldViolation> violations_;
};

// The limits of a file; beyond them it is refused.
inline constexpr size_t kConfigBytesMax = 1 << 20;
inline constexpr size_t kConfigNodesMax = 50'000;  // With aliases expanded; what an anchor names counts twice.
inline constexpr size_t kConfigDepthMax = 32;

// Syntax errors, duplicate keys, tags and too many nodes go to `report`. An empty file is a map without keys.
ConfigNode ParseYaml(std::string_view yaml, const std::string& source, ConfigReport& report);

// Block-style YAML.
std::string EmitYaml(const ConfigNode& root);

// "a.b" from "a" and "b".
std::string JoinPath(const std::string& parent, const std::string& key);

}  // namespace quarry
