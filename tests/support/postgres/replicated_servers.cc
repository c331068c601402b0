#include "tests/support/postgres/replicated_servers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace quarry {
namespace {

constexpr absl::Duration kAllStartMax = absl::Minutes(5);

// Runs the script, which is told to stop when this process ends.
pid_t Spawn(int pairs, const std::string& json, const std::string& log) {
  const std::string count = std::to_string(pairs);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(126);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  close_range(3, ~0U, 0);
  execlp("python3", "python3", QUARRY_REPLICATED_SCRIPT, "--pairs", count.c_str(), "--synchronous", "--json", json.c_str(),
         nullptr);
  _exit(127);
}

std::string TextOf(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReplicatedServers>> ReplicatedServers::Start(int pairs) {
  std::unique_ptr<ReplicatedServers> servers(new ReplicatedServers);
  const std::string json = servers->folder_.path() + "/servers.json";
  const std::string log = servers->folder_.path() + "/log";
  servers->script_ = Spawn(pairs, json, log);
  const absl::Time last = absl::Now() + kAllStartMax;
  while (!std::filesystem::exists(json)) {  // Written whole, under another name, then renamed.
    if (waitpid(servers->script_, nullptr, WNOHANG) == servers->script_) {
      servers->script_ = 0;
      return absl::UnavailableError(absl::StrCat("replicated.py ended at its start: ", TextOf(log)));
    }
    if (absl::Now() > last) {
      return absl::DeadlineExceededError(absl::StrCat("replicated.py is not ready: ", TextOf(log)));
    }
    absl::SleepFor(absl::Milliseconds(20));  // A poll of another process.
  }
  const nlohmann::json told = nlohmann::json::parse(TextOf(json));
  for (const nlohmann::json& pair : told["pairs"]) {
    servers->primaries_.push_back(PostgresCluster::At(pair["primary"]["port"].get<int>()));
    servers->standbys_.push_back(PostgresCluster::At(pair["standby"]["port"].get<int>()));
  }
  return servers;
}

ReplicatedServers::~ReplicatedServers() {
  if (script_ == 0) return;
  kill(script_, SIGTERM);
  waitpid(script_, nullptr, 0);
}

}  // namespace quarry
