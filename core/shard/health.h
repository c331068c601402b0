// Whether one shard answers, as one loop sees it: asked now and then, so that it is known also without traffic.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/loop.h"
#include "core/base/random.h"
#include "core/shard/breaker.h"

namespace quarry {

enum class ShardState : uint8_t {
  kUnknown,  // Not asked yet.
  kUp,
  kDown,  // The last ping failed, the breaker is closed.
  kOpen,  // The breaker is open.
};

// "UP", "DOWN", …
const char* ShardStateName(ShardState state);

struct ShardHealthOptions {
  // Between two pings, plus or minus a fifth at random.
  absl::Duration ping_interval = absl::Seconds(2);
  absl::Duration ping_timeout = absl::Seconds(1);
};

struct ShardHealthReport {
  ShardState state = ShardState::kUnknown;
  absl::Status last_error;  // OK while the shard is up.
  absl::Time last_ok = absl::InfinitePast();
  absl::Duration ping_took;  // Of the last ping that was answered.
};

// Pings through the breaker, which lets them pass also while it is open: a shard that is back is found without a
// caller having to try.
class ShardHealth {
 public:
  // All outlive this. `backend` is behind `breaker`.
  ShardHealth(Backend& backend, const Breaker& breaker, ShardHealthOptions options, Loop& loop, Random& random);
  ShardHealth(const ShardHealth&) = delete;
  ShardHealth& operator=(const ShardHealth&) = delete;

  ShardHealthReport report() const;

 private:
  Async<void> PingForever();
  Async<void> PingOnce();

  Backend& backend_;
  const Breaker& breaker_;
  const ShardHealthOptions options_;
  Loop& loop_;
  Random& random_;
  ShardHealthReport last_;
  Running prober_;  // Last: it uses all of the above, from construction on.
};

}  // namespace quarry
