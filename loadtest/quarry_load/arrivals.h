// When the calls of an open loop are meant to be sent, and which of them may go now. One thread;
// knows no clock: times are nanoseconds of any steady clock.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/random.h"
#include "loadtest/quarry_load/scenario.h"

namespace quarry::load {

struct ArrivalOptions {
  Arrivals arrivals = Arrivals::kFixed;
  double rate = 1;       // Calls a second.
  int64_t start_ns = 0;  // When the first call of a fixed schedule is meant to go.
  int64_t end_ns = 0;    // No call is meant for this moment or a later one.
  int64_t in_flight_max = 1;
};

// The schedule never skips: a call that cannot go when it is meant to, for its predecessors are
// still in flight, goes later, and its latency counts from when it was meant to go. That corrects
// for coordinated omission (Gil Tene, "How NOT to Measure Latency").
class ArrivalQueue {
 public:
  // `random` outlives this.
  ArrivalQueue(const ArrivalOptions& options, Random& random);

  // When the next call is meant to go; nullopt when the schedule has ended.
  std::optional<int64_t> next_ns() const;
  // The intended time of the next call when it is due and may go; it is then in flight.
  std::optional<int64_t> Take(int64_t now_ns);
  // A call in flight has ended.
  void Finished() { --in_flight_; }
  // No call is meant for `ns` or later.
  void EndAt(int64_t ns);

  int64_t in_flight() const { return in_flight_; }
  // Calls that went late since as many as allowed were in flight.
  int64_t waited() const { return waited_; }
  // Calls that were meant for a time from `from_ns` on, before `now_ns` and before the end, and
  // have not gone. Uses the schedule up.
  int64_t CountUnsent(int64_t from_ns, int64_t now_ns);

 private:
  void Advance();

  ArrivalOptions options_;
  Random& random_;
  double next_;  // Nanoseconds after start_ns, so that a fraction is never lost.
  int64_t sent_ = 0;
  int64_t in_flight_ = 0;
  int64_t waited_ = 0;
  bool blocked_ = false;  // The next call was due and had to wait.
};

}  // namespace quarry::load
