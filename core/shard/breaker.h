// The circuit breaker of one shard as one loop sees it: events in, decisions out; no clock, no I/O. One thread.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace quarry {

struct BreakerOptions {
  // So many faults in a row, without one healthy answer between them, open the breaker.
  int faults_max = 5;
  // An open breaker lets one call through, the probe, so long after the one before began, or failed.
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
  // One admitted call. A period ends when the breaker opens, admits a probe, or closes: a call that began in an earlier one
  // cannot count as a fault against what came after.
  struct Ticket {
    uint64_t period = 0;
    bool probe = false;
  };

  explicit Breaker(BreakerOptions options) : options_(options) {}

  // Nullopt when a call may not go to the shard. An open breaker admits one probe per interval, counted from the admission,
  // for a probe that never reports leaves the next one its turn; one that fails begins the interval again, lest a caller who
  // asks again and again and waits for longer than the interval is each time the probe.
  std::optional<Ticket> Admit(absl::Time now);
  // Of a call that goes whether the breaker is open or not.
  Ticket ticket() const { return {.period = period_}; }
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
  uint64_t period_ = 0;
  absl::Time next_probe_ = absl::InfinitePast();
  absl::Status last_fault_;
};

}  // namespace quarry
