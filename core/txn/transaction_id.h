// The id of an interactive transaction: "t2-<gateway instance, 16 hex>-<loop, 2 hex>-<32 random hex>". It names the owner,
// so that any gateway knows where a call with it must run. Pure; use from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/base/random.h"

namespace quarry {

// The gateway process, and the loop within it, that has the transaction.
struct TransactionOwner {
  uint64_t instance = 0;
  uint32_t loop = 0;  // Below 256.
};

// "00000000000000ff": a gateway instance as it stands in ids, headers and messages; 16 lower-case digits.
std::string InstanceText(uint64_t instance);
// kInvalidArgument INVALID_FIELD, naming `field`, for anything but what InstanceText gives.
absl::StatusOr<uint64_t> ParseInstance(std::string_view text, std::string_view field);

// A new id, unguessable if `random` is.
std::string MakeTransactionId(const TransactionOwner& owner, Random& random);
// kInvalidArgument INVALID_FIELD for what MakeTransactionId has not given; digits are lower-case.
absl::StatusOr<TransactionOwner> ParseTransactionId(std::string_view id);

}  // namespace quarry
