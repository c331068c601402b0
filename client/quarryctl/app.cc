#include <ostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "client/quarryctl/arguments.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/failure.h"
#include "client/quarryctl/text_value.h"

namespace quarry::ctl {
namespace {

// What was typed where a subcommand belongs; "" when there is nothing.
std::string WordInsteadOfCommand(const CLI::App& app) {
  for (const std::string& word : app.remaining(true)) {
    if (!word.empty() && word[0] != '-') return word;
  }
  return "";
}

// CLI11 says only that a subcommand is required.
bool ExplainCommands(const CLI::App& app, std::ostream& err) {
  const std::vector<CLI::App*> parsed = app.get_subcommands();
  const CLI::App& last = parsed.empty() ? app : *parsed.front();
  const std::vector<const CLI::App*> known = last.get_subcommands([](const CLI::App*) { return true; });
  if (known.empty() || !last.get_subcommands().empty()) return false;
  const std::string word = WordInsteadOfCommand(app);
  if (word.empty()) {
    err << (parsed.empty() ? app.help() : last.help(app.get_name()));
    return true;
  }
  std::vector<std::string> names;
  for (const CLI::App* command : known) names.push_back(command->get_name());
  err << (parsed.empty() ? "" : last.get_name() + ": ") << "there is no command \"" << word << "\"";
  const std::string nearest = Nearest(word, names);
  if (!nearest.empty()) err << "; did you mean \"" << nearest << "\"?";
  err << "\nRun with --help for more information.\n";
  return true;
}

}  // namespace

int RunQuarryctl(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  Session session(out, err);
  CLI::App app("Reads, writes and inspects the shards behind a Quarry gateway.", "quarryctl");
  app.set_version_flag("--version", std::string("quarryctl ") + QUARRY_VERSION);
  app.add_option("--address", session.address,
                 "Gateway, host:port (before --context and QUARRY_ADDRESS)");
  app.add_option("--context", session.context, "Named gateway; see the command context");
  app.add_option("--timeout", session.timeout, "Deadline of each call, such as 500ms or 1m (30s)");
  app.add_option("-o,--output", session.format, "How to print (text)")
      ->check(CLI::IsMember({"text", "json"}));
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Example: quarryctl --address 127.0.0.1:7400 get customers 42\n"
      "Exit codes: 0 done, 1 error, 2 usage, 3 not found, 4 invalid, 5 conflict, 6 aborted, 7 "
      "unavailable,\n"
      "8 exhausted, 9 deadline, 10 outcome unknown, 11 denied, 12 unhealthy, 13 rows rejected.");
  AddGet(app, session);
  AddWrites(app, session);
  AddQuestions(app, session);
  AddBulkWrites(app, session);
  AddExplain(app, session);
  AddTop(app, session);
  AddSql(app, session);
  AddImport(app, session);
  AddSchema(app, session);
  AddShards(app, session);
  AddLocks(app, session);
  AddGateways(app, session);
  AddTransactions(app, session);
  AddContexts(app, session);
  for (int i = 1; i < argc; ++i) {
    if (IsUtf8(argv[i])) continue;
    err << "argument " << i << " is not UTF-8\n";
    return kExitUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& failure) {
    if (!ExplainCommands(app, err)) app.exit(failure, out, err);
    return kExitUsage;
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure, out, err) == 0 ? kExitOk : kExitUsage;
  }
  return session.exit_code();
}

}  // namespace quarry::ctl
