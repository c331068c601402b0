#include "client/quarryctl/progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace quarry::ctl {

std::string Grouped(int64_t number) {
  std::string digits = absl::StrCat(number);
  for (int at = static_cast<int>(digits.size()) - 3; at > (number < 0 ? 1 : 0); at -= 3)
    digits.insert(at, ",");
  return digits;
}

std::string Clockwise(absl::Duration time) {
  const int64_t seconds = absl::ToInt64Seconds(time);
  if (seconds >= 3600)
    return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
  return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
}

std::string RenderProgress(const ProgressCounts& counts, int bar_width) {
  std::string text;
  const double seconds = absl::ToDoubleSeconds(counts.elapsed);
  const bool known = counts.bytes_total > 0;
  const double part =
      known ? std::min(1.0, static_cast<double>(counts.bytes) / counts.bytes_total) : 0;
  if (known && bar_width > 0) {
    const int filled = static_cast<int>(part * bar_width);
    std::string bar(filled, '=');
    if (filled < bar_width) bar += ">" + std::string(bar_width - filled - 1, ' ');
    absl::StrAppend(&text, "[", bar, "] ");
  }
  if (known) absl::StrAppendFormat(&text, "%3d%%  ", static_cast<int>(part * 100));
  absl::StrAppend(&text, Grouped(counts.rows), " rows");
  if (seconds > 0)
    absl::StrAppend(&text, "  ", Grouped(static_cast<int64_t>(counts.rows / seconds)), " rows/s");
  if (counts.rejected > 0) absl::StrAppend(&text, "  ", Grouped(counts.rejected), " rejected");
  if (part > 0 && seconds >= 1) {
    absl::StrAppend(&text, "  ETA ", Clockwise(absl::Seconds(seconds * (1 - part) / part)));
  }
  return text;
}

void ProgressPrinter::Update(const ProgressCounts& counts) {
  const absl::Duration interval = terminal_ ? absl::Milliseconds(200) : absl::Seconds(5);
  if (counts.elapsed - last_ < interval) return;
  last_ = counts.elapsed;
  if (terminal_) {
    out_ << "\r\x1b[2K" << RenderProgress(counts, 24) << std::flush;
    drawn_ = true;
  } else {
    out_ << RenderProgress(counts, 0) << std::endl;
  }
}

void ProgressPrinter::Clear() {
  if (drawn_) out_ << "\r\x1b[2K" << std::flush;
  drawn_ = false;
}

}  // namespace quarry::ctl
