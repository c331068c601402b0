// Reads the sections of the tree that hold named things. Mistakes go to the report; what is read so far stays.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/config/config.h"
#include "core/config/tree.h"

namespace quarry {

// False, with a violation, when `node` is no section. Unknown keys, by the schema's `pattern`, are reported.
bool CheckSection(const ConfigNode& node, const std::string& path, const std::string& pattern, ConfigReport& report);

// Needs data_dir and pools read before. `environment` has what connection strings leave out.
void ReadShards(const ConfigNode& root, const std::map<std::string, std::string>& environment, Config& config,
                ConfigReport& report);
void ReadResolvers(const ConfigNode& root, Config& config, ConfigReport& report);
void ReadPlugins(const ConfigNode& root, Config& config, ConfigReport& report);
void ReadPeers(const ConfigNode& root, Config& config, ConfigReport& report);
void ReadTables(const ConfigNode& root, Config& config, ConfigReport& report);

// What one section cannot see alone: references, co-location, repeated databases, limits that do not fit together.
// Fills in the resolvers of co-located tables.
void CheckWhole(const ConfigNode& root, Config& config, ConfigReport& report);

// The options of the resolvers, by the types that `options` tells; nothing where it tells none. What follows from another mistake,
// such as a section that could not be read, is not reported.
void CheckResolvers(const ConfigNode& root, const Config& config, const ConfigOptions& options, ConfigReport& report);

// A name for shards, resolvers and the deployment: letters, digits, "_" and "-", at most 63, a letter or digit first.
bool IsPlainName(const std::string& name);

}  // namespace quarry
