// What lies over the file: environment variables, --set overrides, and ${env:X} and ${file:/path} within values.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/config/config.h"
#include "core/config/tree.h"

namespace quarry {

inline constexpr size_t kSecretFileBytesMax = 64 << 10;

// Lays the QUARRY_* variables over the tree. A variable that overrides nothing is a mistake, unless it is one that Kubernetes
// makes for a service named quarry.
void ApplyEnvironment(const ConfigOptions& options, ConfigNode& root, ConfigReport& report);
// Lays "path=value" over the tree, in order. A value that starts with "[" or "{" is read as YAML, any other is text as it is.
void ApplyOverrides(const ConfigOptions& options, ConfigNode& root, ConfigReport& report);
// Replaces ${env:X} and ${file:/path} in every scalar; "$${" stands for "${".
void Interpolate(const ConfigOptions& options, ConfigNode& root, ConfigReport& report);

// The bytes of a regular file of at most `bytes_max`.
absl::StatusOr<std::string> ReadRegularFile(const std::string& path, size_t bytes_max);

}  // namespace quarry
