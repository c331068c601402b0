#include "loadtest/quarry_load/process_sampler.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace quarry::load {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::string> Words(std::string_view text) {
  return absl::StrSplit(absl::string_view(text.data(), text.size()), absl::ByAnyChar(" \n"),
                        absl::SkipEmpty());
}

// The value of the first line "name : value".
std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "";
}

}  // namespace

std::optional<ProcessUsage> ParseProcess(std::string_view stat, std::string_view statm) {
  // The name of the program is in parentheses and may hold anything, parentheses too.
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  const std::vector<std::string> fields = Words(stat.substr(name_end + 1));
  const std::vector<std::string> pages = Words(statm);
  // proc(5): state is field 3 and first here, utime 14, stime 15; resident is the second of statm.
  int64_t user = 0;
  int64_t system = 0;
  int64_t resident = 0;
  if (fields.size() < 13 || pages.size() < 2 || !absl::SimpleAtoi(fields[11], &user) ||
      !absl::SimpleAtoi(fields[12], &system) || !absl::SimpleAtoi(pages[1], &resident)) {
    return std::nullopt;
  }
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  return ProcessUsage{.cpu_seconds = static_cast<double>(user + system) / ticks,
                      .rss_bytes = resident * sysconf(_SC_PAGESIZE)};
}

std::optional<ProcessUsage> UsageOf(pid_t pid) {
  const std::string folder = absl::StrCat("/proc/", pid);
  return ParseProcess(ReadFile(folder + "/stat"), ReadFile(folder + "/statm"));
}

ProcessSampler::ProcessSampler(const std::vector<pid_t>& pids) : pids_(pids), last_(pids.size()) {}

absl::Status ProcessSampler::Check() const {
  for (const pid_t pid : pids_) {
    if (!UsageOf(pid).has_value()) {
      return absl::NotFoundError(absl::StrCat("there is no process ", pid, " on this machine"));
    }
  }
  return absl::OkStatus();
}

std::optional<ProcessUsage> ProcessSampler::Sample() {
  if (pids_.empty()) return std::nullopt;
  ProcessUsage sum;
  for (size_t i = 0; i < pids_.size(); ++i) {
    last_[i] = UsageOf(pids_[i]).value_or(last_[i]);
    sum.cpu_seconds += last_[i].cpu_seconds;
    sum.rss_bytes += last_[i].rss_bytes;
  }
  return sum;
}

double OwnCpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

nlohmann::json DescribeMachine() {
  utsname system = {};
  uname(&system);
  struct sysinfo memory = {};
  sysinfo(&memory);
  return {{"cores", std::thread::hardware_concurrency()},
          {"cpu", CpuModel()},
          {"architecture", system.machine},
          {"kernel", absl::StrCat(system.sysname, " ", system.release)},
          {"memory_bytes", static_cast<uint64_t>(memory.totalram) * memory.mem_unit}};
}

}  // namespace quarry::load
