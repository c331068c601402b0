// One run from the first connection to the last reply: threads, warm-up, progress, samples, the
// end.
#pragma once

#include <sys/types.h>

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "loadtest/quarry_load/process_sampler.h"
#include "loadtest/quarry_load/recorder.h"
#include "loadtest/quarry_load/scenario.h"

namespace quarry::load {

struct RunOptions {
  std::string address;
  std::vector<pid_t> server_pids;
  std::ostream* progress = nullptr;  // A line a second; nullptr: none.
  bool terminal = false;             // Progress overwrites itself.
};

struct TimelineEntry {
  double second = 0;   // From the first counted moment to the entry's end.
  double seconds = 0;  // How long the entry is: 1, but for the last one.
  int64_t calls = 0;
  int64_t errors = 0;
  double p50_us = 0;
  double p99_us = 0;
  std::optional<double> server_cpu_cores = std::nullopt;
  std::optional<int64_t> server_rss_bytes = std::nullopt;
};

struct RunResult {
  Totals totals;
  double seconds =
      0;  // From the first counted moment to the last: the duration, or when the last call ended.
  std::vector<TimelineEntry> timeline;
  std::optional<double> server_cpu_seconds;
  int64_t server_rss_bytes_max = 0;
  double sampled_seconds = 0;  // What the CPU times are over.
  double client_cpu_seconds = 0;
  double busiest_thread = 0;  // Share of a core that the busiest sending thread took.
  int64_t waited = 0;
  Histogram send_lag;
  int64_t cancelled = 0;  // In flight when the time to drain was over.
  bool interrupted = false;
};

// Runs the scenario, whose seed is not 0, until its end or until `*interrupted` is not 0.
// kUnavailable when nothing answers at the address, kNotFound for a server process that is not
// there.
absl::StatusOr<RunResult> RunScenario(const Scenario& scenario, const RunOptions& options,
                                      const volatile int& interrupted);

}  // namespace quarry::load
