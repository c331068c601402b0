// An error of one shard's database, told with the shard's name. Stateless.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace quarry {

// The status with the shard's name in its message and its facts. The message of kInvalidArgument stays: the caller's
// mistake is none of the shard's.
absl::Status OnShard(const absl::Status& status, const std::string& shard);

}  // namespace quarry
