// Maps from keys to anything, found without copying the key. Equal means equal to the databases: decimals by
// number, times and uuids by what they say, everything else by its bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "core/model/value.h"

namespace quarry {

// A key, or some of its parts, by reference, with its partition hash. What it was made from outlives this.
struct KeyProbe {
  absl::InlinedVector<const Value*, 6> parts;
  uint64_t hash = 0;
};

// Absent when a part has no stable hash or is null.
std::optional<KeyProbe> ProbeOf(absl::Span<const Value> key);
// Of the parts at `positions`, which are all within the key.
std::optional<KeyProbe> ProbeOf(absl::Span<const Value> key, absl::Span<const size_t> positions);

struct StoredKey {
  Key parts;
  uint64_t hash = 0;
};
StoredKey Store(const KeyProbe& probe);

bool SameKey(const KeyProbe& probe, const StoredKey& stored);

struct KeyHash {
  using is_transparent = void;
  // The partition hash decides the shard: keys of one shard share its low bits, so they are spread anew.
  size_t operator()(const KeyProbe& probe) const { return Spread(probe.hash); }
  size_t operator()(const StoredKey& stored) const { return Spread(stored.hash); }

 private:
  static size_t Spread(uint64_t hash) {
    hash = (hash ^ (hash >> 32)) * 0x9e3779b97f4a7c15ULL;
    return static_cast<size_t>(hash ^ (hash >> 29));
  }
};
struct KeyEqual {
  using is_transparent = void;
  bool operator()(const KeyProbe& probe, const StoredKey& stored) const { return SameKey(probe, stored); }
  bool operator()(const StoredKey& stored, const KeyProbe& probe) const { return SameKey(probe, stored); }
  bool operator()(const StoredKey& a, const StoredKey& b) const;
};

template <typename T>
using KeyMap = absl::flat_hash_map<StoredKey, T, KeyHash, KeyEqual>;

}  // namespace quarry
