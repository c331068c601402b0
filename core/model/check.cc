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

absl::Status Fenced(const Check& check) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kLockLost,
                   absl::StrCat("a holder with a higher token has written under lock \"", check.table, "\" since: the write's "
                                "own token is out of date and nothing was written; acquire the lock again and start over"),
                   {{"lock", check.table}});
}

absl::Status OverLimit(const char* field, int64_t limit) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded,
                   absl::StrCat("the statement returns more than ", field, " = ", limit,
                                " allows; narrow it, or raise the limit"),
                   {{"field", field}, {"limit", absl::StrCat(limit)}});
}

}  // namespace

int64_t ByteSize(const std::vector<Row>& rows) {
  size_t bytes = 0;
  for (const Row& row : rows) {
    for (const Value& value : row) bytes += ByteSize(value);
  }
  return static_cast<int64_t>(bytes);
}

absl::Status CheckBounds(const RowBounds& bounds, int64_t rows, int64_t bytes) {
  if (bounds.rows_max > 0 && rows > bounds.rows_max) return OverLimit("max_rows", bounds.rows_max);
  if (bounds.bytes_max > 0 && bytes > bounds.bytes_max) return OverLimit("max_bytes", bounds.bytes_max);
  return absl::OkStatus();
}

absl::Status EvaluateCheck(const Check& check, const StatementResult& result) {
  const bool row = result.affected > 0 || !result.batch.rows.empty();
  switch (check.kind) {
    case Check::Kind::kNone:
      return absl::OkStatus();
    case Check::Kind::kRowRequired:
      return row ? absl::OkStatus() : RowMissing(check);
    case Check::Kind::kEtag:
      if (!row) return RowMissing(check);
      if (!result.batch.rows.empty() && EtagOf(result.batch.rows.front()) == check.etag) return absl::OkStatus();
      return MakeError(absl::StatusCode::kAborted, reason::kEtagMismatch,
                       absl::StrCat("the row of table ", check.table,
                                    " has changed since its etag was read; read it again, then retry"),
                       {{"table", check.table}});
    case Check::Kind::kMatch:
      if (row) return absl::OkStatus();
      return MakeError(absl::StatusCode::kFailedPrecondition, reason::kPreconditionFailed,
                       absl::StrCat("precondition failed: the row of table ", check.table,
                                    " does not match precondition.filter; read it again, then decide anew"),
                       {{"table", check.table}});
    case Check::Kind::kRowsWithin:
      return CheckBounds(check.bounds, static_cast<int64_t>(result.batch.rows.size()), ByteSize(result.batch.rows));
    case Check::Kind::kFence:
      return result.batch.rows.empty() ? Fenced(check) : absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace quarry
