// Tells a test when a handler is gone, also when its call was cut.
#pragma once

#include <atomic>

namespace quarry {

// Counts when it is destroyed: put first into the frame of a handler.
struct OnDrop {
  std::atomic<int>& count;
  ~OnDrop() { count.fetch_add(1); }
};

}  // namespace quarry
