// Where a page or stream goes on, as text for a client: sealed, so that it can be neither read nor made by hand, and bound to the
// request that it was given for. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/base/seal.h"
#include "core/model/query.h"

namespace quarry {

// A token's text is no longer than this.
inline constexpr size_t kTokenBytesMax = 256 << 10;

// kResourceExhausted LIMIT_EXCEEDED when the row's sort values are too long for a token.
absl::StatusOr<std::string> SealPosition(const QueryPosition& position, uint64_t request_hash, const Sealer& sealer);
// kInvalidArgument INVALID_FIELD at `field` for a token that was changed, cut, made elsewhere, or given for another request.
absl::StatusOr<QueryPosition> OpenPosition(std::string_view token, uint64_t request_hash, const Sealer& sealer,
                                           std::string_view field);

// The inside of a token; versioned by its first byte.
std::string EncodePosition(const QueryPosition& position, uint64_t request_hash);
struct DecodedPosition {
  QueryPosition position;
  uint64_t request_hash = 0;
};
// kDataLoss when the bytes are not of a known form.
absl::StatusOr<DecodedPosition> DecodePosition(std::string_view bytes);

}  // namespace quarry
