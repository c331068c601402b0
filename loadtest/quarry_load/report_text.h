// The result of a run as people read it in a terminal.
#pragma once

#include <string>

#include "nlohmann/json.hpp"

namespace quarry::load {

// `result` is what MakeResultJson makes.
std::string TextReport(const nlohmann::json& result);

// "get 95 %, update 5 %, zipfian over 100,000 keys, closed loop of 64": one line.
std::string DescribeScenario(const nlohmann::json& scenario);

}  // namespace quarry::load
