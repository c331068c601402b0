#include "loadtest/quarry_load/report_html.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "loadtest/quarry_load/embedded.h"
#include "loadtest/quarry_load/report_text.h"

namespace quarry::load {
namespace {

std::string Embedded(std::string_view name) { return std::string(EmbeddedText(name)); }

}  // namespace

absl::Status CheckResult(const nlohmann::json& result) {
  if (!result.is_object() || !result.contains("version") ||
      !result["version"].is_number_integer()) {
    return absl::InvalidArgumentError("is not a result of quarry-load run --json");
  }
  if (result["version"] != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "is a result of version ", result["version"].dump(), "; this program reads version 1"));
  }
  for (const char* key :
       {"scenario", "latency_us", "latency_curve", "operations", "timeline", "machine"}) {
    if (!result.contains(key))
      return absl::InvalidArgumentError(absl::StrCat("lacks \"", key, "\""));
  }
  return absl::OkStatus();
}

std::string HtmlReport(const std::vector<LabelledResult>& results) {
  nlohmann::json data = nlohmann::json::array();
  for (const auto& [label, result] : results) {
    data.push_back({{"label", label},
                    {"summary", DescribeScenario(result.at("scenario"))},
                    {"result", result}});
  }
  // Nothing in a text may end the element that the data is in.
  const std::string safe = absl::StrReplaceAll(
      data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), {{"<", "\\u003c"}});
  return absl::StrReplaceAll(Embedded("report.html"), {{"/*STYLE*/", Embedded("report.css")},
                                                       {"/*SCRIPT*/", Embedded("report.js")},
                                                       {"/*DATA*/", safe}});
}

}  // namespace quarry::load
