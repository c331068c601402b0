#include "server/observe/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>

#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"
#include "server/observe/metric_family.h"

namespace quarry {
namespace {

// Of /proc/self/stat.
struct ProcessStat {
  uint64_t cpu_ticks = 0;  // Of all threads, in the program and in the kernel.
  uint64_t threads = 0;
  uint64_t start_ticks = 0;  // Since the machine's start.
  uint64_t virtual_bytes = 0;
  uint64_t resident_pages = 0;
};

// Field n of proc(5) is element n - 3: the first two end with the name, which may hold anything.
std::optional<ProcessStat> ReadStat() {
  std::ifstream file("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream rest(text.substr(name_end + 1));
  const std::vector<std::string> fields{std::istream_iterator<std::string>(rest), std::istream_iterator<std::string>()};
  if (fields.size() < 22) return std::nullopt;
  const auto field = [&fields](size_t number) -> uint64_t { return std::stoull(fields[number - 3]); };
  return ProcessStat{field(14) + field(15), field(20), field(22), field(23), field(24)};
}

// Seconds since the epoch.
std::optional<double> MachineStart() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("btime ", 0) == 0) return std::stod(line.substr(6));
  }
  return std::nullopt;
}

std::optional<double> OpenFiles() {
  std::error_code failed;
  const std::filesystem::directory_iterator files("/proc/self/fd", failed);
  if (failed) return std::nullopt;
  return static_cast<double>(std::distance(begin(files), end(files)) - 1);  // One is that of the listing.
}

void Add(std::vector<prometheus::MetricFamily>& families, const char* name, const char* help,
         prometheus::MetricType type, double value) {
  prometheus::MetricFamily family = MakeFamily(name, help, type);
  family.metric.emplace_back();
  (type == prometheus::MetricType::Counter ? family.metric[0].counter.value : family.metric[0].gauge.value) = value;
  families.push_back(std::move(family));
}

void AddStat(const ProcessStat& stat, std::vector<prometheus::MetricFamily>& families) {
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  constexpr auto kGauge = prometheus::MetricType::Gauge;
  Add(families, "process_cpu_seconds_total", "Processor time used, in seconds.", prometheus::MetricType::Counter,
      static_cast<double>(stat.cpu_ticks) / ticks);
  Add(families, "process_threads", "Threads of the process.", kGauge, static_cast<double>(stat.threads));
  Add(families, "process_virtual_memory_bytes", "Virtual memory, in bytes.", kGauge,
      static_cast<double>(stat.virtual_bytes));
  Add(families, "process_resident_memory_bytes", "Resident memory, in bytes.", kGauge,
      static_cast<double>(stat.resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  // Asked once: it moves when the clock is set, and a start that moves looks like a restart.
  static const std::optional<double> kMachineStart = MachineStart();
  if (kMachineStart.has_value()) {
    Add(families, "process_start_time_seconds", "When the process started, in seconds since the epoch.", kGauge,
        *kMachineStart + static_cast<double>(stat.start_ticks) / ticks);
  }
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  if (const std::optional<ProcessStat> stat = ReadStat(); stat.has_value()) AddStat(*stat, families);
  constexpr auto kGauge = prometheus::MetricType::Gauge;
  if (const std::optional<double> open = OpenFiles(); open.has_value()) {
    Add(families, "process_open_fds", "Open files and connections.", kGauge, *open);
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    Add(families, "process_max_fds", "Most files and connections that may be open.", kGauge,
        static_cast<double>(limit.rlim_cur));
  }
  return families;
}

}  // namespace quarry
