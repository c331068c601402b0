// import: a file into a table.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/failure.h"
#include "client/quarryctl/import.h"
#include "core/base/error.h"
#include "core/base/random.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

struct ImportArguments {
  std::string file;
  std::string table;
  std::string format;
  std::vector<std::string> header;
  std::string delimiter = ",";
  std::vector<std::string> map;
  std::string null_text;
  bool upsert = false;
  int batch = 500;
  int parallel = 4;
  int64_t errors_max = 0;
  std::string rejects;
  std::string state;
  bool resume = false;
  std::string run;
};

absl::StatusOr<RowFormat> RowFormatOf(const ImportArguments& arguments) {
  RowFormat format;
  const bool json = arguments.format == "jsonl" ||
                    (arguments.format.empty() && (absl::EndsWith(arguments.file, ".jsonl") ||
                                                  absl::EndsWith(arguments.file, ".ndjson")));
  format.format = json ? ImportFormat::kJsonLines : ImportFormat::kCsv;
  format.header = arguments.header;
  format.null_text = arguments.null_text;
  const std::string delimiter = arguments.delimiter == "\\t" ? "\t" : arguments.delimiter;
  if (delimiter.size() != 1 || delimiter == "\"" || delimiter == "\n" || delimiter == "\r") {
    return InvalidField("delimiter", "is one character, or \\t");
  }
  format.delimiter = delimiter[0];
  for (const std::string& entry : arguments.map) {
    const size_t equals = entry.rfind('=');
    if (equals == std::string::npos || equals == 0)
      return InvalidField("map", "write file_column=table_column");
    format.map[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  return format;
}

// Everything beside the file's content that decides which rows go out in which batch.
std::string Fingerprint(const ImportArguments& arguments, const RowFormat& format,
                        const v1::Table& table) {
  std::vector<std::string> parts = {table.name(),
                                    absl::StrCat(static_cast<int>(format.format)),
                                    std::string(1, format.delimiter),
                                    format.null_text,
                                    absl::StrCat(arguments.batch),
                                    arguments.upsert ? "upsert" : "insert",
                                    arguments.run,
                                    absl::StrCat(format.header.size())};
  parts.insert(parts.end(), format.header.begin(), format.header.end());
  for (const auto& [from, to] : format.map) parts.push_back(absl::StrCat(from, "=", to));
  for (const v1::Column& column : table.columns()) {
    parts.push_back(
        absl::StrCat(column.name(), ":", column.type().code(), ":", column.type().element_code()));
  }
  std::string all;
  for (const std::string& part : parts) absl::StrAppend(&all, part.size(), ":", part);
  return all;
}

void PrintSummary(Session& session, const ImportSummary& summary) {
  if (session.json()) {
    session.out() << "{\"rows\": " << summary.rows << ", \"written\": " << summary.written
                  << ", \"replayed\": " << summary.replayed << ", \"skipped\": " << summary.skipped
                  << ", \"rejected\": " << summary.rejected
                  << ", \"seconds\": " << absl::ToDoubleSeconds(summary.elapsed) << "}\n";
    return;
  }
  session.out() << Grouped(summary.rows) << (summary.rows == 1 ? " row in " : " rows in ")
                << absl::FormatDuration(absl::Trunc(summary.elapsed, absl::Milliseconds(1))) << ": "
                << Grouped(summary.written) << " written, " << Grouped(summary.replayed)
                << " replayed, " << Grouped(summary.skipped) << " skipped, "
                << Grouped(summary.rejected) << " rejected\n";
}

absl::StatusOr<std::string> ContentId(const std::string& file) {
  if (file != "-") return ImportId::HashFile(file);
  SystemRandom random;  // Standard input cannot be read twice, so no second run is the same import.
  return absl::StrCat(random.Next(), "-", random.Next());
}

absl::Status Import(Session& session, const ImportArguments& arguments) {
  const bool standard_input = arguments.file == "-";
  if (standard_input && arguments.resume)
    return InvalidField("resume", "needs a file, not standard input");
  QUARRY_ASSIGN_OR_RETURN(const RowFormat format, RowFormatOf(arguments));
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::Table table, client->GetTable(arguments.table));
  QUARRY_ASSIGN_OR_RETURN(const std::string content, ContentId(arguments.file));
  const std::string id = ImportId::Make(content, Fingerprint(arguments, format, table));

  std::ifstream file;
  if (!standard_input) file.open(arguments.file, std::ios::binary);
  std::istream& in = standard_input ? std::cin : file;
  QUARRY_ASSIGN_OR_RETURN(std::unique_ptr<RowReader> rows, OpenRows(in, table, format));
  std::string state_path = arguments.state;
  if (state_path.empty() && !standard_input) state_path = arguments.file + ".quarry-import";
  QUARRY_ASSIGN_OR_RETURN(ImportState state, ImportState::Open(state_path, id, arguments.resume));
  std::ofstream rejects;
  if (!arguments.rejects.empty()) {
    const bool append = arguments.resume && std::filesystem::exists(arguments.rejects);
    rejects.open(arguments.rejects, append ? std::ios::app : std::ios::trunc);
    if (!rejects)
      return absl::PermissionDeniedError(absl::StrCat("cannot write ", arguments.rejects));
    if (!append && !rows->header_line().empty()) rejects << rows->header_line() << std::endl;
  }

  ImportOptions options;
  options.file = arguments.file;
  options.upsert = arguments.upsert;
  options.batch_rows = arguments.batch;
  options.parallel = arguments.parallel;
  options.errors_max = arguments.errors_max;
  std::error_code unknown_size;
  if (!standard_input) {
    const auto size = std::filesystem::file_size(arguments.file, unknown_size);
    if (!unknown_size) options.bytes_total = static_cast<int64_t>(size);
  }
  ProgressPrinter progress(session.err(), isatty(STDERR_FILENO) == 1);
  Importer importer(*client, table, options, id, state, progress, session.err(),
                    rejects.is_open() ? &rejects : nullptr);
  ImportSummary summary;
  const absl::Status status = importer.Run(*rows, summary);
  PrintSummary(session, summary);
  if (status.ok() && summary.rejected > 0) session.set_exit_code(kExitRejectedRows);
  if (!status.ok() && !state_path.empty()) {
    session.err() << "what is written is noted in " << state_path
                  << "; the same command with --resume goes on\n";
  }
  return status;
}

}  // namespace

void AddImport(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ImportArguments>();
  CLI::App* command =
      app.add_subcommand("import", "Writes the rows of a CSV or JSON-lines file into a table");
  command->add_option("file", arguments->file, "The file; - is standard input")->required();
  command->add_option("--table", arguments->table, "Table")->required();
  command
      ->add_option("--format", arguments->format, "csv or jsonl; by default from the file's name")
      ->check(CLI::IsMember({"csv", "jsonl"}));
  command
      ->add_option("--header", arguments->header,
                   "Column names, with commas, of a CSV file without a header line")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--delimiter", arguments->delimiter, "Between CSV fields; \\t is a tab");
  command
      ->add_option("--map", arguments->map,
                   "file_column=table_column; an empty table_column leaves it out")
      ->allow_extra_args(false);
  command->add_option("--null", arguments->null_text,
                      "Unquoted CSV text that means NULL; empty by default");
  command->add_flag("--upsert", arguments->upsert,
                    "Change rows that exist instead of refusing them");
  command->add_option("--batch", arguments->batch, "Rows in one request (500)")
      ->check(CLI::Range(1, 1000));
  command->add_option("--parallel", arguments->parallel, "Requests at once (4)")
      ->check(CLI::Range(1, 64));
  command
      ->add_option("--max-errors", arguments->errors_max,
                   "Rows that may be refused before the import stops (0)")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--rejects", arguments->rejects, "File for the lines of refused rows");
  command->add_option("--state", arguments->state, "State file; FILE.quarry-import by default");
  command->add_flag("--resume", arguments->resume,
                    "Skip the batches that the state file says are written");
  command->add_option("--run", arguments->run,
                      "Any text: makes the same file a new import, which replays nothing");
  command->footer(
      "Example: quarryctl import orders.csv --table orders --map id=order_id --rejects bad.csv");
  command->callback([&session, arguments] {
    const absl::Status status = Import(session, *arguments);
    if (!status.ok()) session.Fail("import " + arguments->file, status);
  });
}

}  // namespace quarry::ctl
