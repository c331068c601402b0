#include "loadtest/quarry_load/scenario_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/did_you_mean.h"
#include "core/config/tree.h"
#include "loadtest/quarry_load/embedded.h"
#include "loadtest/quarry_load/settings.h"

namespace quarry::load {
namespace {

constexpr char kOperationsKey[] = "operations";

void ReadOperation(Scenario& scenario, const ConfigPosition& at, const std::string& text,
                   ConfigReport& report) {
  const absl::Status added = AddOperation(scenario, text);
  if (!added.ok()) report.Add(at, kOperationsKey, std::string(added.message()));
}

// {get: 95, update: 5}, [get, update] or get.
void ReadOperations(Scenario& scenario, const ConfigNode& node, ConfigReport& report) {
  if (node.is_scalar()) return ReadOperation(scenario, node.at, node.text, report);
  if (!node.is_map() && !node.is_list()) {
    return report.Add(node.at, kOperationsKey, "names operations, each with its weight");
  }
  for (size_t i = 0; i < node.items.size(); ++i) {
    const ConfigNode& item = node.items[i];
    if (!item.is_scalar()) {
      report.Add(item.at, kOperationsKey, "a weight is a number");
    } else if (node.is_map()) {
      ReadOperation(scenario, node.keys[i].at, absl::StrCat(node.keys[i].name, ":", item.text),
                    report);
    } else {
      ReadOperation(scenario, item.at, item.text, report);
    }
  }
}

void ReadSetting(Scenario& scenario, const Setting& setting, const ConfigNode& node,
                 ConfigReport& report) {
  std::string text = node.text;
  if (node.is_list()) {
    text = absl::StrJoin(node.items, ",", [](std::string* out, const ConfigNode& item) {
      absl::StrAppend(out, item.text);
    });
  } else if (!node.is_scalar()) {
    return report.Add(node.at, setting.name, "takes one value");
  }
  const absl::Status set = setting.set(scenario, text);
  if (!set.ok()) report.Add(node.at, setting.name, std::string(set.message()));
}

void ReadKey(Scenario& scenario, const ConfigNode::Key& key, const ConfigNode& node,
             ConfigReport& report) {
  if (key.name == kOperationsKey) return ReadOperations(scenario, node, report);
  const Setting* setting = FindSetting(key.name);
  if (setting != nullptr) return ReadSetting(scenario, *setting, node, report);
  std::vector<std::string> names = {kOperationsKey};
  for (const Setting& each : Settings()) names.push_back(each.name);
  report.Add(key.at, key.name,
             absl::StrCat("there is no such setting", DidYouMean(key.name, names)));
}

std::vector<BuiltinScenario> FindBuiltins() {
  constexpr std::string_view kEnding = ".yaml";
  std::vector<BuiltinScenario> found;
  for (const EmbeddedFile& file : EmbeddedFiles()) {
    if (!file.name.ends_with(kEnding)) continue;
    found.push_back(
        {std::string(file.name.substr(0, file.name.size() - kEnding.size())), file.text});
  }
  std::sort(found.begin(), found.end(),
            [](const BuiltinScenario& a, const BuiltinScenario& b) { return a.name < b.name; });
  return found;
}

}  // namespace

absl::StatusOr<Scenario> ParseScenario(std::string_view yaml, const std::string& source) {
  ConfigReport report;
  const ConfigNode root = ParseYaml(yaml, source, report);
  Scenario scenario;
  if (report.empty() && !root.is_map()) report.Add(root.at, "", "a scenario is a map of settings");
  if (root.is_map()) {
    for (size_t i = 0; i < root.items.size(); ++i) {
      ReadKey(scenario, root.keys[i], root.items[i], report);
    }
    if (root.Find("concurrency") != nullptr && scenario.open_loop()) {
      report.Add(root.at, "",
                 "concurrency is for a closed loop and rate for an open one: give one");
    }
  }
  const absl::Status status = report.ToStatus();
  if (!status.ok()) return status;
  return scenario;
}

const std::vector<BuiltinScenario>& BuiltinScenarios() {
  static const auto& scenarios = *new std::vector<BuiltinScenario>(FindBuiltins());
  return scenarios;
}

absl::StatusOr<Scenario> LoadScenario(const std::string& name) {
  std::vector<std::string> names;
  for (const BuiltinScenario& builtin : BuiltinScenarios()) {
    names.push_back(builtin.name);
    if (builtin.name != name) continue;
    absl::StatusOr<Scenario> scenario = ParseScenario(builtin.yaml, name + ".yaml");
    if (scenario.ok()) scenario->name = name;
    return scenario;
  }
  std::ifstream file(name);
  if (!file || std::filesystem::is_directory(name)) {
    return absl::NotFoundError(absl::StrCat("\"", name, "\" is neither a built-in scenario",
                                            DidYouMean(name, names),
                                            " nor a file; built in: ", absl::StrJoin(names, ", ")));
  }
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  absl::StatusOr<Scenario> scenario = ParseScenario(text, name);
  if (scenario.ok()) scenario->name = std::filesystem::path(name).stem().string();
  return scenario;
}

}  // namespace quarry::load
