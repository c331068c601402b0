#include "core/backend/postgres/checks.h"

namespace quarry::postgres {

bool NeedsUndo(const Step& step) {
  for (const Statement& statement : step.statements) {
    if (statement.check.kind == Check::Kind::kNone) continue;
    if (step.statements.size() > 1) return true;
    // Without a row nothing was written.
    if (statement.writes && statement.check.kind != Check::Kind::kRowRequired) return true;
  }
  return false;
}

}  // namespace quarry::postgres
