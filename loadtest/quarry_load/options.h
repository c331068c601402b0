// Settings of a scenario as options of a command line.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "loadtest/quarry_load/scenario.h"

namespace quarry::load {

// Collects what was given, so that it can go over a scenario that is read later.
class ScenarioOptions {
 public:
  // One option for each setting of `names`; for all when it is empty.
  void AddTo(CLI::App& command, const std::vector<std::string>& names = {});
  // --op, repeated.
  void AddOperationsTo(CLI::App& command);

  // kInvalidArgument names the option. A --concurrency makes the scenario a closed loop.
  absl::Status Apply(Scenario& scenario) const;

 private:
  struct Given {
    std::string setting;
    std::string text;
    CLI::Option* option = nullptr;
  };

  std::deque<Given> given_;  // CLI11 keeps pointers into it.
  std::vector<std::string> operations_;
};

}  // namespace quarry::load
