// Commits a branch whose process ended, from its stored changes.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/backend/sqlite/connection.h"
#include "core/backend/two_phase.h"

namespace quarry::sqlite {

// The changes and the branch's part row, in one durable commit, on a connection of its own; nobody else writes meanwhile.
// Blocks. kDataLoss SHARD_CORRUPT when the database does not hold what the changes start from: nothing is written then.
absl::Status ReplayBranch(const ConnectionOptions& options, const std::string& transaction_id, std::string changeset,
                          absl::Time now);

}  // namespace quarry::sqlite
