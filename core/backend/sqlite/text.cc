#include "core/backend/sqlite/text.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace quarry::sqlite {
namespace {

// The length of the well-formed sequence that starts with `lead`, its second byte in [low, high]; 0 for none.
struct Sequence {
  size_t length = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
};

// Table 3-7 of the Unicode standard.
Sequence SequenceOf(uint8_t lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {};
}

// Eight bytes at once: none with the high bit, none zero.
bool PlainWord(const char* data) {
  uint64_t word;
  std::memcpy(&word, data, sizeof(word));
  constexpr uint64_t kHigh = 0x8080808080808080;
  constexpr uint64_t kOnes = 0x0101010101010101;
  return ((word | (word - kOnes)) & kHigh) == 0;
}

}  // namespace

bool IsText(std::string_view bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    if (at + 8 <= bytes.size() && PlainWord(bytes.data() + at)) {
      at += 8;
      continue;
    }
    const auto lead = static_cast<uint8_t>(bytes[at]);
    if (lead == 0) return false;
    if (lead < 0x80) {
      ++at;
      continue;
    }
    const Sequence sequence = SequenceOf(lead);
    if (sequence.length == 0 || at + sequence.length > bytes.size()) return false;
    const auto second = static_cast<uint8_t>(bytes[at + 1]);
    if (second < sequence.low || second > sequence.high) return false;
    for (size_t i = 2; i < sequence.length; ++i) {
      if ((static_cast<uint8_t>(bytes[at + i]) & 0xC0) != 0x80) return false;
    }
    at += sequence.length;
  }
  return true;
}

}  // namespace quarry::sqlite
