// How a command that failed speaks and ends.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace quarry::ctl {

// Exit codes of quarryctl, by class of error; docs/quarryctl.md lists them.
enum ExitCode {
  kExitOk = 0,
  kExitError = 1,  // Anything not named below.
  kExitUsage = 2,  // The command line or the configuration file.
  kExitNotFound = 3,
  kExitInvalid = 4,   // A bad value, field, key or statement.
  kExitConflict = 5,  // A constraint or a precondition.
  kExitAborted = 6,   // Another transaction was in the way.
  kExitUnavailable = 7,
  kExitExhausted = 8,  // A pool is full, or a limit is reached.
  kExitDeadline = 9,   // Deadline or cancellation.
  kExitOutcomeUnknown = 10,
  kExitDenied = 11,
  kExitUnhealthy = 12,     // `health`: something cannot be used now.
  kExitRejectedRows = 13,  // `import` ended, and some rows were refused.
};

ExitCode ExitCodeOf(const absl::Status& status);

// Several lines: what failed and how, where, why, each bad field, and what to do. `write_id`: the request id of the write that
// failed; "" for what writes no rows.
std::string Describe(const std::string& what, const absl::Status& status, const std::string& write_id);

}  // namespace quarry::ctl
