// Texts that begin alike, as a range of the order by bytes. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quarry {

// The first valid UTF-8 text, by bytes, after all that begin with `prefix`, which is valid itself; nullopt when there is none.
std::optional<std::string> AfterPrefix(std::string_view prefix);

}  // namespace quarry
