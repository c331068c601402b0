#include "core/config/sources.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/did_you_mean.h"
#include "core/catalog/text_forms.h"
#include "core/config/schema.h"

namespace quarry {
namespace {

constexpr char kPrefix[] = "QUARRY_";

// Kubernetes puts QUARRY_SERVICE_HOST, QUARRY_PORT_7400_TCP_ADDR and the like into pods beside a service named quarry.
bool FromKubernetes(const std::string& name) {
  if (absl::EndsWith(name, "_SERVICE_HOST") || absl::StrContains(name, "_SERVICE_PORT")) return true;
  const size_t at = name.find("_PORT");
  return at != std::string::npos && (at + 5 == name.size() || absl::StrContains(name, "_TCP") ||
                                     absl::StrContains(name, "_UDP"));
}

// The value as one plain scalar.
ConfigNode Scalar(const std::string& text, const ConfigPosition& at) {
  ConfigNode node;
  node.kind = ConfigNode::Kind::kScalar;
  node.at = at;
  node.text = text;
  return node;
}

// The place at `path`, with sections made on the way; null when a part of the way is no section.
ConfigNode* Reach(ConfigNode& root, const std::string& path, const ConfigPosition& at) {
  ConfigNode* node = &root;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(path, '.'))) {
    if (part.empty() || (!node->is_map() && !node->is_null())) return nullptr;
    node = &node->Child(part, at);
  }
  return node;
}

void ApplyOverride(const std::string& text, ConfigNode& root, ConfigReport& report) {
  const ConfigPosition at{"--set", 0, 0};
  const size_t equals = text.find('=');
  const std::string path = text.substr(0, equals);
  if (equals == std::string::npos || path.empty() || !IsValidText(text)) {
    report.Add(at, "", "expects path=value, for example limits.batch_items=500");
    return;
  }
  if (std::count(path.begin(), path.end(), '.') >= static_cast<long>(kConfigDepthMax)) {
    report.Add(at, "", absl::StrCat("the path is nested deeper than ", kConfigDepthMax));
    return;
  }
  ConfigNode* place = Reach(root, path, at);
  if (place == nullptr) {
    report.Add(at, path, "a part of the path is not a section; lists are replaced whole");
    return;
  }
  const std::string value = text.substr(equals + 1);
  if (!absl::StartsWith(value, "[") && !absl::StartsWith(value, "{")) {
    *place = Scalar(value, at);
    return;
  }
  *place = ParseYaml(value, absl::StrCat("--set ", path), report);
}

class Interpolator {
 public:
  Interpolator(const ConfigOptions& options, ConfigReport& report) : options_(options), report_(report) {}

  void Run(ConfigNode& node, const std::string& path) {
    if (node.is_scalar()) Replace(node, path);
    for (size_t i = 0; i < node.items.size(); ++i) {
      Run(node.items[i], node.is_map() ? JoinPath(path, node.keys[i].name) : absl::StrCat(path, "[", i, "]"));
    }
  }

 private:
  void Replace(ConfigNode& node, const std::string& path) {
    const std::string& text = node.text;
    std::string out;
    bool replaced = false;
    size_t at = 0;
    while (at < text.size()) {
      const size_t open = text.find("${", at);
      if (open == std::string::npos) break;
      if (open > at && text[open - 1] == '$') {
        absl::StrAppend(&out, text.substr(at, open - 1 - at), "${");
        at = open + 2;
        continue;
      }
      const size_t close = text.find('}', open);
      if (close == std::string::npos) {
        report_.Add(node.at, path, "a \"${\" is not closed; write $${ for the text itself");
        return;
      }
      const std::optional<std::string> value = Lookup(text.substr(open + 2, close - open - 2), node, path);
      if (!value.has_value()) return;
      absl::StrAppend(&out, text.substr(at, open - at), *value);
      replaced = true;
      at = close + 1;
    }
    out += text.substr(std::min(at, text.size()));
    if (replaced) node.template_text = text;
    node.text = std::move(out);
  }

  std::optional<std::string> Lookup(const std::string& reference, const ConfigNode& node, const std::string& path) {
    if (absl::StartsWith(reference, "env:")) return FromEnvironment(reference.substr(4), node, path);
    if (absl::StartsWith(reference, "file:")) return FromFile(reference.substr(5), node, path);
    report_.Add(node.at, path, "\"${\" is followed by neither env: nor file:; write $${ for the text itself");
    return std::nullopt;
  }

  std::optional<std::string> FromEnvironment(const std::string& name, const ConfigNode& node, const std::string& path) {
    const auto found = options_.environment.find(name);
    if (found == options_.environment.end()) {
      report_.Add(node.at, path, absl::StrCat("environment variable ", name, " is not set"));
      return std::nullopt;
    }
    return Checked(found->second, absl::StrCat("environment variable ", name), node, path);
  }

  std::optional<std::string> FromFile(const std::string& file, const ConfigNode& node, const std::string& path) {
    if (!absl::StartsWith(file, "/")) {
      report_.Add(node.at, path, "${file:…} needs an absolute path");
      return std::nullopt;
    }
    absl::StatusOr<std::string> bytes = options_.read_file ? options_.read_file(file, kSecretFileBytesMax)
                                                           : ReadRegularFile(file, kSecretFileBytesMax);
    if (!bytes.ok()) {
      report_.Add(node.at, path, absl::StrCat("file ", file, " cannot be read: ", bytes.status().message()));
      return std::nullopt;
    }
    if (absl::EndsWith(*bytes, "\n")) bytes->pop_back();
    if (absl::EndsWith(*bytes, "\r")) bytes->pop_back();
    return Checked(*bytes, absl::StrCat("file ", file), node, path);
  }

  std::optional<std::string> Checked(const std::string& value, const std::string& what, const ConfigNode& node,
                                     const std::string& path) {
    if (IsValidText(value)) return value;
    report_.Add(node.at, path, absl::StrCat(what, " is not valid UTF-8 or holds a NUL"));
    return std::nullopt;
  }

  const ConfigOptions& options_;
  ConfigReport& report_;
};

}  // namespace

void ApplyEnvironment(const ConfigOptions& options, ConfigNode& root, ConfigReport& report) {
  std::map<std::string, std::string> paths;
  std::vector<std::string> names;
  for (const ConfigKey& key : KnownConfigKeys()) {
    if (key.environment.empty()) continue;
    paths.emplace(key.environment, key.path);
    names.push_back(key.environment);
  }
  for (const auto& [name, value] : options.environment) {
    if (!absl::StartsWith(name, kPrefix)) continue;
    const auto& ignored = options.environment_ignored;
    if (std::find(ignored.begin(), ignored.end(), name) != ignored.end()) continue;
    const ConfigPosition at{name, 0, 0};
    const auto found = paths.find(name);
    if (found == paths.end()) {
      if (!FromKubernetes(name)) {
        report.Add(at, "", absl::StrCat("the environment variable overrides nothing", DidYouMean(name, names)));
      }
      continue;
    }
    ConfigNode* place = Reach(root, found->second, at);
    if (place == nullptr || !IsValidText(value)) {
      report.Add(at, found->second, place == nullptr ? "the section above it is not a section in the file"
                                                     : "the value is not valid UTF-8");
      continue;
    }
    *place = Scalar(value, at);
  }
}

void ApplyOverrides(const ConfigOptions& options, ConfigNode& root, ConfigReport& report) {
  for (const std::string& text : options.overrides) ApplyOverride(text, root, report);
}

void Interpolate(const ConfigOptions& options, ConfigNode& root, ConfigReport& report) {
  Interpolator(options, report).Run(root, "");
}

absl::StatusOr<std::string> ReadRegularFile(const std::string& path, size_t bytes_max) {
  struct stat info {};
  // Looked at before it is opened: opening a pipe would wait for its other end.
  if (stat(path.c_str(), &info) != 0) return absl::NotFoundError(std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError("it is not a regular file");
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::PermissionDeniedError(errno == 0 ? "it cannot be opened" : std::strerror(errno));
  std::string bytes(bytes_max + 1, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(in.gcount()));
  if (bytes.size() > bytes_max) return absl::InvalidArgumentError(absl::StrCat("it is larger than ", bytes_max, " bytes"));
  return bytes;
}

}  // namespace quarry
