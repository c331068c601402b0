#include "core/backend/postgres/checks.h"

#include <utility>

#include "core/base/status_macros.h"
#include "core/model/check.h"

namespace quarry::postgres {

bool UsesOwnTables(const Step& step) {
  for (const Statement& statement : step.statements) {
    if (statement.own_tables) return true;
  }
  return false;
}

std::vector<std::string> Texts(const Step& step) {
  std::vector<std::string> texts;
  for (const Statement& statement : step.statements) texts.push_back(*statement.sql);
  return texts;
}

absl::StatusOr<StepResult> Results(const Step& step, Batch& batch, size_t first) {
  StepResult result;
  for (size_t i = 0; i < step.statements.size(); ++i) {
    StatementResult& statement = batch.results[first + i].result;
    QUARRY_RETURN_IF_ERROR(EvaluateCheck(step.statements[i].check, statement));
    result.statements.push_back(std::move(statement));
  }
  return result;
}

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
