#include "loadtest/quarry_load/driver.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "loadtest/quarry_load/clock.h"
#include "loadtest/quarry_load/connect.h"
#include "loadtest/quarry_load/progress.h"
#include "loadtest/quarry_load/worker.h"

namespace quarry::load {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kLook = 10'000'000;          // How often the run is looked at.
constexpr int64_t kEntryLeast = kSecond / 20;  // A shorter last entry is added to the one before.

double Seconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; }
double Microseconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-3; }

void SleepUntil(int64_t ns) {
  std::this_thread::sleep_until(
      std::chrono::steady_clock::time_point(std::chrono::nanoseconds(ns)));
}

class Run {
 public:
  Run(const Scenario& scenario, const RunOptions& options, const volatile int& interrupted)
      : scenario_(scenario),
        options_(options),
        interrupted_(interrupted),
        server_(options.server_pids),
        line_(options) {}

  absl::Status Prepare();
  RunResult Go();

 private:
  void StartWorkers();
  void WarmUp();
  void BeginCounting();
  void Count();
  void Tick(int64_t now);
  void Interrupt(int64_t now);
  void DrainOrAbort(int64_t now);
  RunResult Collect();
  bool AllDone() const;
  int64_t InFlight() const;

  const Scenario& scenario_;
  const RunOptions& options_;
  const volatile int& interrupted_;
  ProcessSampler server_;
  ProgressLine line_;
  std::vector<Channels> channels_;
  KeysByShard commit_keys_;
  std::vector<std::unique_ptr<Worker>> workers_;
  int64_t counted_from_ = 0;
  int64_t end_ = kNever;        // Nothing is meant to be sent from here on.
  int64_t drain_end_ = kNever;  // Calls in flight are cancelled.
  int64_t last_tick_ = 0;
  int64_t calls_ = 0;
  bool aborted_ = false;
  ProcessUsage server_first_;
  ProcessUsage server_last_;
  double own_first_ = 0;
  RunResult result_;
};

absl::Status Run::Prepare() {
  const absl::Status processes = server_.Check();
  if (!processes.ok()) return processes;
  absl::StatusOr<std::vector<Channels>> channels = Connect(scenario_, options_.address);
  if (!channels.ok()) return channels.status();
  channels_ = *std::move(channels);
  if (scenario_.needs_shards_of_keys()) {
    absl::StatusOr<KeysByShard> keys = GroupKeysByShard(scenario_, channels_.front().front());
    if (!keys.ok()) return keys.status();
    commit_keys_ = *std::move(keys);
  }
  for (size_t i = 0; i < channels_.size(); ++i) {
    workers_.push_back(
        std::make_unique<Worker>(scenario_, static_cast<int>(i), channels_[i], commit_keys_));
  }
  return absl::OkStatus();
}

void Run::StartWorkers() {
  RunWindow window;
  window.start_ns = NowNanoseconds();
  window.counted_from_ns = window.start_ns + absl::ToInt64Nanoseconds(scenario_.warmup);
  if (scenario_.calls == 0)
    window.end_ns = window.counted_from_ns + absl::ToInt64Nanoseconds(scenario_.duration);
  counted_from_ = window.counted_from_ns;
  end_ = window.end_ns;
  if (end_ != kNever) drain_end_ = end_ + absl::ToInt64Nanoseconds(scenario_.drain_timeout);
  const int64_t threads = scenario_.threads;
  for (int64_t i = 0; i < threads; ++i) {
    window.calls = scenario_.calls / threads + (i < scenario_.calls % threads ? 1 : 0);
    workers_[static_cast<size_t>(i)]->Start(window);
  }
}

bool Run::AllDone() const {
  return std::all_of(workers_.begin(), workers_.end(),
                     [](const auto& worker) { return worker->done(); });
}

int64_t Run::InFlight() const {
  int64_t calls = 0;
  for (const auto& worker : workers_) calls += worker->in_flight();
  return calls;
}

void Run::WarmUp() {
  int64_t next_line = 0;
  while (interrupted_ == 0) {
    const int64_t now = NowNanoseconds();
    if (now >= counted_from_) return;
    if (now >= next_line) {
      line_.WarmUp(Seconds(counted_from_ - now));
      next_line = now + kSecond;
    }
    SleepUntil(std::min(counted_from_, now + kLook));
  }
}

void Run::BeginCounting() {
  server_first_ = server_.Sample().value_or(ProcessUsage());
  server_last_ = server_first_;
  result_.server_rss_bytes_max = server_first_.rss_bytes;
  own_first_ = OwnCpuSeconds();
  last_tick_ = counted_from_;
}

// In a closed loop nothing is counted after the end; in an open one, calls that were due before it
// are.
void Run::Count() {
  const bool counts_late_calls = scenario_.open_loop() || scenario_.calls > 0;
  while (!AllDone()) {
    const int64_t now = NowNanoseconds();
    if (interrupted_ != 0 && !result_.interrupted) Interrupt(now);
    if (!counts_late_calls && now >= end_) break;
    if (now >= last_tick_ + kSecond) Tick(last_tick_ + kSecond);
    DrainOrAbort(now);
    SleepUntil(std::min({last_tick_ + kSecond, counts_late_calls ? kNever : end_, now + kLook}));
  }
  const int64_t now = counts_late_calls ? NowNanoseconds() : std::min(end_, NowNanoseconds());
  if (now > last_tick_) Tick(now);
  result_.sampled_seconds = Seconds(last_tick_ - counted_from_);
  result_.client_cpu_seconds = OwnCpuSeconds() - own_first_;
}

void Run::Tick(int64_t now) {
  Interval interval;
  for (const auto& worker : workers_) worker->recorder().TakeInterval(interval);
  calls_ += interval.calls;
  const std::optional<ProcessUsage> server = server_.Sample();
  const int64_t length = now - last_tick_;
  if (length < kEntryLeast && !result_.timeline.empty()) {
    result_.timeline.back().calls += interval.calls;
    result_.timeline.back().errors += interval.errors;
    result_.timeline.back().seconds += Seconds(length);
  } else {
    TimelineEntry entry = {.second = Seconds(now - counted_from_),
                           .seconds = Seconds(length),
                           .calls = interval.calls,
                           .errors = interval.errors,
                           .p50_us = Microseconds(interval.latency.Quantile(0.5)),
                           .p99_us = Microseconds(interval.latency.Quantile(0.99))};
    if (server.has_value()) {
      entry.server_cpu_cores = (server->cpu_seconds - server_last_.cpu_seconds) / entry.seconds;
      entry.server_rss_bytes = server->rss_bytes;
    }
    result_.timeline.push_back(entry);
    line_.Counting(entry, InFlight(), calls_, scenario_.calls);
  }
  if (server.has_value()) {
    server_last_ = *server;
    result_.server_rss_bytes_max = std::max(result_.server_rss_bytes_max, server->rss_bytes);
  }
  last_tick_ = now;
}

void Run::Interrupt(int64_t now) {
  result_.interrupted = true;
  for (const auto& worker : workers_) worker->Stop();
  end_ = std::min(end_, now);
  drain_end_ =
      now + std::min<int64_t>(absl::ToInt64Nanoseconds(scenario_.drain_timeout), 5 * kSecond);
}

void Run::DrainOrAbort(int64_t now) {
  if (now < drain_end_ || aborted_) return;
  aborted_ = true;
  result_.cancelled = InFlight();
  for (const auto& worker : workers_) worker->Abort();
}

RunResult Run::Go() {
  StartWorkers();
  WarmUp();
  BeginCounting();
  Count();
  int64_t next_line = NowNanoseconds() + kSecond;
  while (!AllDone()) {
    const int64_t now = NowNanoseconds();
    if (interrupted_ != 0 && !result_.interrupted) Interrupt(now);
    DrainOrAbort(now);
    if (now >= next_line) {
      line_.Draining(InFlight());
      next_line = now + kSecond;
    }
    SleepUntil(now + kLook / 10);
  }
  line_.Clear();
  return Collect();
}

RunResult Run::Collect() {
  for (const auto& worker : workers_) {
    worker->recorder().AddTotals(result_.totals);
    const WorkerReport& report = worker->report();
    result_.waited += report.waited;
    result_.send_lag.Merge(report.send_lag);
    if (report.seconds > 0) {
      result_.busiest_thread =
          std::max(result_.busiest_thread, report.cpu_seconds / report.seconds);
    }
  }
  const int64_t last = result_.totals.last_ended_ns;
  int64_t ended = end_;
  if (scenario_.calls > 0 && !result_.interrupted) ended = last;
  if (scenario_.open_loop()) ended = std::max(ended == kNever ? last : ended, last);
  result_.seconds = std::max(0.0, Seconds(ended - counted_from_));
  if (!options_.server_pids.empty()) {
    result_.server_cpu_seconds = server_last_.cpu_seconds - server_first_.cpu_seconds;
  }
  workers_.clear();
  return std::move(result_);
}

}  // namespace

absl::StatusOr<RunResult> RunScenario(const Scenario& scenario, const RunOptions& options,
                                      const volatile int& interrupted) {
  Run run(scenario, options, interrupted);
  const absl::Status prepared = run.Prepare();
  if (!prepared.ok()) return prepared;
  return run.Go();
}

}  // namespace quarry::load
