#include "core/base/seal.h"

#include <string>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Hex(std::string_view hex) { return absl::HexStringToBytes(absl::string_view(hex.data(), hex.size())); }

// RFC 5297, appendix A.1.
TEST(SealTest, AgreesWithTheVectorOfItsRfc) {
  const std::string key = Hex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
  const std::string associated = Hex("101112131415161718191a1b1c1d1e1f2021222324252627");
  const std::string plain = Hex("112233445566778899aabbccddee");
  const std::string sealed = Hex("85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c");
  ASSERT_OK_AND_ASSIGN(const std::string made, seal_internal::SivEncrypt(key, {associated}, plain));
  EXPECT_EQ(absl::BytesToHexString(made), absl::BytesToHexString(sealed));
  ASSERT_OK_AND_ASSIGN(const std::string opened, seal_internal::SivDecrypt(key, {associated}, sealed));
  EXPECT_EQ(opened, plain);
}

TEST(SealTest, OpensWhatItSealed) {
  const Sealer sealer("a secret of some length");
  for (const std::string& plain : {std::string(), std::string("x"), std::string("\0\xff\n", 3), std::string(100'000, 'y')}) {
    const std::string sealed = sealer.Seal(plain);
    EXPECT_EQ(sealed.find_first_of("+/= \n"), std::string::npos);
    ASSERT_OK_AND_ASSIGN(const std::string opened, sealer.Open(sealed));
    EXPECT_EQ(opened, plain);
  }
}

TEST(SealTest, GivesTheSameTextForTheSameWordsAndSecretAlone) {
  EXPECT_EQ(Sealer("a").Seal("words"), Sealer("a").Seal("words"));
  EXPECT_NE(Sealer("a").Seal("words"), Sealer("b").Seal("words"));
  EXPECT_NE(Sealer("a").Seal("words"), Sealer("a").Seal("wordt"));
  EXPECT_THAT(Sealer("a").Seal("words"), Not(HasSubstr("words")));
}

TEST(SealTest, RefusesWhatAnotherSecretSealed) {
  EXPECT_THAT(Sealer("a").Open(Sealer("b").Seal("words")), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SealTest, RefusesEveryChangedBitAndEveryCut) {
  const Sealer sealer("a");
  std::string bytes;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(sealer.Seal("some words"), &bytes));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    std::string text;
    absl::WebSafeBase64Escape(changed, &text);
    EXPECT_THAT(sealer.Open(text), StatusIs(absl::StatusCode::kInvalidArgument)) << bit;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    std::string text;
    absl::WebSafeBase64Escape(bytes.substr(0, size), &text);
    EXPECT_THAT(sealer.Open(text), StatusIs(absl::StatusCode::kInvalidArgument)) << size;
  }
}

TEST(SealTest, RefusesBytesThatAreNoToken) {
  const Sealer sealer("a");
  for (const char* text : {"", "%%%", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "\xff\xfe"}) {
    EXPECT_THAT(sealer.Open(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

}  // namespace
}  // namespace quarry
