#include "core/plan/text_prefix.h"

#include <cstdint>

namespace quarry {
namespace {

constexpr uint32_t kLast = 0x10ffff;

uint32_t Decode(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first;
  uint32_t code = first & (0x7fu >> character.size());
  for (const char c : character.substr(1)) code = (code << 6) | (static_cast<unsigned char>(c) & 0x3fu);
  return code;
}

void Encode(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
    return;
  }
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  const uint32_t mark = more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0;
  out.push_back(static_cast<char>(mark | (code >> (6 * more))));
  for (int i = more - 1; i >= 0; --i) out.push_back(static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3f)));
}

}  // namespace

std::optional<std::string> AfterPrefix(std::string_view prefix) {
  while (!prefix.empty()) {
    size_t begin = prefix.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(prefix[begin]) & 0xc0) == 0x80) --begin;
    uint32_t code = Decode(prefix.substr(begin));
    prefix = prefix.substr(0, begin);
    if (code == kLast) continue;
    if (++code == 0xd800) code = 0xe000;  // Surrogates are no characters.
    std::string next(prefix);
    Encode(code, next);
    return next;
  }
  return std::nullopt;
}

}  // namespace quarry
