// Every setting of a scenario, once: its name in a file, its option on the command line, its help,
// how it is read and how it is shown.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "loadtest/quarry_load/scenario.h"
#include "nlohmann/json.hpp"

namespace quarry::load {

struct Setting {
  std::string name;   // As in a file: "value_bytes"; the option is "--value-bytes".
  std::string value;  // What its value is, for help: "N", "DURATION".
  std::string help;
  std::function<absl::Status(Scenario&, std::string_view text)> set;
  std::function<nlohmann::json(const Scenario&)> show;

  std::string option() const;
};

// All but the operations, in the order of the documentation.
const std::vector<Setting>& Settings();
// nullptr when there is none.
const Setting* FindSetting(std::string_view name);

// "get" or "get:95"; added to the scenario's operations.
absl::Status AddOperation(Scenario& scenario, std::string_view text);

// The whole scenario, settings by name, operations as name to weight.
nlohmann::json ShowScenario(const Scenario& scenario);

}  // namespace quarry::load
