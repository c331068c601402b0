#include "tests/fault/gateway/daemon.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "nlohmann/json.hpp"
#include "tests/integration/gateway/harness.h"

namespace quarry::gateway_test {
namespace {

constexpr uid_t kNobody = 65534;

// In the child: only what is safe between fork and exec. `program` is open already, for nobody may not be allowed to
// look into the folder that holds it.
[[noreturn]] void Become(int program, int output, const DaemonOptions& options, char* const* arguments) {
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  if (options.file_bytes_max > 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{options.file_bytes_max, options.file_bytes_max};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(120);
  }
  if (options.unprivileged && geteuid() == 0) {
    if (setgroups(0, nullptr) != 0 || setgid(kNobody) != 0 || setuid(kNobody) != 0) _exit(121);
  }
  fexecve(program, arguments, environ);
  _exit(122);
}

}  // namespace

std::unique_ptr<Daemon> Daemon::Spawn(const DaemonOptions& options) {
  const char* program = std::getenv("QUARRYD");
  if (program == nullptr) return nullptr;
  auto daemon = std::unique_ptr<Daemon>(new Daemon);
  std::vector<std::string> arguments = {"quarryd", "run", "--config", options.config_file, "--ports-file",
                                        daemon->folder_.path() + "/ports.json"};
  arguments.insert(arguments.end(), options.more_arguments.begin(), options.more_arguments.end());
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const int binary = open(program, O_RDONLY | O_CLOEXEC);
  const int output = open((daemon->folder_.path() + "/output").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
  // It writes its ports there.
  if (options.unprivileged) chmod(daemon->folder_.path().c_str(), 0777);
  daemon->pid_ = fork();
  if (daemon->pid_ == 0) Become(binary, output, options, pointers.data());
  close(binary);
  close(output);
  return daemon;
}

Daemon::~Daemon() {
  if (ended_) return;
  Kill(SIGKILL);
  Wait();
}

bool Daemon::Ended() {
  if (!ended_) ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return ended_;
}

bool Daemon::Stopped() const {
  std::ifstream in("/proc/" + std::to_string(pid_) + "/stat");
  std::string line;
  std::getline(in, line);
  // "pid (name) state …"; the name may hold anything.
  const size_t end = line.rfind(") ");
  return end != std::string::npos && line.substr(end + 2, 1) == "T";
}

bool Daemon::WaitUntilServing() {
  const std::string file = folder_.path() + "/ports.json";
  const bool settled = Eventually([&] { return std::ifstream(file).good() || Ended(); });
  if (!settled || ended_) return false;
  std::ifstream in(file);
  const nlohmann::json ports = nlohmann::json::parse(in, nullptr, false);
  if (!ports.is_object()) return false;
  grpc_port_ = ports["grpc"].get<int>();
  http_port_ = ports["http"].get<int>();
  return true;
}

void Daemon::Kill(int signal) {
  if (!Ended()) kill(pid_, signal);
}

int Daemon::Wait() {
  if (!Eventually([this] { return Ended(); }, absl::Seconds(30))) return -1000;
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
}

std::string Daemon::Output() const {
  std::ifstream in(folder_.path() + "/output");
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace quarry::gateway_test
