// Texts made of what SQL, filters and encodings trip over.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace quarry {

inline std::string HostileText(std::mt19937_64& random) {
  static const std::vector<std::string> kPieces = {
      "'", "''", "\"", "\"\"", ";", "--", "/*", "*/", "\\", "$1", "?1", "@p", "%", "_", "DROP TABLE customers", " OR 1=1", ")", "(",
      "\n", "\t", "\x01", std::string(1, '\0'), "\xff", "\xc0\xaf", "\xf4\x8f\xbf\xbf", "é", "$$", "E'", "U&'", "::text", "{", "}",
      "NULL", "AND", "name", "0x00", "1e9", "COLLATE", "\xef\xbb\xbf", "\xe2\x80\xae", ",", ".", "0"};
  std::string text;
  for (uint64_t i = 1 + random() % 6; i > 0; --i) text += kPieces[random() % kPieces.size()];
  return text;
}

}  // namespace quarry
