// An error of one shard's database, told with the shard's name. Stateless.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace quarry {

// The status of Quarry's own SQL with the shard's name in its message and its facts. The message of kInvalidArgument stays:
// the caller's mistake is none of the shard's. kFailedPrecondition SCHEMA_MISMATCH for a table or column that is gone.
absl::Status OnShard(const absl::Status& status, const std::string& shard);

}  // namespace quarry
