// The circuit breaker of one shard as one loop sees it: events in, decisions out; no clock, no I/O. One thread.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace quarry {

struct BreakerOptions {
  // So many faults in a row, without one healthy answer between them, open the breaker.
  int faults_max = 5;
  // An open breaker lets one call through per interval.
  absl::Duration probe_interval = absl::Seconds(1);
  // A deadline that ended sooner than this after the call began says more about the caller than about the
  // shard.
  absl::Duration timeout_min = absl::Milliseconds(250);
};

// What the end of a call says about the shard.
enum class Evidence : uint8_t {
  kHealthy,  // It answered, be it with an error: a wrong query proves health.
  kFault,    // It could not be reached, or did not answer in time.
  kNothing,  // The call was cancelled, or failed before it reached the shard.
};

// `took` is how long the call had been running.
Evidence EvidenceOf(const absl::Status& status, absl::Duration took, absl::Duration timeout_min);

class Breaker {
 public:
  // Names the period in which a call was admitted: a call that began before the breaker last changed cannot
  // count as a fault against what came after.
  using Ticket = uint64_t;

  explicit Breaker(BreakerOptions options) : options_(options) {}

  // True when a call may go to the shard. An open breaker admits one probe per interval, counted from the
  // admission: a probe that never reports leaves the next one its turn.
  bool Admit(absl::Time now);
  Ticket ticket() const { return period_; }
  // Once per admitted call at its end; a call that was dropped need not report.
  void Record(Ticket ticket, const absl::Status& status, absl::Duration took, absl::Time now);

  bool open() const { return open_; }
  // When an open breaker admits the next probe.
  absl::Time next_probe() const { return next_probe_; }
  // The fault counted last; OK when none is known since the last healthy answer.
  const absl::Status& last_fault() const { return last_fault_; }

 private:
  const BreakerOptions options_;
  bool open_ = false;
  int faults_ = 0;
  Ticket period_ = 0;
  absl::Time next_probe_ = absl::InfinitePast();
  absl::Status last_fault_;
};

}  // namespace quarry
