#include "core/model/like.h"

#include <cstddef>

namespace quarry {
namespace {

// Where the character at `at` ends.
size_t AfterCharacter(std::string_view text, size_t at) {
  ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

}  // namespace

bool IsLikePattern(std::string_view pattern) {
  bool escaped = false;
  for (const char c : pattern) escaped = !escaped && c == '\\';
  return !escaped;
}

bool MatchesLike(std::string_view text, std::string_view pattern) {
  if (!IsLikePattern(pattern)) return false;
  constexpr size_t kNone = std::string_view::npos;
  size_t t = 0;
  size_t p = 0;
  // What follows the last % seen, and where in the text it was last tried: an earlier % never has to be tried again.
  size_t retry_p = kNone;
  size_t retry_t = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '%') {
      retry_p = ++p;
      retry_t = t;
      if (p == pattern.size()) return true;
      continue;
    }
    if (p < pattern.size() && pattern[p] == '_') {
      ++p;
      t = AfterCharacter(text, t);
      continue;
    }
    const size_t literal = p < pattern.size() && pattern[p] == '\\' ? p + 1 : p;
    if (literal < pattern.size() && pattern[literal] == text[t]) {
      p = literal + 1;
      ++t;
      continue;
    }
    if (retry_p == kNone) return false;
    retry_t = AfterCharacter(text, retry_t);
    t = retry_t;
    p = retry_p;
  }
  while (p < pattern.size() && pattern[p] == '%') ++p;
  return p == pattern.size();
}

}  // namespace quarry
