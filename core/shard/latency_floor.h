// The fastest recent answer of a shard: a call with less time left than that cannot succeed. One thread.
#pragma once

#include <algorithm>

#include "absl/time/time.h"

namespace quarry {

// The minimum over the present and the previous window. What is not renewed expires, so that a shard which
// was slow, and is asked nothing because of it, is asked again.
class LatencyFloor {
 public:
  explicit LatencyFloor(absl::Duration window) : window_(window) {}

  void Add(absl::Duration took, absl::Time now) {
    Turn(now);
    present_ = std::min(present_, took);
  }
  // ZeroDuration when nothing is known.
  absl::Duration Get(absl::Time now) {
    Turn(now);
    const absl::Duration fastest = std::min(present_, previous_);
    return fastest == absl::InfiniteDuration() ? absl::ZeroDuration() : fastest;
  }

 private:
  void Turn(absl::Time now) {
    if (now < window_end_) return;
    previous_ = now < window_end_ + window_ ? present_ : absl::InfiniteDuration();
    present_ = absl::InfiniteDuration();
    window_end_ = now + window_;
  }

  const absl::Duration window_;
  absl::Time window_end_ = absl::InfinitePast();
  absl::Duration present_ = absl::InfiniteDuration();
  absl::Duration previous_ = absl::InfiniteDuration();
};

}  // namespace quarry
