// LIKE with PostgreSQL's meaning. Pure.
#pragma once

#include <string_view>

namespace quarry {

// False when the pattern ends in a backslash that escapes nothing: PostgreSQL refuses it.
bool IsLikePattern(std::string_view pattern);

// % stands for any characters, _ for one whole character of UTF-8, a backslash takes the next character as it is; case counts.
// A pattern that is none matches nothing. Time is at most the product of the sizes.
bool MatchesLike(std::string_view text, std::string_view pattern);

}  // namespace quarry
