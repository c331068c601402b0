#include "core/backend/shard_error.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"

namespace quarry {

absl::Status OnShard(const absl::Status& status, const std::string& shard) {
  if (status.ok() || absl::IsInvalidArgument(status)) return WithFact(status, "shard", shard);
  const std::string message(status.message());
  // One that begins with another shard came through this one, and blames that.
  const bool named = absl::StartsWith(message, "shard ") || absl::StrContains(message, absl::StrCat("shard ", shard));
  if (named) return WithFact(status, "shard", shard);
  return WithFact(WithMessage(status, absl::StrCat("shard ", shard, ": ", message)), "shard", shard);
}

}  // namespace quarry
