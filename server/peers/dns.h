// The addresses behind a name, from the system's resolver. Blocks; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quarry {

// `name`: "host:port". Gives "10.0.0.7:7400" and "[fd00::7]:7400", sorted, each once. kUnavailable, naming the host, when it
// has no address now.
absl::StatusOr<std::vector<std::string>> ResolveAddresses(const std::string& name);

}  // namespace quarry
