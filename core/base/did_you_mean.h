// A hint for a mistyped name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quarry {

// The closest of `candidates` to `name` when it is close enough to be a slip: " (did you mean \"x\"?)", or "".
std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace quarry
