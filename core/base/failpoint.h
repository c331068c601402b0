// Named points where a test makes the process die, stop, wait or fail. Compiled in; off, and then one relaxed load each.
// Any thread. Armed by the environment when the process starts (ArmFailpointsFromEnvironment):
//   QUARRY_FAILPOINTS="commit.prepared=kill:3;recovery.found=sleep:200ms"
// Failpoints are separated by ';', each `name=action`:
//   kill         SIGKILL to this process at the first hit; kill:N at the Nth
//   stop         SIGSTOP to this process at the first hit; stop:N at the Nth; SIGCONT lets it go on
//   error        kUnavailable at every hit; error:N at the Nth alone
//   sleep:200ms  the thread waits, at every hit: also what else its loop does; sleep:200ms:N at the Nth alone
// A name is lower case letters, digits, '_' and '.'.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace quarry {

struct Failpoint {
  enum class Action : uint8_t { kKill, kStop, kError, kSleep };
  std::string name;
  Action action{};
  absl::Duration pause = absl::ZeroDuration();  // kSleep.
  int64_t at_hit = 0;                           // 0: every hit.
};

// kInvalidArgument names the part that is not understood and the forms that are.
absl::StatusOr<std::vector<Failpoint>> ParseFailpoints(std::string_view text);
// In place of those that are armed, hits counted anew; "" disarms. Nothing changes on an error.
absl::Status ArmFailpoints(std::string_view text);
// From QUARRY_FAILPOINTS; nothing when it is not set.
absl::Status ArmFailpointsFromEnvironment();
// Hits of an armed failpoint since it was armed; 0 of others.
int64_t FailpointHits(std::string_view name);

namespace failpoint_internal {
extern std::atomic<bool> armed;
absl::Status Hit(std::string_view name);
}  // namespace failpoint_internal

inline absl::Status HitFailpoint(std::string_view name) {
  if (!failpoint_internal::armed.load(std::memory_order_relaxed)) return absl::OkStatus();
  return failpoint_internal::Hit(name);
}

}  // namespace quarry

// An absl::Status: OK unless the failpoint `name` is armed with an error. Dying, stopping and waiting happen inside.
#define QUARRY_FAILPOINT(name) ::quarry::HitFailpoint(name)
