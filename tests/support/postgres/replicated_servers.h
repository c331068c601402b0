// PostgreSQL primaries, each with a synchronous standby, for a test in C++: replicated.py makes, runs and stops them.
// They end with the object, and with the test's process. One thread.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/support/postgres/postgres_cluster.h"
#include "tests/support/temp_directory.h"

namespace quarry {

class ReplicatedServers {
 public:
  // Ready: every standby streams and commits wait for it.
  static absl::StatusOr<std::unique_ptr<ReplicatedServers>> Start(int pairs);
  ReplicatedServers(const ReplicatedServers&) = delete;
  ReplicatedServers& operator=(const ReplicatedServers&) = delete;
  ~ReplicatedServers();

  int pairs() const { return static_cast<int>(primaries_.size()); }
  PostgresCluster& primary(int pair) { return *primaries_[static_cast<size_t>(pair)]; }
  std::string standby_conninfo(int pair, const std::string& database) const {
    return standbys_[static_cast<size_t>(pair)]->conninfo(database);
  }

 private:
  ReplicatedServers() = default;

  TempDirectory folder_;
  pid_t script_ = 0;
  std::vector<std::unique_ptr<PostgresCluster>> primaries_;
  std::vector<std::unique_ptr<PostgresCluster>> standbys_;
};

}  // namespace quarry
