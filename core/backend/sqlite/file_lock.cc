#include "core/backend/sqlite/file_lock.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/backend/sqlite/errors.h"
#include "core/base/error.h"

namespace quarry::sqlite {
namespace {

absl::Status OwnedByAnother(int fd, const std::string& file, const std::string& shard) {
  char text[32] = {};
  const ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
  const std::string pid(
      absl::StripAsciiWhitespace(absl::string_view(text, size > 0 ? static_cast<size_t>(size) : 0)));
  return MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable,
                   absl::StrCat(file, " of shard ", shard, " is in use by process ", pid.empty() ? "?" : pid,
                                "; one server owns a file: stop that one, or give this one another file"),
                   {{"shard", shard}, {"pid", pid}});
}

}  // namespace

absl::StatusOr<FileLock> FileLock::Take(const std::string& file, const std::string& shard) {
  const std::string path = file + ".lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return OpenError(shard, path, SQLITE_CANTOPEN, errno);
  FileLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return OwnedByAnother(fd, file, shard);
    return OpenError(shard, path, SQLITE_CANTOPEN, errno);
  }
  // For people and messages only; the lock itself is what counts, so a full disk does not matter here.
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) == 0) {
    [[maybe_unused]] const ssize_t written = pwrite(fd, pid.data(), pid.size(), 0);
  }
  return lock;
}

FileLock::~FileLock() {
  // The file stays: removing it would let two processes lock two files of one name.
  if (fd_ >= 0) close(fd_);
}

}  // namespace quarry::sqlite
