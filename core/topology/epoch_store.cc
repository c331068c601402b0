#include "core/topology/epoch_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace quarry {
namespace {

absl::Status FileError(const std::string& what, const std::string& file) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " ", file, ": ", std::strerror(errno),
                                             "; check data_dir, its rights and its free space"));
}

absl::Status WriteDurably(const std::string& text, const std::string& file) {
  const std::string fresh = file + ".new";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return FileError("create", fresh);
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  const absl::Status status = written ? absl::OkStatus() : FileError("write", fresh);
  close(fd);
  QUARRY_RETURN_IF_ERROR(status);
  if (rename(fresh.c_str(), file.c_str()) != 0) return FileError("replace", file);
  const std::string folder = std::filesystem::path(file).parent_path().string();
  const int folder_fd = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd >= 0) {
    fsync(folder_fd);
    close(folder_fd);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Epoch> EpochFor(const std::string& fingerprint, const std::string& file) {
  uint64_t epoch = 0;
  if (std::ifstream in(file); in.good()) {
    std::stringstream text;
    text << in.rdbuf();
    const nlohmann::json stored = nlohmann::json::parse(text.str(), nullptr, false);
    if (!stored.is_object() || !stored["epoch"].is_number_unsigned() || !stored["fingerprint"].is_string()) {
      return absl::DataLossError(absl::StrCat(file, " does not hold a topology's epoch; restore it, or remove it when "
                                              "no gateway has cached answers of this deployment"));
    }
    epoch = stored["epoch"].get<uint64_t>();
    if (stored["fingerprint"].get<std::string>() == fingerprint) return Epoch{epoch};
  } else if (std::filesystem::exists(file)) {
    return FileError("read", file);
  }
  const nlohmann::json next = {{"epoch", epoch + 1}, {"fingerprint", fingerprint}};
  QUARRY_RETURN_IF_ERROR(WriteDurably(next.dump() + "\n", file));
  return Epoch{epoch + 1};
}

}  // namespace quarry
