#include <unistd.h>

#include <csignal>
#include <iostream>

#include "loadtest/quarry_load/commands.h"

namespace {

volatile int interrupted = 0;

// The first signal ends the run early, with its report; the second one ends the program.
void Interrupt(int) { interrupted = 1; }

void CatchSignals() {
  struct sigaction action = {};
  action.sa_handler = Interrupt;
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  CatchSignals();
  quarry::load::Console console{.out = std::cout,
                                .err = std::cerr,
                                .err_is_terminal = isatty(STDERR_FILENO) == 1,
                                .interrupted = interrupted};
  CLI::App app(
      "Generates load for a Quarry gateway, or any gRPC echo, and reports rates and latencies.",
      "quarry-load");
  app.set_version_flag("--version", std::string("quarry-load ") + QUARRY_VERSION);
  app.require_subcommand(1);
  app.footer(
      "First 'quarry-load schema' and 'quarry-load config' for the table, then 'quarry-load load' "
      "and "
      "'quarry-load run'.");
  quarry::load::AddRun(app, console);
  quarry::load::AddLoad(app, console);
  quarry::load::AddReport(app, console);
  quarry::load::AddInformation(app, console);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure) == 0 ? quarry::load::kExitOk : quarry::load::kExitUsage;
  }
  return console.exit_code;
}
