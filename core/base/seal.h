// Text that only its maker can read and nobody can change: what a token given to a client is made of.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quarry {

// Deterministic authenticated encryption, AES-256-SIV (RFC 5297), with a key derived from a secret (HKDF, SHA-512): the same
// plain text gives the same sealed text, so that what is equal stays recognisable and nothing needs a random number.
// Thread-safe.
class Sealer {
 public:
  // Any secret; one of less than 16 random bytes can be guessed.
  explicit Sealer(std::string_view secret);
  // base64url without padding.
  std::string Seal(std::string_view plain) const;
  // kInvalidArgument for whatever Seal did not make with the same secret; the message fits behind the name of a field.
  absl::StatusOr<std::string> Open(std::string_view sealed) const;

 private:
  std::string key_;
};

namespace seal_internal {

// AES-SIV with 32 bytes of key (AES-128) or 64 (AES-256): the synthetic vector, then as many bytes as `plain` has, at least one.
// kInternal when the cryptographic library fails.
absl::StatusOr<std::string> SivEncrypt(std::string_view key, const std::vector<std::string_view>& associated,
                                       std::string_view plain);
// kInvalidArgument when the bytes are not authentic.
absl::StatusOr<std::string> SivDecrypt(std::string_view key, const std::vector<std::string_view>& associated,
                                       std::string_view sealed);

}  // namespace seal_internal
}  // namespace quarry
