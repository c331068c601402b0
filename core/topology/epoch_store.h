// Where the embedded topology's epoch is kept: a small file in the data directory. The epoch grows by one whenever the
// shards or the resolvers differ from those of the last start.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/model/ids.h"

namespace quarry {

// The epoch for a topology with this fingerprint, durably stored in `file` before it is returned. The first is 1.
// kUnavailable when the file cannot be read or written; kDataLoss when it is not one of ours.
absl::StatusOr<Epoch> EpochFor(const std::string& fingerprint, const std::string& file);

}  // namespace quarry
