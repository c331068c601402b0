// Cycles of dependencies between the transactions of a history, each under its strongest name. One thread.
#pragma once

#include "tests/support/history/checker.h"
#include "tests/support/history/lists.h"

namespace quarry::history {

void FindCycles(const Lists& lists, const CheckOptions& options, Findings& findings);

}  // namespace quarry::history
