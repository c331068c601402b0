#include "loadtest/quarry_load/options.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "loadtest/quarry_load/settings.h"

namespace quarry::load {

void ScenarioOptions::AddTo(CLI::App& command, const std::vector<std::string>& names) {
  for (const Setting& setting : Settings()) {
    if (!names.empty() && std::find(names.begin(), names.end(), setting.name) == names.end())
      continue;
    Given& given = given_.emplace_back();
    given.setting = setting.name;
    given.option =
        command.add_option(setting.option(), given.text, setting.help)->type_name(setting.value);
  }
}

void ScenarioOptions::AddOperationsTo(CLI::App& command) {
  command
      .add_option(
          "--op", operations_,
          absl::StrCat("Operation and its weight in the mix, such as get:95; once for each: ",
                       absl::StrJoin(OperationNames(), ", ")))
      ->type_name("NAME[:WEIGHT]")
      ->allow_extra_args(false);
}

absl::Status ScenarioOptions::Apply(Scenario& scenario) const {
  if (!operations_.empty()) scenario.operations.clear();
  for (const std::string& operation : operations_) {
    const absl::Status added = AddOperation(scenario, operation);
    if (!added.ok()) return absl::InvalidArgumentError(absl::StrCat("--op: ", added.message()));
  }
  bool rate = false;
  bool concurrency = false;
  for (const Given& given : given_) {
    if (given.option->count() == 0) continue;
    const Setting& setting = *FindSetting(given.setting);
    const absl::Status set = setting.set(scenario, given.text);
    if (!set.ok())
      return absl::InvalidArgumentError(absl::StrCat(setting.option(), ": ", set.message()));
    rate = rate || given.setting == "rate";
    concurrency = concurrency || given.setting == "concurrency";
  }
  if (rate && concurrency && scenario.open_loop()) {
    return absl::InvalidArgumentError(
        "--concurrency is for a closed loop and --rate for an open one: give one");
  }
  if (concurrency) scenario.rate = 0;
  return absl::OkStatus();
}

}  // namespace quarry::load
