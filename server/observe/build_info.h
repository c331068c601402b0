// quarry_build_info: always 1, labelled with what runs.
#pragma once

#include <memory>
#include <string>

#include "prometheus/registry.h"

namespace quarry {

// A registry with quarry_build_info in it; other metrics of the process may be added to it.
std::shared_ptr<prometheus::Registry> MakeRegistry(const std::string& version, const std::string& deployment);

}  // namespace quarry
