// The routing hash: PostgreSQL's own hash for PARTITION BY HASH, bit for bit, so that a row's place can be
// computed inside PostgreSQL with the same answer. Stable across processes, machines and versions. Pure
// functions, safe from any thread. Source: PostgreSQL 15, src/common/hashfn.c (Bob Jenkins' lookup3),
// access/hash/hashfunc.c, adt/numeric.c and partitioning/partbounds.c (compute_partition_hash_value). Vectors
// from a real server: tests/golden/routing.
//
// The per-type functions carry the SQL names of PostgreSQL in comments, for whoever registers them in another
// database; SQL shows seeds and results as signed bigint.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/model/type.h"
#include "core/model/value.h"

namespace quarry {

// HASH_PARTITION_SEED of PostgreSQL.
inline constexpr uint64_t kPartitionSeed = 0x7A5B22367996DCFDULL;

uint64_t HashBytesExtended(std::string_view bytes, uint64_t seed) noexcept;
uint64_t HashUint32Extended(uint32_t value, uint64_t seed) noexcept;

// hashcharextended, which is what PostgreSQL uses for boolean.
uint64_t HashBoolExtended(bool value, uint64_t seed) noexcept;
// hashint2extended, hashint4extended, hashint8extended: equal integers hash alike in all widths.
uint64_t HashInt2Extended(int16_t value, uint64_t seed) noexcept;
uint64_t HashInt4Extended(int32_t value, uint64_t seed) noexcept;
uint64_t HashInt8Extended(int64_t value, uint64_t seed) noexcept;
// hashtextextended, of UTF-8 under a deterministic collation.
uint64_t HashTextExtended(std::string_view text, uint64_t seed) noexcept;
// hashvarlenaextended, of bytea.
uint64_t HashVarlenaExtended(std::string_view bytes, uint64_t seed) noexcept;
// timestamp_hash_extended, of both timestamp types. Counts from 1970 as Value does; PostgreSQL itself counts
// from 2000.
uint64_t TimestampHashExtended(int64_t unix_micros, uint64_t seed) noexcept;
// time_hash_extended.
uint64_t TimeHashExtended(int64_t micros_of_day, uint64_t seed) noexcept;
// What PARTITION BY HASH uses for a date.
uint64_t DateHashExtended(int32_t days_since_2000, uint64_t seed) noexcept;
// uuid_hash_extended, of the 16 bytes.
uint64_t UuidHashExtended(const std::array<uint8_t, 16>& uuid, uint64_t seed) noexcept;
// hash_numeric_extended, of the decimal's text. Scale does not count: 1.0 and 1.00 hash alike. Absent when
// malformed.
std::optional<uint64_t> NumericHashExtended(std::string_view text, uint64_t seed);

// The running hash `a` of a composite key joined with the next part's hash `b`.
constexpr uint64_t HashCombine64(uint64_t a, uint64_t b) noexcept {
  return a ^ (b + 0x49a0f4dd15e5a8e3ULL + (a << 54) + (a >> 7));
}

// One value's hash with a seed, chosen by the value's kind. kInvalidArgument INVALID_FIELD when the kind has
// no stable hash or the text is malformed.
absl::StatusOr<uint64_t> HashValue(const Value& value, uint64_t seed);

// What PostgreSQL computes for a row whose partition key is `key`: `PartitionHash(key) % modulus` is the
// remainder of its partition. Nulls are skipped, as PostgreSQL does. Fails as HashValue, naming the part
// ("key[1]"). Allocates only for decimals of more than 128 digits and for errors.
absl::StatusOr<uint64_t> PartitionHash(absl::Span<const Value> key);
// The same for keys of int64, text and uuid; absent when a part is of another kind or malformed. Never
// allocates.
std::optional<uint64_t> FastPartitionHash(absl::Span<const Value> key) noexcept;

// True when values of the type can be routing keys by hash. Floats, json, intervals, arrays, blank-padded
// character(n) and native types cannot: equal values of theirs need not have equal bytes.
bool HasStableHash(const ColumnType& type);

}  // namespace quarry
