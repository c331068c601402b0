#include "core/config/config.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/config/schema.h"
#include "core/config/sections.h"
#include "core/config/sources.h"
#include "core/config/tree.h"

extern char** environ;

namespace quarry {
namespace {

// The node at "a.b"; null when a part is absent or no section.
const ConfigNode* FindPath(const ConfigNode& root, const std::string& path) {
  const ConfigNode* node = &root;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(path, '.'))) {
    node = node->Find(part);
    if (node == nullptr) return nullptr;
  }
  return node;
}

// The sections that hold nothing but settings: the first parts of their paths.
void CheckSettingSections(const ConfigNode& root, const std::vector<ConfigSetting>& settings, ConfigReport& report) {
  std::string last;
  for (const ConfigSetting& setting : settings) {
    const size_t dot = setting.path.find('.');
    if (dot == std::string::npos) continue;
    const std::string section = setting.path.substr(0, dot);
    if (section == last) continue;
    last = section;
    if (const ConfigNode* node = root.Find(section); node != nullptr) CheckSection(*node, section, section, report);
  }
}

Config ReadTree(const ConfigNode& root, const std::string& file_name, const ConfigOptions& options,
                ConfigReport& report) {
  Config config;
  config.file = file_name;
  if (!CheckSection(root, "", "", report)) return config;
  const std::vector<ConfigSetting> settings = GlobalSettings(config);
  CheckSettingSections(root, settings, report);
  for (const ConfigSetting& setting : settings) {
    const ConfigNode* node = FindPath(root, setting.path);
    if (node != nullptr) ReadSetting(setting, *node, report);
  }
  ReadShards(root, options.environment, config, report);
  ReadResolvers(root, config, report);
  ReadPlugins(root, config, report);
  ReadPeers(root, config, report);
  ReadTables(root, config, report);
  CheckWhole(root, config, report);
  CheckResolvers(root, config, options, report);
  return config;
}

}  // namespace

std::map<std::string, std::string> ProcessEnvironment() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string::npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

absl::StatusOr<Config> ParseConfig(std::string_view yaml, const std::string& file_name, const ConfigOptions& options) {
  ConfigReport report;
  ConfigNode root = ParseYaml(yaml, file_name, report);
  // A file that is no YAML has no values to judge.
  if (!report.empty() && root.items.empty()) return report.ToStatus();
  if (root.is_map()) {
    ApplyEnvironment(options, root, report);
    ApplyOverrides(options, root, report);
    Interpolate(options, root, report);
  }
  Config config = ReadTree(root, file_name, options, report);
  if (!report.empty()) return report.ToStatus();
  return config;
}

absl::StatusOr<Config> LoadConfig(const std::string& path, const ConfigOptions& options) {
  const absl::StatusOr<std::string> text =
      options.read_file ? options.read_file(path, kConfigBytesMax) : ReadRegularFile(path, kConfigBytesMax);
  if (!text.ok()) {
    return InvalidField(path, absl::StrCat("the configuration cannot be read: ", std::string(text.status().message())));
  }
  return ParseConfig(*text, path, options);
}

}  // namespace quarry
