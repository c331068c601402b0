// The line that tells how a run goes, and numbers as people read them.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "loadtest/quarry_load/driver.h"

namespace quarry::load {

// "1,234,567"
std::string Grouped(int64_t number);
// "870 us", "1.23 ms", "2.50 s": three significant digits.
std::string ShortTime(double microseconds);
// "3.4 MiB"
std::string ShortBytes(double bytes);

class ProgressLine {
 public:
  // Nothing is printed when options.progress is null. `options` outlives this.
  explicit ProgressLine(const RunOptions& options) : options_(options) {}

  void WarmUp(double seconds_left);
  // `goal` > 0: the number of calls the run ends after.
  void Counting(const TimelineEntry& entry, int64_t in_flight, int64_t calls, int64_t goal);
  void Draining(int64_t in_flight);
  // Removes a line that overwrites itself.
  void Clear();

 private:
  void Print(const std::string& line);

  const RunOptions& options_;
  bool drawn_ = false;
};

}  // namespace quarry::load
