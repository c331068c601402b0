#include "core/backend/sqlite/check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/model/etag.h"

namespace quarry::sqlite {

absl::Status VerifyCheck(const Check& check, const StatementResult& result, std::string_view shard) {
  if (check.kind == Check::Kind::kNone) return absl::OkStatus();
  const std::string where = absl::StrCat(" in table ", check.table, " on shard ", std::string(shard));
  const auto fail = [&](absl::StatusCode code, std::string_view reason, const std::string& message) {
    return MakeError(code, reason, message, {{"shard", std::string(shard)}, {"table", check.table}});
  };
  const bool has_row = !result.batch.rows.empty() || result.affected > 0;
  if (check.kind == Check::Kind::kNoRow) {
    if (result.batch.rows.empty()) return absl::OkStatus();
    return fail(absl::StatusCode::kAlreadyExists, reason::kRowExists, "the row exists already" + where);
  }
  if (!has_row)
    return fail(absl::StatusCode::kNotFound, reason::kRowNotFound, "no row with this key" + where);
  if (check.kind == Check::Kind::kEtag &&
      (result.batch.rows.empty() || EtagOf(result.batch.rows.front()) != check.etag)) {
    return fail(absl::StatusCode::kAborted, reason::kEtagMismatch,
                "the row has changed since its etag was read" + where + "; read it again");
  }
  return absl::OkStatus();
}

}  // namespace quarry::sqlite
