// Names of prepared transactions: whoever finds one knows whose it is and where its decision is kept. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/backend/two_phase.h"

namespace quarry::postgres {

// Whose branches these are.
struct BranchOwner {
  std::string deployment;
  std::string shard;
};

// At most 80 bytes of [a-z0-9-], and one at least.
bool IsTransactionId(std::string_view id);

// "quarry:<deployment>:<home>:<transaction id>:<shard>"; what is not a letter, digit, '_', '-' or '.' is written %XX, so
// that ':' only separates and nothing needs to be quoted. kInvalidArgument INVALID_FIELD for an id that is none;
// kFailedPrecondition TWO_PHASE_UNAVAILABLE when it would be longer than PostgreSQL takes (199 bytes).
absl::StatusOr<std::string> BranchGid(const BranchOwner& owner, const GlobalTransaction& transaction);

// What all names of a deployment start with.
std::string BranchGidPrefix(const std::string& deployment);

// The transaction, or nullopt for a name that is not one of this owner's.
std::optional<GlobalTransaction> ParseBranchGid(const BranchOwner& owner, std::string_view gid);

}  // namespace quarry::postgres
