// One process owns a shard's file, by an OS lock that goes with the process.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quarry::sqlite {

class FileLock {
 public:
  // Locks "<file>.lock", which holds the owner's process id. kUnavailable SHARD_UNAVAILABLE, naming that process, when
  // another owner has it.
  static absl::StatusOr<FileLock> Take(const std::string& file, const std::string& shard);
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&& other) = delete;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace quarry::sqlite
