#include "core/model/check.h"

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/model/etag.h"

namespace quarry {
namespace {

absl::Status RowMissing(const Check& check) {
  if (check.precondition) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kPreconditionFailed,
                     absl::StrCat("precondition failed: table ", check.table, " has no row with this key"),
                     {{"table", check.table}});
  }
  return MakeError(absl::StatusCode::kNotFound, reason::kRowNotFound,
                   absl::StrCat("table ", check.table, " has no row with this key"), {{"table", check.table}});
}

}  // namespace

absl::Status EvaluateCheck(const Check& check, const StatementResult& result) {
  const bool row = result.affected > 0 || !result.batch.rows.empty();
  switch (check.kind) {
    case Check::Kind::kNone:
      return absl::OkStatus();
    case Check::Kind::kRowRequired:
      return row ? absl::OkStatus() : RowMissing(check);
    case Check::Kind::kNoRow:
      if (result.batch.rows.empty()) return absl::OkStatus();
      return MakeError(absl::StatusCode::kAlreadyExists, reason::kRowExists,
                       absl::StrCat("table ", check.table, " has a row with this key already"),
                       {{"table", check.table}});
    case Check::Kind::kEtag:
      if (!row) return RowMissing(check);
      if (!result.batch.rows.empty() && EtagOf(result.batch.rows.front()) == check.etag) return absl::OkStatus();
      return MakeError(absl::StatusCode::kAborted, reason::kEtagMismatch,
                       absl::StrCat("the row of table ", check.table,
                                    " has changed since its etag was read; read it again, then retry"),
                       {{"table", check.table}});
  }
  return absl::OkStatus();
}

}  // namespace quarry
