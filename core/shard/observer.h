// What one shard tells about its calls; server/observe turns it into metrics.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace quarry {

enum class CallKind : uint8_t {
  kRead,
  kWrite,
  kLease,
  kPing,
  kSessionStep,
  kStream,
  kControl,
  kPrepare,
  kCommit,
  kRollback,
};

// "read", "session_step", …: stable, for labels.
const char* CallKindName(CallKind kind);

// One per shard and loop, or thread-safe. Called on the loop's thread; must not block or call back.
class ShardObserver {
 public:
  virtual ~ShardObserver() = default;
  // A call has ended; kCancelled when it was dropped.
  virtual void OnCall(CallKind kind, absl::StatusCode code, absl::Duration took) = 0;
  virtual void OnRetry() = 0;
  // A call was refused by the limiter.
  virtual void OnShed() = 0;
  virtual void OnBreaker(bool open) = 0;
  // +1 when a session is handed out, -1 when its user lets it go.
  virtual void OnSessions(int change) = 0;
};

// Says nothing to nobody.
class NoShardObserver final : public ShardObserver {
 public:
  void OnCall(CallKind, absl::StatusCode, absl::Duration) override {}
  void OnRetry() override {}
  void OnShed() override {}
  void OnBreaker(bool) override {}
  void OnSessions(int) override {}
};

}  // namespace quarry
