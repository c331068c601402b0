// Identifiers that need no coordination, and UUID text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "core/base/random.h"

namespace quarry {

// Canonical lower-case 8-4-4-4-12 form of any of the forms that PostgreSQL reads; nullopt when it is none.
std::optional<std::string> CanonicalUuid(std::string_view text);

// Time-ordered ids of one loop. One thread.
class IdGenerator {
 public:
  // `node` tells generators apart: 10 bits of it are used, so give each loop of each gateway its own where
  // ids must not collide; random when the deployment does not say. `random` outlives this.
  IdGenerator(uint32_t node, Random& random) : node_(node & 0x3ff), random_(random) {}

  // UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, a 12-bit counter within the millisecond, 62 random
  // bits. Strictly increasing within one generator, also when the clock steps back.
  std::string UuidV7(absl::Time now);
  // 63 bits, positive: 41 bits of milliseconds since 2024-01-01 (until 2093), 10 of node, 12 of sequence.
  // Strictly increasing within one generator; runs ahead of the clock when over 4,096 are asked in one ms.
  int64_t Int64(absl::Time now);

 private:
  uint32_t node_;
  Random& random_;
  uint64_t uuid_ticks_ = 0;   // Milliseconds << 12 | counter of the last UUID.
  uint64_t int64_ticks_ = 0;  // The same of the last 64-bit id.
};

}  // namespace quarry
