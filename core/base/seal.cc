#include "core/base/seal.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <cstdio>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

constexpr size_t kKeyBytes = 64;
constexpr size_t kTagBytes = 16;
constexpr char kVersion = 1;
constexpr size_t kSealedMax = 8 << 20;

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
struct FreeCipher {
  void operator()(EVP_CIPHER* cipher) const { EVP_CIPHER_free(cipher); }
};
struct FreeKdf {
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
};
struct FreeKdfContext {
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const unsigned char* Bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

absl::Status LibraryFailed() { return absl::InternalError("the cryptographic library cannot do AES-SIV"); }

absl::Status NotOurs() {
  return absl::InvalidArgumentError("was not given by this deployment, or was changed on the way");
}

// A context with the key and the associated data in it.
absl::StatusOr<Context> Begin(std::string_view key, const std::vector<std::string_view>& associated, bool encrypt,
                              std::string_view tag) {
  const char* const name = key.size() == kKeyBytes ? "AES-256-SIV" : "AES-128-SIV";
  const std::unique_ptr<EVP_CIPHER, FreeCipher> cipher(EVP_CIPHER_fetch(nullptr, name, nullptr));
  Context context(EVP_CIPHER_CTX_new());
  if (cipher == nullptr || context == nullptr) return LibraryFailed();
  if (EVP_CipherInit_ex2(context.get(), cipher.get(), Bytes(key), nullptr, encrypt ? 1 : 0, nullptr) != 1) {
    return LibraryFailed();
  }
  if (!encrypt) {
    std::string copy(tag);
    if (EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(copy.size()), copy.data()) != 1) {
      return LibraryFailed();
    }
  }
  int size = 0;
  for (const std::string_view data : associated) {
    if (EVP_CipherUpdate(context.get(), nullptr, &size, Bytes(data), static_cast<int>(data.size())) != 1) {
      return LibraryFailed();
    }
  }
  return context;
}

std::string DeriveKey(std::string_view secret) {
  const std::unique_ptr<EVP_KDF, FreeKdf> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const std::unique_ptr<EVP_KDF_CTX, FreeKdfContext> context(EVP_KDF_CTX_new(kdf.get()));
  std::string digest = "SHA512";
  std::string input = secret.empty() ? std::string(1, '\0') : std::string(secret);
  std::string info = "quarry sealed token 1";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), digest.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, input.data(), input.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end(),
  };
  std::string key(kKeyBytes, '\0');
  if (EVP_KDF_derive(context.get(), Bytes(key), key.size(), params) == 1) return key;
  std::fputs("the cryptographic library cannot do HKDF with SHA-512\n", stderr);
  std::abort();
}

}  // namespace

namespace seal_internal {

absl::StatusOr<std::string> SivEncrypt(std::string_view key, const std::vector<std::string_view>& associated,
                                       std::string_view plain) {
  QUARRY_ASSIGN_OR_RETURN(const Context context, Begin(key, associated, true, ""));
  std::string sealed(kTagBytes + plain.size(), '\0');
  int size = 0;
  if (EVP_EncryptUpdate(context.get(), Bytes(sealed) + kTagBytes, &size, Bytes(plain), static_cast<int>(plain.size())) !=
      1) {
    return LibraryFailed();
  }
  unsigned char rest[kTagBytes];
  if (EVP_EncryptFinal_ex(context.get(), rest, &size) != 1) return LibraryFailed();
  if (EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, sealed.data()) != 1) return LibraryFailed();
  return sealed;
}

absl::StatusOr<std::string> SivDecrypt(std::string_view key, const std::vector<std::string_view>& associated,
                                       std::string_view sealed) {
  if (sealed.size() <= kTagBytes || sealed.size() > kSealedMax) return NotOurs();
  QUARRY_ASSIGN_OR_RETURN(const Context context, Begin(key, associated, false, sealed.substr(0, kTagBytes)));
  const std::string_view hidden = sealed.substr(kTagBytes);
  std::string plain(hidden.size(), '\0');
  int size = 0;
  if (EVP_DecryptUpdate(context.get(), Bytes(plain), &size, Bytes(hidden), static_cast<int>(hidden.size())) != 1) {
    return NotOurs();
  }
  unsigned char rest[kTagBytes];
  if (EVP_DecryptFinal_ex(context.get(), rest, &size) != 1) return NotOurs();
  return plain;
}

}  // namespace seal_internal

Sealer::Sealer(std::string_view secret) : key_(DeriveKey(secret)) {}

std::string Sealer::Seal(std::string_view plain) const {
  // The version also keeps the text from being empty, of which SIV implementations make different things.
  std::string versioned(1, kVersion);
  versioned.append(plain);
  const absl::StatusOr<std::string> sealed = seal_internal::SivEncrypt(key_, {}, versioned);
  if (!sealed.ok()) {
    std::fputs("the cryptographic library cannot do AES-256-SIV\n", stderr);
    std::abort();
  }
  std::string text;
  absl::WebSafeBase64Escape(*sealed, &text);
  return text;
}

absl::StatusOr<std::string> Sealer::Open(std::string_view sealed) const {
  if (sealed.size() > kSealedMax) return NotOurs();
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(absl::string_view(sealed.data(), sealed.size()), &bytes)) return NotOurs();
  QUARRY_ASSIGN_OR_RETURN(std::string plain, seal_internal::SivDecrypt(key_, {}, bytes));
  if (plain.front() != kVersion) return NotOurs();
  return plain.substr(1);
}

}  // namespace quarry
