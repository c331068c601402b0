// When the next group of writes starts. Callers that have just been answered often come back at once. A short wait for them
// makes one group of what would be two that take turns, each with half of the callers; where they do not come back it is left
// out, and only tried again now and then. Pure: told the time. One user.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace quarry {

class GroupPace {
 public:
  // A group of `members`, which took `took`, has been answered; `waiting` more wait.
  void Answered(size_t members, size_t waiting, absl::Duration took, absl::Time now) {
    answered_ = members;
    wanted_ = members + waiting;
    held_ = false;
    until_ = now + std::min(took / 2, kHoldMax);
    if (skips_left_ == 0) return;
    --skips_left_;
    until_ = absl::InfinitePast();
  }

  // Whether a group of the `waiting` that are there now should wait for more, until() at the latest.
  bool Holds(size_t waiting, absl::Time now) {
    if (waiting >= wanted_ || now >= until_) return false;
    held_ = true;
    return true;
  }
  absl::Time until() const { return until_; }
  // How many make a group that waits no more.
  size_t wanted() const { return wanted_; }

  // A group of `members` starts.
  void Started(size_t members) {
    if (!held_) return;
    const bool most_came_back = members + answered_ / 2 >= wanted_;
    skips_ = most_came_back ? 0 : std::min(2 * skips_ + 1, kSkipsMax);
    skips_left_ = skips_;
  }

 private:
  static constexpr absl::Duration kHoldMax = absl::Milliseconds(2);
  static constexpr uint32_t kSkipsMax = 63;

  size_t answered_ = 0;
  size_t wanted_ = 0;
  absl::Time until_ = absl::InfinitePast();
  bool held_ = false;
  uint32_t skips_ = 0;  // Groups that do not wait after a wait in vain.
  uint32_t skips_left_ = 0;
};

}  // namespace quarry
