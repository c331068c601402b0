// What the fuzz target and its unit test run: any bytes as a configuration.
#pragma once

#include <string_view>

namespace quarry {

// Aborts when a configuration that was accepted does not print to one that is accepted again, or prints differently then.
void FuzzConfig(std::string_view bytes);

}  // namespace quarry
