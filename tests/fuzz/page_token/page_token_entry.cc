#include "tests/fuzz/page_token/page_token_entry.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/plan/page_token.h"

namespace quarry {
namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

}  // namespace

void FuzzPageToken(std::string_view bytes) {
  static const Sealer sealer("a secret of the fuzz test");
  Require(!sealer.Open(bytes).ok(), "bytes that nobody sealed were opened");
  Require(!OpenPosition(bytes, 1, sealer, "page_token").ok(), "a forged token was opened");
  const std::string sealed = sealer.Seal(bytes);
  const absl::StatusOr<std::string> opened = sealer.Open(sealed);
  Require(opened.ok() && *opened == bytes, "sealed bytes came back otherwise");
  const absl::StatusOr<DecodedPosition> decoded = DecodePosition(bytes);
  Require(decoded.ok() == OpenPosition(sealed, decoded.ok() ? decoded->request_hash : 0, sealer, "page_token").ok() ||
              sealed.size() > kTokenBytesMax,
          "a sealed position reads otherwise than its bytes");
  if (!decoded.ok()) return;
  const absl::StatusOr<DecodedPosition> again = DecodePosition(EncodePosition(decoded->position, decoded->request_hash));
  Require(again.ok() && again->request_hash == decoded->request_hash && again->position.after == decoded->position.after &&
              again->position.given == decoded->position.given && again->position.backward == decoded->position.backward &&
              again->position.inclusive == decoded->position.inclusive,
          "a position came back otherwise");
}

}  // namespace quarry
