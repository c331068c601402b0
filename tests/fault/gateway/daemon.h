// quarryd as a process of its own, to be killed, stopped and started again.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/temp_directory.h"

namespace quarry::gateway_test {

struct DaemonOptions {
  std::string config_file;
  std::vector<std::string> more_arguments;
  bool unprivileged = false;   // As nobody, when this process may choose.
  uint64_t file_bytes_max = 0;  // Files cannot grow beyond it, as on a disk that is full; 0: no bound.
};

// One thread.
class Daemon {
 public:
  // Started; the program is what the environment variable QUARRYD names.
  static std::unique_ptr<Daemon> Spawn(const DaemonOptions& options);
  // Kills it if it still runs.
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // False when it has ended, or does not serve in time.
  bool WaitUntilServing();
  int grpc_port() const { return grpc_port_; }
  int http_port() const { return http_port_; }
  void Kill(int signal);
  // Stands still, by SIGSTOP.
  bool Stopped() const;
  // Waits for its end: the exit code, or minus the signal that killed it; -1000 when it does not end in time.
  int Wait();
  // What it has written, both streams.
  std::string Output() const;

 private:
  Daemon() = default;
  bool Ended();

  TempDirectory folder_;
  pid_t pid_ = 0;
  bool ended_ = false;
  int status_ = 0;
  int grpc_port_ = 0;
  int http_port_ = 0;
};

}  // namespace quarry::gateway_test
