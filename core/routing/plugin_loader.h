// Loads resolver plug-ins (plugin.h) from shared objects.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/routing/resolver.h"

namespace quarry {

// Registers the plug-in's resolver type and returns it. The shared object's code runs inside this process
// with all its rights: load only what is trusted. It stays loaded as long as the registry or one of its
// resolvers lives. `path` holds a slash: the system's library folders are not searched. kInvalidArgument
// INVALID_FIELD: no such file, not a shared object, not a plug-in, another version, or a type that is
// malformed; kAlreadyExists: its type is taken.
absl::StatusOr<std::string> LoadResolverPlugin(const std::string& path, ResolverRegistry& registry);

}  // namespace quarry
