// The subcommands of quarry-load. Each adds itself to the program; what it did is in `exit_code`
// after parsing.
#pragma once

#include <iosfwd>

#include "CLI/CLI.hpp"

namespace quarry::load {

inline constexpr int kExitOk = 0;
inline constexpr int kExitCannotRun = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitTooManyErrors = 3;

// Where a command prints; outlives the program.
struct Console {
  std::ostream& out;
  std::ostream& err;
  bool err_is_terminal = false;
  const volatile int& interrupted;  // Not 0 once the user wants the end.
  int exit_code = kExitOk;
};

void AddRun(CLI::App& app, Console& console);
void AddLoad(CLI::App& app, Console& console);
void AddReport(CLI::App& app, Console& console);
// schema, config, scenarios.
void AddInformation(CLI::App& app, Console& console);

}  // namespace quarry::load
