#include "core/backend/postgres/checks.h"

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/model/etag.h"

namespace quarry::postgres {

absl::Status CheckResult(const Check& check, const StatementResult& result, const std::string& shard) {
  if (check.kind == Check::Kind::kNone) return absl::OkStatus();
  const bool found = !result.batch.rows.empty() || result.affected > 0;
  if (check.kind == Check::Kind::kNoRow) {
    if (result.batch.rows.empty()) return absl::OkStatus();
    return MakeError(absl::StatusCode::kAlreadyExists, reason::kRowExists,
                     absl::StrCat("a row of table ", check.table, " with this key exists already"),
                     {{"table", check.table}, {"shard", shard}});
  }
  if (!found) {
    return MakeError(absl::StatusCode::kNotFound, reason::kRowNotFound,
                     absl::StrCat("table ", check.table, " has no row with this key"),
                     {{"table", check.table}, {"shard", shard}});
  }
  if (check.kind == Check::Kind::kRowRequired) return absl::OkStatus();
  if (!result.batch.rows.empty() && EtagOf(result.batch.rows[0]) == check.etag) return absl::OkStatus();
  return MakeError(absl::StatusCode::kAborted, reason::kEtagMismatch,
                   absl::StrCat("the row of table ", check.table,
                                " has changed since its etag was read; read it again and decide anew"),
                   {{"table", check.table}, {"shard", shard}});
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
