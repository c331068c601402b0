// A PostgreSQL server of a test's own: a fresh data directory, a free port, an unprivileged user.
// It stops with the object, and dies with the test's process. One thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tests/support/reserved_port.h"

namespace quarry {

struct PostgresClusterOptions {
  bool fsync = false;  // True where a test kills the machine, not only the server.
  int max_connections = 100;
  int max_prepared_transactions = 64;
  std::map<std::string, std::string> settings;  // More of postgresql.conf, by name.
};

class PostgresCluster {
 public:
  enum class StopMode { kFast, kImmediate };

  // Initialised and running.
  static absl::StatusOr<std::unique_ptr<PostgresCluster>> Create(const PostgresClusterOptions& options = {});
  // The one of this test binary, made at first use and stopped after the last test. Databases in it serve as shards.
  static PostgresCluster& Shared();
  // Somebody else's server on this port, whose superuser is postgres too. It is neither started nor stopped here.
  static std::unique_ptr<PostgresCluster> At(int port);

  PostgresCluster(const PostgresCluster&) = delete;
  PostgresCluster& operator=(const PostgresCluster&) = delete;
  ~PostgresCluster();

  int port() const { return port_; }
  // Over TCP, as the superuser.
  std::string conninfo(const std::string& database) const { return ConninfoAt(database, port_); }
  // The same through another port of 127.0.0.1, for example a TcpGate's.
  std::string ConninfoAt(const std::string& database, int port) const;
  // Over the unix socket.
  std::string socket_conninfo(const std::string& database) const;

  // A new, empty database; the answer is its conninfo over TCP. An existing one of that name is dropped first.
  absl::StatusOr<std::string> CreateDatabase(const std::string& name);
  // Statements without rows, several allowed.
  absl::Status Run(const std::string& database, const std::string& sql);
  // The first column of the first row as text, "" when there is none.
  absl::StatusOr<std::string> QueryOne(const std::string& database, const std::string& sql);

  // Starts a stopped or killed server on the same port and waits until it answers.
  absl::Status Start();
  absl::Status Stop(StopMode mode);
  // To the postmaster and all its children: SIGSTOP, SIGCONT, SIGKILL. After SIGKILL the server is gone when this returns.
  void Kill(int signal);

 private:
  PostgresCluster(PostgresClusterOptions options, std::string folder);
  absl::Status InitData();
  absl::Status WaitUntilReady();
  // Waits for the end of the postmaster and of these, its children while it was alive.
  void Reap(const std::vector<pid_t>& children);
  std::string ServerLog() const;

  const PostgresClusterOptions options_;
  const std::string folder_;  // Holds data, sockets and the server's log.
  std::unique_ptr<ReservedPort> reserved_;  // Null: the server is somebody else's.
  int port_ = 0;
  pid_t postmaster_ = 0;  // 0: not running.
};

}  // namespace quarry
