// Every key that the configuration knows: one table from which reading, printing, overrides and "did you mean" come.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "core/config/config.h"
#include "core/config/tree.h"

namespace quarry {

enum class ConfigUnit : uint8_t { kText, kCount, kBytes, kDuration, kFlag, kChoice };

// One scalar setting, bound to its field.
struct ConfigSetting {
  std::string path;
  ConfigUnit unit = ConfigUnit::kText;
  std::variant<std::string*, int64_t*, bool*, absl::Duration*> field;
  // Inclusive; counts and bytes as they are, durations in milliseconds.
  int64_t min = 0;
  int64_t max = 0;
  std::vector<std::string> choices;
};

// The settings that are no part of a named shard, resolver or table. `config` outlives the result.
std::vector<ConfigSetting> GlobalSettings(Config& config);
// Those of a pool, below `prefix` ("pools", "shards.s0.pool").
std::vector<ConfigSetting> PoolSettings(const std::string& prefix, PoolConfig& pool);

// How long a table's answers are kept; `table` outlives the result.
ConfigSetting CacheAgeSetting(const std::string& table_path, TableDeclaration& table);
// Whether identical questions about the table share an asking.
ConfigSetting MergeReadsSetting(const std::string& table_path, TableDeclaration& table);

// "QUARRY_LISTEN_GRPC" for "listen.grpc".
std::string EnvironmentName(const std::string& path);

// The keys right below `pattern` ("shards.<name>"; "" is the root).
std::vector<std::string> KeysBelow(const std::string& pattern);

// Reads one setting; what does not fit goes to `report`, and the field stays as it was.
void ReadSetting(const ConfigSetting& setting, const ConfigNode& node, ConfigReport& report);

// The value as it is printed: "30s", "4MiB", "info".
std::string SettingText(const ConfigSetting& setting);

}  // namespace quarry
