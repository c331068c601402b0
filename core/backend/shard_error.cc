#include "core/backend/shard_error.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"

namespace quarry {

absl::Status OnShard(const absl::Status& status, const std::string& shard) {
  if (status.ok() || absl::IsInvalidArgument(status)) return WithFact(status, "shard", shard);
  const std::string message(status.message());
  if (absl::StrContains(message, absl::StrCat("shard ", shard))) return WithFact(status, "shard", shard);
  return WithFact(WithMessage(status, absl::StrCat("shard ", shard, ": ", message)), "shard", shard);
}

}  // namespace quarry
