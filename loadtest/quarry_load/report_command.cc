#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <ostream>

#include "loadtest/quarry_load/commands.h"
#include "loadtest/quarry_load/report_html.h"
#include "loadtest/quarry_load/report_text.h"

namespace quarry::load {
namespace {

std::optional<nlohmann::json> ReadResult(const std::string& path, std::ostream& err) {
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path)) {
    err << "quarry-load: cannot read " << path << "\n";
    return std::nullopt;
  }
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  nlohmann::json result = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const absl::Status status = CheckResult(result);
  if (status.ok()) return result;
  err << "quarry-load: " << path << " " << status.message() << "\n";
  return std::nullopt;
}

int WriteReport(const std::vector<std::string>& paths, const std::string& html, Console& console) {
  std::vector<LabelledResult> results;
  for (const std::string& path : paths) {
    const std::optional<nlohmann::json> result = ReadResult(path, console.err);
    if (!result.has_value()) return kExitUsage;
    results.emplace_back(std::filesystem::path(path).stem().string(), *result);
  }
  if (html.empty()) {
    for (const auto& [label, result] : results)
      console.out << "== " << label << " ==\n" << TextReport(result) << "\n";
    return kExitOk;
  }
  std::ofstream file(html, std::ios::binary);
  file << HtmlReport(results);
  file.flush();
  if (file) return kExitOk;
  console.err << "quarry-load: cannot write " << html << "\n";
  return kExitCannotRun;
}

}  // namespace

void AddReport(CLI::App& app, Console& console) {
  struct State {
    std::vector<std::string> results;
    std::string html;
  };
  const auto state = std::make_shared<State>();
  CLI::App& command =
      *app.add_subcommand("report", "Lays the results of several runs over each other");
  command.add_option("results", state->results, "Files that run --json wrote")
      ->required()
      ->type_name("FILE…");
  command.add_option("--html", state->html, "Write a page with plots; without it, text is printed")
      ->type_name("FILE");
  command.footer(
      "Example: quarry-load report before.json after.json --html compared.html\n"
      "Files are named in the page without folder and ending.");
  command.callback([state, &console] {
    try {
      console.exit_code = WriteReport(state->results, state->html, console);
    } catch (const nlohmann::json::exception& wrong) {
      console.err << "quarry-load: a result has an unexpected form: " << wrong.what() << "\n";
      console.exit_code = kExitUsage;
    }
  });
}

}  // namespace quarry::load
