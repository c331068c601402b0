#include "core/backend/shard_error.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/error.h"

namespace quarry {
namespace {

// A table or column that Quarry's own SQL names, for the shard had it when it was asked.
bool LacksWhatItHad(const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) return false;
  const ErrorDetail detail = DetailOf(status);
  if (detail.reason != reason::kInvalidSql) return false;
  const auto state = detail.facts.find("sqlstate");
  if (state != detail.facts.end()) return state->second == "42P01" || state->second == "42703";
  return absl::StartsWith(status.message(), "no such table") || absl::StartsWith(status.message(), "no such column");
}

absl::Status Drifted(const absl::Status& status, const std::string& shard) {
  const std::string own = absl::StrCat("shard ", shard, ": ");
  absl::string_view cause = status.message();
  absl::ConsumePrefix(&cause, own);
  ErrorDetail detail = DetailOf(status);
  detail.reason = reason::kSchemaMismatch;
  detail.facts["shard"] = shard;
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat(own, "its tables have changed since this gateway asked for them (", cause,
                                "); finish the migration on every shard, then send SIGHUP to the gateways"),
                   detail);
}

}  // namespace

absl::Status OnShard(const absl::Status& status, const std::string& shard) {
  if (LacksWhatItHad(status)) return Drifted(status, shard);
  if (status.ok() || absl::IsInvalidArgument(status)) return WithFact(status, "shard", shard);
  const std::string message(status.message());
  // One that begins with another shard came through this one, and blames that.
  const bool named = absl::StartsWith(message, "shard ") || absl::StrContains(message, absl::StrCat("shard ", shard));
  if (named) return WithFact(status, "shard", shard);
  return WithFact(WithMessage(status, absl::StrCat("shard ", shard, ": ", message)), "shard", shard);
}

}  // namespace quarry
