#include "core/base/ids.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"

namespace quarry {
namespace {

constexpr int64_t kInt64EpochMillis = 1'704'067'200'000;  // 2024-01-01T00:00:00Z

uint64_t NextTicks(uint64_t last, int64_t millis) {
  const uint64_t ticks = static_cast<uint64_t>(std::max<int64_t>(millis, 0)) << 12;
  return std::max(ticks, last + 1);
}

}  // namespace

std::optional<std::string> CanonicalUuid(std::string_view text) {
  if (text.size() >= 2 && text.front() == '{' && text.back() == '}') {
    text = text.substr(1, text.size() - 2);
  }
  std::string hex;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '-') {
      // A dash may follow any group of four digits.
      if (hex.empty() || hex.size() % 4 != 0 || hex.size() == 32 || text[i - 1] == '-') return std::nullopt;
      continue;
    }
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c)) || hex.size() == 32) return std::nullopt;
    hex.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
  }
  if (hex.size() != 32) return std::nullopt;
  for (const size_t at : {20, 16, 12, 8}) hex.insert(at, 1, '-');
  return hex;
}

std::string IdGenerator::UuidV7(absl::Time now) {
  uuid_ticks_ = NextTicks(uuid_ticks_, absl::ToUnixMillis(now));
  const uint64_t millis = (uuid_ticks_ >> 12) & 0xffff'ffff'ffff;
  const uint64_t tail = (random_.Next() & 0x3fff'ffff'ffff'ffff) | 0x8000'0000'0000'0000;
  return absl::StrFormat("%08x-%04x-7%03x-%04x-%012x", millis >> 16, millis & 0xffff, uuid_ticks_ & 0xfff,
                         tail >> 48, tail & 0xffff'ffff'ffff);
}

int64_t IdGenerator::Int64(absl::Time now) {
  int64_ticks_ = NextTicks(int64_ticks_, absl::ToUnixMillis(now) - kInt64EpochMillis);
  return static_cast<int64_t>(((int64_ticks_ >> 12) << 22) | (uint64_t{node_} << 12) | (int64_ticks_ & 0xfff));
}

}  // namespace quarry
