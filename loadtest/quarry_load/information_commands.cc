#include <memory>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/did_you_mean.h"
#include "loadtest/quarry_load/commands.h"
#include "loadtest/quarry_load/options.h"
#include "loadtest/quarry_load/scenario_file.h"

namespace quarry::load {
namespace {

const std::vector<std::string>& LayoutSettings() {
  static const auto& names =
      *new std::vector<std::string>{"table", "id_column", "balance_column", "payload_column"};
  return names;
}

std::string CreateTable(const TableLayout& table) {
  return absl::StrCat("CREATE TABLE ", table.name, " (\n  ", table.id,
                      " BIGINT NOT NULL PRIMARY KEY,\n  ", table.balance, " BIGINT NOT NULL,\n  ",
                      table.payload, " TEXT NOT NULL\n);\n");
}

std::string ConfigFragment(const TableLayout& table) {
  return absl::StrCat("resolvers:\n  by_", table.id, ": {type: consistent_hash}\ntables:\n  ",
                      table.name, ": {kind: sharded, key: ", table.id, ", resolver: by_", table.id,
                      "}\n");
}

void AddSchema(CLI::App& app, Console& console) {
  struct State {
    ScenarioOptions layout;
    std::string dialect;
  };
  const auto state = std::make_shared<State>();
  CLI::App& command =
      *app.add_subcommand("schema", "Prints the CREATE TABLE that every shard needs");
  command.add_option("--dialect", state->dialect, "What the shards are")
      ->required()
      ->check(CLI::IsMember({"sqlite", "postgres"}));
  state->layout.AddTo(command, LayoutSettings());
  command.footer(
      "The statement is the same in both dialects: SQLite takes BIGINT for an integer.\n"
      "Example: quarryctl sql --all --allow-writes \"$(quarry-load schema --dialect sqlite)\"");
  command.callback([state, &console] {
    Scenario scenario;
    const absl::Status applied = state->layout.Apply(scenario);
    if (applied.ok()) {
      console.out << CreateTable(scenario.table);
    } else {
      console.err << "quarry-load: " << applied.message() << "\n";
      console.exit_code = kExitUsage;
    }
  });
}

void AddConfig(CLI::App& app, Console& console) {
  const auto layout = std::make_shared<ScenarioOptions>();
  CLI::App& command = *app.add_subcommand("config", "Prints what quarry.yaml says about the table");
  layout->AddTo(command, LayoutSettings());
  command.footer("Add it to a quarry.yaml that names the shards.");
  command.callback([layout, &console] {
    Scenario scenario;
    const absl::Status applied = layout->Apply(scenario);
    if (applied.ok()) {
      console.out << ConfigFragment(scenario.table);
    } else {
      console.err << "quarry-load: " << applied.message() << "\n";
      console.exit_code = kExitUsage;
    }
  });
}

void ListScenarios(std::ostream& out) {
  for (const BuiltinScenario& builtin : BuiltinScenarios()) {
    const absl::StatusOr<Scenario> scenario = ParseScenario(builtin.yaml, builtin.name);
    out << absl::StrFormat(
        "%-14s%s\n", builtin.name,
        scenario.ok() ? scenario->description : std::string(scenario.status().message()));
  }
}

int ShowScenarioText(const std::string& name, Console& console) {
  std::vector<std::string> names;
  for (const BuiltinScenario& builtin : BuiltinScenarios()) {
    names.push_back(builtin.name);
    if (builtin.name != name) continue;
    console.out << builtin.yaml;
    return kExitOk;
  }
  console.err << "quarry-load: there is no built-in scenario \"" << name << "\""
              << DidYouMean(name, names) << "; there are " << absl::StrJoin(names, ", ") << "\n";
  return kExitUsage;
}

void AddScenarios(CLI::App& app, Console& console) {
  const auto name = std::make_shared<std::string>();
  CLI::App& command = *app.add_subcommand("scenarios", "Lists the built-in scenarios");
  CLI::App& show = *command.add_subcommand("show", "Prints one, as a file to start from");
  show.add_option("name", *name, "Name of a built-in scenario")->required();
  show.callback([name, &console] { console.exit_code = ShowScenarioText(*name, console); });
  command.callback([&command, &console] {
    if (command.get_subcommands().empty()) ListScenarios(console.out);
  });
}

}  // namespace

void AddInformation(CLI::App& app, Console& console) {
  AddSchema(app, console);
  AddConfig(app, console);
  AddScenarios(app, console);
}

}  // namespace quarry::load
