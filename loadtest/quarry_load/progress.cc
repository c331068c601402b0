#include "loadtest/quarry_load/progress.h"

#include <cmath>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace quarry::load {
namespace {

// Three significant digits below 1,000.
std::string Significant(double number) {
  const int decimals = number >= 99.95 ? 0 : number >= 9.995 ? 1 : 2;
  return absl::StrFormat("%.*f", decimals, number);
}

}  // namespace

std::string Grouped(int64_t number) {
  std::string digits = absl::StrCat(number);
  const int first = number < 0 ? 1 : 0;
  for (int at = static_cast<int>(digits.size()) - 3; at > first; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

std::string ShortTime(double microseconds) {
  if (microseconds < 999.5) return Significant(microseconds) + " us";
  if (microseconds < 999'500) return Significant(microseconds / 1e3) + " ms";
  return Significant(microseconds / 1e6) + " s";
}

std::string ShortBytes(double bytes) {
  if (bytes < 1024) return absl::StrFormat("%.0f B", bytes);
  if (bytes < 1024 * 1024) return Significant(bytes / 1024) + " KiB";
  if (bytes < 1024.0 * 1024 * 1024) return Significant(bytes / (1024 * 1024)) + " MiB";
  return Significant(bytes / (1024.0 * 1024 * 1024)) + " GiB";
}

void ProgressLine::Print(const std::string& line) {
  if (options_.progress == nullptr) return;
  if (options_.terminal) {
    *options_.progress << "\r\x1b[2K" << line << std::flush;
    drawn_ = true;
  } else {
    *options_.progress << line << std::endl;
  }
}

void ProgressLine::WarmUp(double seconds_left) {
  Print(absl::StrFormat("warming up, %.0f s left", std::ceil(seconds_left)));
}

void ProgressLine::Counting(const TimelineEntry& entry, int64_t in_flight, int64_t calls,
                            int64_t goal) {
  std::string line = absl::StrFormat("%4.0f s", entry.second);
  if (goal > 0) {
    absl::StrAppendFormat(&line, "  %3.0f %%",
                          100.0 * static_cast<double>(calls) / static_cast<double>(goal));
  }
  const double rate = static_cast<double>(entry.calls) / entry.seconds;
  absl::StrAppend(&line, "  ", Grouped(std::llround(rate)), "/s  p50 ", ShortTime(entry.p50_us),
                  "  p99 ", ShortTime(entry.p99_us), "  errors ", Grouped(entry.errors),
                  "  in flight ", Grouped(in_flight));
  Print(line);
}

void ProgressLine::Draining(int64_t in_flight) {
  Print(absl::StrCat("waiting for ", Grouped(in_flight), " calls in flight"));
}

void ProgressLine::Clear() {
  if (drawn_) *options_.progress << "\r\x1b[2K" << std::flush;
  drawn_ = false;
}

}  // namespace quarry::load
