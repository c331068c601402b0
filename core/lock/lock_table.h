// The rules of one lock: who holds it, who waits, when a lease ends. A pure state machine: an event goes in, the state
// changes, an answer comes out. It has no clock: the time comes with the event, and is that of the database which stores
// the state, so that clocks of gateways and clients decide nothing. Plain data; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace quarry {

// One caller's part in a lock, as its holder or as one who waits.
struct LockLease {
  std::string id;      // Names the caller's claim; unguessable, so that nobody else can release it.
  std::string owner;   // Who that is, for people.
  uint64_t call = 0;   // The latest call that asked for it: an older one that was cut takes nothing back.
  absl::Duration ttl;  // Of the lease, from its grant or its latest renewal.
  // A holder's lease ends then. A waiter's place does, unless its gateway renews it before.
  absl::Time expires;
};

struct LockState {
  int64_t token = 0;  // Of the latest grant; never falls. 0: never granted.
  std::optional<LockLease> holder;
  std::vector<LockLease> waiters;  // First come, first served.
};

struct LockLimits {
  size_t waiters_max = 100;                        // Of one lock.
  absl::Duration place_ttl = absl::Seconds(15);    // How long a place in line outlives its gateway.
};

struct LockEvent {
  enum class Kind : uint8_t {
    kAcquire,    // Asks for the lock, in line if `wait`. Asking again under the same id changes no place.
    kKeepAlive,  // The holder renews its lease.
    kRelease,    // The holder gives the lock back, or a waiter its place.
    kLeave,      // As kRelease, when `call` is still the latest of this id.
    kLook,       // Changes nothing.
  };
  Kind kind = Kind::kLook;
  absl::Time now;       // By the store's clock.
  std::string lease_id;
  std::string owner;    // kAcquire.
  uint64_t call = 0;    // kAcquire, kLeave.
  absl::Duration ttl;   // kAcquire.
  bool wait = false;    // kAcquire.
};

struct LockAnswer {
  enum class Outcome : uint8_t {
    kGranted,    // The lease is the holder's, with `token`, for `remaining`.
    kWaiting,    // In line behind `position` others.
    kHeld,       // Not granted, and not in line: someone else holds it or is before.
    kQueueFull,  // Not in line, for the line is as long as it may be.
    kReleased,   // The lease holds nothing any more.
    kLost,       // The lease does not hold the lock, and not by this event.
    kSeen,       // kLook.
  };
  Outcome outcome = Outcome::kSeen;
  bool renewed = false;      // kGranted to the lease that held it already.
  bool changed = false;      // The state must be stored.
  int64_t token = 0;
  absl::Duration remaining;  // Of the holder's lease, whoever that is; zero when nobody holds it.
  size_t position = 0;       // kWaiting.
};

// The one transition. Leases and places whose time is over are dropped first, whatever the event is. No lease counts for
// longer than its ttl from `now`: a clock that was set back stretches it by no more.
LockAnswer ApplyLockEvent(const LockEvent& event, const LockLimits& limits, LockState& state);

// When nobody has a part in it any more; InfinitePast when nobody has now.
absl::Time BusyUntil(const LockState& state);

// Everything but the token, which is stored beside it. Empty text is the state that nobody has a part in. kDataLoss for
// what EncodeLockState has not made.
std::string EncodeLockState(const LockState& state);
absl::StatusOr<LockState> DecodeLockState(std::string_view bytes, int64_t token);

}  // namespace quarry
