// The result of a run as JSON: the contract of docs/quarry-load.md, which text and HTML reports are
// made from.
#pragma once

#include <string>

#include "loadtest/quarry_load/driver.h"
#include "loadtest/quarry_load/scenario.h"
#include "nlohmann/json.hpp"

namespace quarry::load {

nlohmann::json MakeResultJson(const Scenario& scenario, const std::string& address,
                              const RunResult& run);

}  // namespace quarry::load
