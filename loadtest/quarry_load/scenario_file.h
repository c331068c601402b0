// Scenario files: YAML that holds settings and operations; and those that are part of the program.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "loadtest/quarry_load/scenario.h"

namespace quarry::load {

// Reads a scenario over the defaults. `source` is named in messages. kInvalidArgument lists every
// mistake with its line; an unknown key gets "did you mean". Not yet checked with Validate.
absl::StatusOr<Scenario> ParseScenario(std::string_view yaml, const std::string& source);

struct BuiltinScenario {
  std::string name;  // "ycsb-a".
  std::string_view yaml;
};
// Those in loadtest/scenarios, by name.
const std::vector<BuiltinScenario>& BuiltinScenarios();

// `name` is a built-in scenario, or else a file's path. kNotFound suggests a name.
absl::StatusOr<Scenario> LoadScenario(const std::string& name);

}  // namespace quarry::load
