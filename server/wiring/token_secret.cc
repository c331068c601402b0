#include "server/wiring/token_secret.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/random.h"
#include "core/base/status_macros.h"
#include "spdlog/spdlog.h"

namespace quarry {
namespace {

constexpr size_t kKeyText = 64;  // 32 random bytes in hexadecimal digits.

absl::Status FileError(const char* what, const std::string& file) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " ", file, ": ", std::strerror(errno),
                                             "; check data_dir and its rights, or set tokens.secret"));
}

std::string NewKey() {
  SystemRandom random;
  std::string key;
  for (int i = 0; i < 4; ++i) absl::StrAppendFormat(&key, "%016x", random.Next());
  return key;
}

absl::StatusOr<std::string> ReadKey(const std::string& file, int fd) {
  struct stat about = {};
  if (fstat(fd, &about) == 0 && (about.st_mode & 077) != 0) {
    spdlog::warn("{} can be read by others than its owner, who could forge page tokens; chmod 600 it", file);
  }
  char text[kKeyText + 1];
  size_t size = 0;
  while (size < kKeyText) {
    const ssize_t got = read(fd, text + size, kKeyText - size);
    if (got < 0) return FileError("read", file);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  if (size == kKeyText) return std::string(text, size);
  return absl::DataLossError(absl::StrCat(file, " does not hold a key; remove it, and page tokens that clients hold end"));
}

// Written whole under a name of its own first: a crash leaves no half a key behind. Another process that was faster wins;
// in containers it may have the same id.
absl::Status MakeKey(const std::string& file) {
  std::string fresh = absl::StrCat(file, ".XXXXXX");
  const int fd = mkostemp(fresh.data(), O_CLOEXEC);  // For its owner alone.
  if (fd < 0) return FileError("create", file);
  const std::string key = NewKey();
  const bool written = write(fd, key.data(), key.size()) == static_cast<ssize_t>(key.size()) && fsync(fd) == 0;
  absl::Status status = written ? absl::OkStatus() : FileError("write", fresh);
  close(fd);
  if (status.ok() && link(fresh.c_str(), file.c_str()) != 0 && errno != EEXIST) status = FileError("create", file);
  unlink(fresh.c_str());
  return status;
}

absl::StatusOr<std::string> KeptKey(const std::string& file) {
  int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) {
    QUARRY_RETURN_IF_ERROR(MakeKey(file));
    fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  }
  if (fd < 0) return FileError("read", file);
  absl::StatusOr<std::string> key = ReadKey(file, fd);
  close(fd);
  return key;
}

bool Has(const Config& config, Dialect dialect) {
  return std::any_of(config.shards.begin(), config.shards.end(),
                     [dialect](const ShardConfig& shard) { return shard.dialect == dialect; });
}

}  // namespace

absl::StatusOr<std::string> TokenSecret(const Config& config) {
  if (!config.tokens.secret.empty()) return config.tokens.secret;
  if (Has(config, Dialect::kPostgres)) {
    spdlog::warn("tokens.secret is not set: page and resume tokens hold at this gateway only; several gateways of one "
                 "deployment need a common one");
  }
  absl::StatusOr<std::string> key = KeptKey((std::filesystem::path(config.data_dir) / "token.key").string());
  if (key.ok() || Has(config, Dialect::kSqlite)) return key;
  spdlog::warn("page and resume tokens end with this process: {}", std::string(key.status().message()));
  return NewKey();
}

}  // namespace quarry
