// Checks of text that came from outside.
#pragma once

#include <string_view>

namespace quarry::sqlite {

// Valid UTF-8 (no surrogates, nothing overlong, nothing past U+10FFFF) without NUL.
bool IsText(std::string_view bytes);

}  // namespace quarry::sqlite
