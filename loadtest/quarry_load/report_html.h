// Results as one HTML page that needs nothing else: styles, script and figures are in it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace quarry::load {

// A label, such as the name of its file, and what MakeResultJson made. Several are laid over each
// other.
using LabelledResult = std::pair<std::string, nlohmann::json>;
std::string HtmlReport(const std::vector<LabelledResult>& results);

// kInvalidArgument when `result` is not the result of a run, or of a newer version of this program.
absl::Status CheckResult(const nlohmann::json& result);

}  // namespace quarry::load
