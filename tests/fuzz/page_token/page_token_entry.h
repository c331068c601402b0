// What the fuzz target and its unit test run: any bytes as a token and as the inside of one.
#pragma once

#include <string_view>

namespace quarry {

// Aborts when a position that was read does not come back the same after it was written, or when bytes that nobody sealed open.
void FuzzPageToken(std::string_view bytes);

}  // namespace quarry
