#include "core/routing/stable_hash.h"

#include <bit>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/routing/key_text.h"

namespace quarry {
namespace {

// Microseconds from 1970-01-01 to 2000-01-01.
constexpr uint64_t kMicrosTo2000 = 946'684'800'000'000;

// lookup3's three words.
struct Lanes {
  uint32_t a;
  uint32_t b;
  uint32_t c;

  Lanes(size_t length, uint64_t seed) noexcept {
    a = b = c = 0x9e3779b9U + static_cast<uint32_t>(length) + 3923095U;
    if (seed != 0) {
      a += static_cast<uint32_t>(seed >> 32);
      b += static_cast<uint32_t>(seed);
      Mix();
    }
  }

  void Mix() noexcept {
    a -= c, a ^= std::rotl(c, 4), c += b;
    b -= a, b ^= std::rotl(a, 6), a += c;
    c -= b, c ^= std::rotl(b, 8), b += a;
    a -= c, a ^= std::rotl(c, 16), c += b;
    b -= a, b ^= std::rotl(a, 19), a += c;
    c -= b, c ^= std::rotl(b, 4), b += a;
  }

  uint64_t Finish() noexcept {
    c ^= b, c -= std::rotl(b, 14);
    a ^= c, a -= std::rotl(c, 11);
    b ^= a, b -= std::rotl(a, 25);
    c ^= b, c -= std::rotl(b, 16);
    a ^= c, a -= std::rotl(c, 4);
    b ^= a, b -= std::rotl(a, 14);
    c ^= b, c -= std::rotl(b, 24);
    return uint64_t{b} << 32 | c;
  }
};

uint32_t LittleEndianWord(const uint8_t* bytes) noexcept {
  return uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

}  // namespace

uint64_t HashBytesExtended(std::string_view bytes, uint64_t seed) noexcept {
  Lanes lanes(bytes.size(), seed);
  const auto* at = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t left = bytes.size();
  for (; left >= 12; left -= 12, at += 12) {
    lanes.a += LittleEndianWord(at);
    lanes.b += LittleEndianWord(at + 4);
    lanes.c += LittleEndianWord(at + 8);
    lanes.Mix();
  }
  uint8_t tail[12] = {};
  if (left > 0) std::memcpy(tail, at, left);
  lanes.a += LittleEndianWord(tail);
  lanes.b += LittleEndianWord(tail + 4);
  // The lowest byte of c is the length's: the last bytes start one higher.
  lanes.c += LittleEndianWord(tail + 8) << 8;
  return lanes.Finish();
}

uint64_t HashUint32Extended(uint32_t value, uint64_t seed) noexcept {
  Lanes lanes(sizeof(value), seed);
  lanes.a += value;
  return lanes.Finish();
}

uint64_t HashBoolExtended(bool value, uint64_t seed) noexcept {
  return HashUint32Extended(value ? 1 : 0, seed);
}

uint64_t HashInt2Extended(int16_t value, uint64_t seed) noexcept {
  return HashUint32Extended(static_cast<uint32_t>(int32_t{value}), seed);
}

uint64_t HashInt4Extended(int32_t value, uint64_t seed) noexcept {
  return HashUint32Extended(static_cast<uint32_t>(value), seed);
}

uint64_t HashInt8Extended(int64_t value, uint64_t seed) noexcept {
  const auto low = static_cast<uint32_t>(value);
  const auto high = static_cast<uint32_t>(static_cast<uint64_t>(value) >> 32);
  return HashUint32Extended(low ^ (value >= 0 ? high : ~high), seed);
}

uint64_t HashTextExtended(std::string_view text, uint64_t seed) noexcept {
  return HashBytesExtended(text, seed);
}

uint64_t HashVarlenaExtended(std::string_view bytes, uint64_t seed) noexcept {
  return HashBytesExtended(bytes, seed);
}

uint64_t TimestampHashExtended(int64_t unix_micros, uint64_t seed) noexcept {
  return HashInt8Extended(static_cast<int64_t>(static_cast<uint64_t>(unix_micros) - kMicrosTo2000), seed);
}

uint64_t TimeHashExtended(int64_t micros_of_day, uint64_t seed) noexcept {
  return HashInt8Extended(micros_of_day, seed);
}

uint64_t DateHashExtended(int32_t days_since_2000, uint64_t seed) noexcept {
  return HashInt4Extended(days_since_2000, seed);
}

uint64_t UuidHashExtended(const std::array<uint8_t, 16>& uuid, uint64_t seed) noexcept {
  return HashBytesExtended(std::string_view(reinterpret_cast<const char*>(uuid.data()), uuid.size()), seed);
}

std::optional<uint64_t> NumericHashExtended(std::string_view text, uint64_t seed) {
  const std::optional<DecimalDigits> number = ParseDecimal(text);
  if (!number) return std::nullopt;
  if (number->special) return seed;
  if (number->digits.empty()) return seed - 1;
  static_assert(std::endian::native == std::endian::little,
                "PostgreSQL hashes the digits in the machine's byte order");
  const std::string_view bytes(reinterpret_cast<const char*>(number->digits.data()),
                               number->digits.size() * sizeof(int16_t));
  return HashBytesExtended(bytes, seed) ^ static_cast<uint64_t>(int64_t{number->weight});
}

namespace {

std::optional<uint64_t> FastHash(const Value& value, uint64_t seed) noexcept {
  switch (value.kind()) {
    case ValueKind::kInt64:
      return HashInt8Extended(value.int64_value(), seed);
    case ValueKind::kText:
      return HashTextExtended(value.text(), seed);
    case ValueKind::kUuid: {
      const std::optional<std::array<uint8_t, 16>> uuid = ParseUuid(value.text());
      if (!uuid) return std::nullopt;
      return UuidHashExtended(*uuid, seed);
    }
    default:
      return std::nullopt;
  }
}

// Absent when the value's kind has no stable hash or its text is malformed.
std::optional<uint64_t> AnyHash(const Value& value, uint64_t seed) {
  switch (value.kind()) {
    case ValueKind::kBool:
      return HashBoolExtended(value.bool_value(), seed);
    case ValueKind::kBytes:
      return HashVarlenaExtended(value.text(), seed);
    case ValueKind::kTimestamp:
      return TimestampHashExtended(value.timestamp_micros(), seed);
    case ValueKind::kDate: {
      const std::optional<int32_t> days = ParseDateDays(value.text());
      if (!days) return std::nullopt;
      return DateHashExtended(*days, seed);
    }
    case ValueKind::kTime: {
      const std::optional<int64_t> micros = ParseTimeMicros(value.text());
      if (!micros) return std::nullopt;
      return TimeHashExtended(*micros, seed);
    }
    case ValueKind::kDecimal:
      return NumericHashExtended(value.text(), seed);
    default:
      return FastHash(value, seed);
  }
}

bool KindHasStableHash(TypeKind kind) {
  switch (kind) {
    case TypeKind::kBool:
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
    case TypeKind::kText:
    case TypeKind::kBytes:
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampTz:
    case TypeKind::kDate:
    case TypeKind::kTime:
    case TypeKind::kDecimal:
    case TypeKind::kUuid:
      return true;
    default:
      return false;
  }
}

absl::Status NotHashable(const Value& value, std::string_view field) {
  switch (value.kind()) {
    case ValueKind::kDate:
    case ValueKind::kTime:
    case ValueKind::kDecimal:
    case ValueKind::kUuid:
      return InvalidField(field, absl::StrCat("is not a well-formed ", ValueKindName(value.kind())));
    default:
      return InvalidField(field, absl::StrCat("a value of kind ", ValueKindName(value.kind()),
                                              " has no stable hash and cannot be part of a shard key"));
  }
}

}  // namespace

absl::StatusOr<uint64_t> HashValue(const Value& value, uint64_t seed) {
  const std::optional<uint64_t> hash = AnyHash(value, seed);
  if (!hash) return NotHashable(value, "value");
  return *hash;
}

absl::StatusOr<uint64_t> PartitionHash(absl::Span<const Value> key) {
  uint64_t combined = 0;
  for (size_t i = 0; i < key.size(); ++i) {
    if (key[i].is_null()) continue;
    const std::optional<uint64_t> hash = AnyHash(key[i], kPartitionSeed);
    if (!hash) return NotHashable(key[i], absl::StrCat("key[", i, "]"));
    combined = HashCombine64(combined, *hash);
  }
  return combined;
}

std::optional<uint64_t> FastPartitionHash(absl::Span<const Value> key) noexcept {
  uint64_t combined = 0;
  for (const Value& part : key) {
    if (part.is_null()) continue;
    const std::optional<uint64_t> hash = FastHash(part, kPartitionSeed);
    if (!hash) return std::nullopt;
    combined = HashCombine64(combined, *hash);
  }
  return combined;
}

bool HasStableHash(const ColumnType& type) {
  if (type.array || !KindHasStableHash(type.kind)) return false;
  // PostgreSQL's blank-padded type compares and hashes without its trailing blanks.
  const std::string& name = type.native_name;
  const bool blank_padded = name == "bpchar" || name == "character" || absl::StartsWith(name, "character(");
  return !(type.kind == TypeKind::kText && blank_padded);
}

}  // namespace quarry
