#include <fstream>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "loadtest/quarry_load/commands.h"
#include "loadtest/quarry_load/driver.h"
#include "loadtest/quarry_load/options.h"
#include "loadtest/quarry_load/report_html.h"
#include "loadtest/quarry_load/report_text.h"
#include "loadtest/quarry_load/result_json.h"
#include "loadtest/quarry_load/scenario_file.h"

namespace quarry::load {
namespace {

struct Output {
  std::string json;
  std::string html;
  bool progress = false;
};

int Fail(Console& console, int exit_code, const absl::Status& status) {
  console.err << "quarry-load: " << status.message() << "\n";
  return exit_code;
}

bool WriteFile(Console& console, const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.flush();
  if (!file) console.err << "quarry-load: cannot write " << path << "\n";
  return static_cast<bool>(file);
}

bool TooManyErrors(const Scenario& scenario, const nlohmann::json& result) {
  const double errors = result.at("errors").get<double>();
  return errors > scenario.max_error_rate * result.at("calls").get<double>();
}

int Report(Console& console, const Output& output, const Scenario& scenario,
           const nlohmann::json& result) {
  const std::string name = scenario.name.empty() ? "run" : scenario.name;
  bool written = true;
  const bool json_out = output.json == "-";
  (json_out ? console.err : console.out) << TextReport(result);
  const std::string json =
      result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (json_out) {
    console.out << json << std::flush;
  } else if (!output.json.empty()) {
    written = WriteFile(console, output.json, json);
  }
  if (!output.html.empty())
    written = WriteFile(console, output.html, HtmlReport({{name, result}})) && written;
  if (!written) return kExitCannotRun;
  return TooManyErrors(scenario, result) ? kExitTooManyErrors : kExitOk;
}

int RunAndReport(Console& console, Scenario scenario, RunOptions options, const Output& output) {
  const absl::Status valid = Validate(scenario);
  if (!valid.ok()) return Fail(console, kExitUsage, valid);
  if (scenario.seed == 0) scenario.seed = std::random_device()() | 1;
  if (output.progress || console.err_is_terminal) options.progress = &console.err;
  options.terminal = console.err_is_terminal;
  const absl::StatusOr<RunResult> run = RunScenario(scenario, options, console.interrupted);
  if (!run.ok()) return Fail(console, kExitCannotRun, run.status());
  return Report(console, output, scenario, MakeResultJson(scenario, options.address, *run));
}

void AddOutput(CLI::App& command, Output& output, RunOptions& options) {
  command.add_option("address", options.address, "host:port of a gRPC server")->required();
  command.add_option("--json", output.json, "Write the result as JSON; - for standard output")
      ->type_name("FILE");
  command.add_option("--html", output.html, "Write a page with plots, which needs no network")
      ->type_name("FILE");
  command.add_flag("--progress", output.progress,
                   "A line a second on standard error, also where that is no terminal");
  command
      .add_option("--server-pid", options.server_pids,
                  "Process of the server on this machine, whose CPU and memory are measured; "
                  "repeat it to add up several")
      ->type_name("PID")
      ->allow_extra_args(false);
}

}  // namespace

void AddRun(CLI::App& app, Console& console) {
  struct State {
    std::string scenario;
    ScenarioOptions settings;
    RunOptions options;
    Output output;
  };
  const auto state = std::make_shared<State>();
  CLI::App& command = *app.add_subcommand("run", "Sends calls and reports rates and latencies");
  AddOutput(command, state->output, state->options);
  command
      .add_option(
          "--scenario", state->scenario,
          "Built-in scenario (quarry-load scenarios) or YAML file; options go over what it says")
      ->type_name("NAME|FILE");
  state->settings.AddOperationsTo(command);
  state->settings.AddTo(command);
  command.footer(
      "Examples:\n"
      "  quarry-load run 127.0.0.1:7400 --scenario ycsb-b --concurrency 64 --html ycsb-b.html\n"
      "  quarry-load run 127.0.0.1:7400 --op get:95 --op update:5 --rate 5000 --arrivals poisson\n"
      "Exit codes: 0 done, 1 could not run, 2 usage or scenario, 3 more calls failed than "
      "--max-error-rate.");
  command.callback([state, &console] {
    Scenario scenario;
    if (!state->scenario.empty()) {
      const absl::StatusOr<Scenario> loaded = LoadScenario(state->scenario);
      if (!loaded.ok()) {
        console.exit_code = Fail(console, kExitUsage, loaded.status());
        return;
      }
      scenario = *loaded;
    }
    const absl::Status applied = state->settings.Apply(scenario);
    console.exit_code = applied.ok()
                            ? RunAndReport(console, scenario, state->options, state->output)
                            : Fail(console, kExitUsage, applied);
  });
}

void AddLoad(CLI::App& app, Console& console) {
  struct State {
    ScenarioOptions settings;
    RunOptions options;
    Output output;
  };
  const auto state = std::make_shared<State>();
  CLI::App& command = *app.add_subcommand(
      "load", "Fills the table with the rows that runs read, by BatchWrite of upserts");
  AddOutput(command, state->output, state->options);
  state->settings.AddTo(
      command, {"keys", "value_bytes", "table", "id_column", "balance_column", "payload_column",
                "batch", "concurrency", "threads", "channels", "deadline", "connect_timeout",
                "drain_timeout", "max_error_rate", "seed"});
  command.footer(
      "Example: quarry-load load 127.0.0.1:7400 --keys 1000000 --value-bytes 1000\n"
      "Rows that are there already are written anew: it can be run again. Exit codes as of run.");
  command.callback([state, &console] {
    Scenario scenario;
    scenario.name = "load";
    scenario.description = "BatchWrite of upserts, each id once.";
    scenario.operations = {{Operation::kBatchWrite, 1}};
    scenario.distribution = Distribution::kSequential;
    scenario.warmup = absl::ZeroDuration();
    scenario.concurrency = 4;
    const absl::Status applied = state->settings.Apply(scenario);
    if (!applied.ok()) {
      console.exit_code = Fail(console, kExitUsage, applied);
      return;
    }
    scenario.calls = BatchesToWrite(scenario);
    console.exit_code = RunAndReport(console, scenario, state->options, state->output);
  });
}

}  // namespace quarry::load
