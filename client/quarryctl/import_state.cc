#include "client/quarryctl/import_state.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "xxhash.h"

namespace quarry::ctl {
namespace {

using Json = nlohmann::json;

std::string Bytes(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  return std::string(reinterpret_cast<const char*>(canonical.digest), sizeof(canonical.digest));
}

}  // namespace

std::string ImportId::Make(const std::string& content, const std::string& options) {
  const std::string all = absl::StrCat(content.size(), ":", content, options);
  return absl::BytesToHexString(Bytes(XXH3_128bits(all.data(), all.size())));
}

absl::StatusOr<std::string> ImportId::HashFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    XXH3_128bits_update(state.get(), buffer.data(), static_cast<size_t>(in.gcount()));
  }
  if (in.bad() || !in.eof()) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return Bytes(XXH3_128bits_digest(state.get()));
}

std::string ImportId::RequestId(const std::string& import_id, int64_t batch, int round) {
  const std::string all = absl::StrCat(import_id, ":", batch, ":", round);
  std::string bytes = Bytes(XXH3_128bits(all.data(), all.size()));
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x80);  // Version 8,
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);  // of the RFC's variant.
  const std::string hex = absl::BytesToHexString(bytes);
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

absl::StatusOr<ImportState> ImportState::Open(const std::string& path, const std::string& import_id,
                                              bool resume) {
  ImportState state;
  state.path_ = path;
  state.import_id_ = import_id;
  std::error_code error;
  if (path.empty() || !resume || !std::filesystem::exists(path, error)) return state;
  std::ifstream in(path);
  const Json json = Json::parse(in, nullptr, false);
  if (!json.is_object() || !json.contains("import_id") || !json.contains("done_below") ||
      !json.contains("done")) {
    return absl::FailedPreconditionError(
        absl::StrCat(path,
                     " is not a state file of an import; remove it or name "
                     "another one with --state"));
  }
  if (json["import_id"] != import_id) {
    return absl::FailedPreconditionError(absl::StrCat(
        path,
        " is of another import: the file, the table or an option has changed since; run without "
        "--resume to begin anew"));
  }
  state.done_below_ = json["done_below"].get<int64_t>();
  state.done_ = json["done"].get<std::set<int64_t>>();
  return state;
}

absl::Status ImportState::MarkDone(int64_t batch, absl::Time now) {
  done_.insert(batch);
  while (!done_.empty() && *done_.begin() == done_below_) {
    done_.erase(done_.begin());
    ++done_below_;
  }
  if (now - saved_ < absl::Milliseconds(500)) return absl::OkStatus();
  saved_ = now;
  return Save();
}

absl::Status ImportState::Save() const {
  if (path_.empty()) return absl::OkStatus();
  const std::string part = path_ + ".part";
  {
    std::ofstream out(part, std::ios::trunc);
    out << Json{{"import_id", import_id_}, {"done_below", done_below_}, {"done", done_}}.dump()
        << "\n";
    if (!out.flush()) {
      return absl::PermissionDeniedError(
          absl::StrCat("cannot write ", part, "; name another place with --state"));
    }
  }
  std::error_code error;
  std::filesystem::rename(part, path_, error);
  if (error)
    return absl::PermissionDeniedError(absl::StrCat("cannot write ", path_, ": ", error.message()));
  return absl::OkStatus();
}

void ImportState::Remove() const {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove(path_, ignored);
}

}  // namespace quarry::ctl
