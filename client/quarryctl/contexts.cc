#include "client/quarryctl/contexts.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "yaml-cpp/yaml.h"

namespace quarry::ctl {
namespace {

absl::Status At(const std::string& path, const YAML::Mark& mark, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ":", mark.line + 1, ": ", what));
}

absl::StatusOr<std::string> Scalar(const std::string& path, const YAML::Node& node) {
  if (!node.IsScalar()) return At(path, node.Mark(), "expected one text");
  return node.Scalar();
}

absl::StatusOr<Context> ReadContext(const std::string& path, const YAML::Node& node) {
  if (!node.IsMap()) return At(path, node.Mark(), "a context holds address and timeout");
  Context context;
  for (const auto& entry : node) {
    QUARRY_ASSIGN_OR_RETURN(const std::string key, Scalar(path, entry.first));
    QUARRY_ASSIGN_OR_RETURN(const std::string value, Scalar(path, entry.second));
    if (key == "address") {
      context.address = value;
    } else if (key == "timeout") {
      const auto timeout = ParseTimeout(value);
      if (!timeout.ok())
        return At(path, entry.second.Mark(), std::string(timeout.status().message()));
      context.timeout = *timeout;
    } else {
      return At(path, entry.first.Mark(),
                absl::StrCat("unknown key \"", key, "\"; known are address and timeout"));
    }
  }
  return context;
}

absl::StatusOr<Contexts> ReadContexts(const std::string& path, const YAML::Node& root) {
  Contexts contexts;
  if (root.IsNull()) return contexts;
  if (!root.IsMap()) return At(path, root.Mark(), "expected current and contexts");
  for (const auto& entry : root) {
    QUARRY_ASSIGN_OR_RETURN(const std::string key, Scalar(path, entry.first));
    if (key == "current") {
      QUARRY_ASSIGN_OR_RETURN(contexts.current, Scalar(path, entry.second));
    } else if (key == "contexts" && entry.second.IsMap()) {
      for (const auto& context : entry.second) {
        QUARRY_ASSIGN_OR_RETURN(const std::string name, Scalar(path, context.first));
        QUARRY_ASSIGN_OR_RETURN(contexts.by_name[name], ReadContext(path, context.second));
      }
    } else {
      return At(path, entry.first.Mark(),
                absl::StrCat("expected current or a map of contexts, not \"", key, "\""));
    }
  }
  return contexts;
}

absl::StatusOr<Context> Named(const Contexts& contexts, const std::string& name) {
  const auto found = contexts.by_name.find(name);
  if (found != contexts.by_name.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, context] : contexts.by_name) names.push_back(known);
  return absl::InvalidArgumentError(absl::StrCat(
      "there is no context \"", name, "\"; ",
      names.empty() ? "make it with: quarryctl context set " + name + " --address HOST:PORT"
                    : "known are " + absl::StrJoin(names, ", ")));
}

}  // namespace

std::string ContextsPath() {
  if (const char* path = std::getenv("QUARRYCTL_CONFIG"); path != nullptr && *path != '\0')
    return path;
  if (const char* base = std::getenv("XDG_CONFIG_HOME"); base != nullptr && *base != '\0') {
    return absl::StrCat(base, "/quarry/config.yaml");
  }
  const char* home = std::getenv("HOME");
  return absl::StrCat(home == nullptr ? "." : home, "/.config/quarry/config.yaml");
}

absl::StatusOr<Contexts> LoadContexts(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return Contexts{};
  try {
    return ReadContexts(path, YAML::LoadFile(path));
  } catch (const YAML::ParserException& failure) {
    return At(path, failure.mark, failure.msg);
  } catch (const YAML::Exception& failure) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", failure.what()));
  }
}

absl::Status SaveContexts(const std::string& path, const Contexts& contexts) {
  YAML::Emitter out;
  out << YAML::BeginMap << YAML::Key << "current" << YAML::Value << contexts.current;
  out << YAML::Key << "contexts" << YAML::Value << YAML::BeginMap;
  for (const auto& [name, context] : contexts.by_name) {
    out << YAML::Key << name << YAML::Value << YAML::BeginMap;
    out << YAML::Key << "address" << YAML::Value << context.address;
    out << YAML::Key << "timeout" << YAML::Value << absl::FormatDuration(context.timeout)
        << YAML::EndMap;
  }
  out << YAML::EndMap << YAML::EndMap;
  std::error_code error;
  const std::filesystem::path target(path);
  if (target.has_parent_path()) std::filesystem::create_directories(target.parent_path(), error);
  const std::string part = path + ".part";
  {
    std::ofstream file(part, std::ios::trunc);
    file << out.c_str() << "\n";
    if (!file.flush()) return absl::PermissionDeniedError(absl::StrCat("cannot write ", part));
  }
  std::filesystem::rename(part, target, error);
  if (error)
    return absl::PermissionDeniedError(absl::StrCat("cannot write ", path, ": ", error.message()));
  return absl::OkStatus();
}

absl::StatusOr<Context> ResolveContext(const Contexts& contexts,
                                       const ContextOverrides& overrides) {
  Context result;
  const std::string name =
      overrides.context.value_or(overrides.env_address ? "" : contexts.current);
  if (!name.empty()) {
    QUARRY_ASSIGN_OR_RETURN(result, Named(contexts, name));
  } else if (overrides.env_address) {
    result.address = *overrides.env_address;
  }
  if (overrides.address) result.address = *overrides.address;
  if (overrides.timeout) result.timeout = *overrides.timeout;
  return result;
}

absl::StatusOr<absl::Duration> ParseTimeout(const std::string& text) {
  absl::Duration timeout;
  if (!absl::ParseDuration(text, &timeout) || timeout <= absl::ZeroDuration() ||
      timeout == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not a time such as 30s, 1m30s or 500ms"));
  }
  return timeout;
}

}  // namespace quarry::ctl
