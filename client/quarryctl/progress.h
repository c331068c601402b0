// How far an import is: a bar that redraws itself on a terminal, plain lines elsewhere.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/time/time.h"

namespace quarry::ctl {

struct ProgressCounts {
  int64_t rows = 0;  // Done: written, replayed or skipped.
  int64_t rejected = 0;
  int64_t bytes = 0;        // Of the file.
  int64_t bytes_total = 0;  // 0 when it is not known.
  absl::Duration elapsed;
};

// "[=====>    ]  52%  12,345 rows  4,567 rows/s  ETA 0:08"; without a bar when `bar_width` is 0.
std::string RenderProgress(const ProgressCounts& counts, int bar_width);
// "12,345"
std::string Grouped(int64_t number);
// "1:02:03", "0:08"
std::string Clockwise(absl::Duration time);

// One thread, or under the owner's lock.
class ProgressPrinter {
 public:
  // `out` outlives this.
  ProgressPrinter(std::ostream& out, bool terminal) : out_(out), terminal_(terminal) {}

  // Draws at most five times a second on a terminal, once in five seconds elsewhere.
  void Update(const ProgressCounts& counts);
  // Takes the bar off the terminal, so that something else can be printed.
  void Clear();

 private:
  std::ostream& out_;
  const bool terminal_;
  bool drawn_ = false;
  absl::Duration last_;
};

}  // namespace quarry::ctl
