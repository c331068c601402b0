// CPU time and memory of processes of this machine, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace quarry::load {

struct ProcessUsage {
  double cpu_seconds = 0;  // User and system, of all threads.
  int64_t rss_bytes = 0;
};

// The texts of /proc/<pid>/stat and statm. nullopt when they are not of that form.
std::optional<ProcessUsage> ParseProcess(std::string_view stat, std::string_view statm);
// nullopt when there is no such process.
std::optional<ProcessUsage> UsageOf(pid_t pid);

// Some processes as one. A process that has ended keeps its last figures.
class ProcessSampler {
 public:
  explicit ProcessSampler(const std::vector<pid_t>& pids);

  // kNotFound names a process that is not there.
  absl::Status Check() const;
  // nullopt without processes.
  std::optional<ProcessUsage> Sample();

 private:
  std::vector<pid_t> pids_;
  std::vector<ProcessUsage> last_;
};

// CPU time of this process.
double OwnCpuSeconds();

// Cores, CPU model, kernel and memory of this machine.
nlohmann::json DescribeMachine();

}  // namespace quarry::load
