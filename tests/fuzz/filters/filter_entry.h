// What the fuzzer and its test feed: any bytes, as the text of a filter.
#pragma once

#include <string_view>

namespace quarry {

// Parses, checks and lowers. True when the text is a filter of the table. Aborts when an error has no reason or a message that is
// no text, or when the SQL holds a placeholder without its value.
bool FuzzFilter(std::string_view text);

}  // namespace quarry
