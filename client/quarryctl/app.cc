#include <ostream>
#include <string>

#include "CLI/CLI.hpp"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/failure.h"

namespace quarry::ctl {

int RunQuarryctl(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  Session session(out, err);
  CLI::App app("Reads, writes and inspects the shards behind a Quarry gateway.", "quarryctl");
  app.set_version_flag("--version", std::string("quarryctl ") + QUARRY_VERSION);
  app.add_option("--address", session.address,
                 "Gateway, host:port (before --context and QUARRY_ADDRESS)");
  app.add_option("--context", session.context, "Named gateway of the configuration file");
  app.add_option("--timeout", session.timeout, "Deadline of each call, such as 500ms or 1m");
  app.add_option("-o,--output", session.format, "How to print")
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
  AddSql(app, session);
  AddImport(app, session);
  AddSchema(app, session);
  AddShards(app, session);
  AddContexts(app, session);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure, out, err) == 0 ? kExitOk : kExitUsage;
  }
  return session.exit_code();
}

}  // namespace quarry::ctl
