// Any bytes as any request: parsed and translated as the server does, and dropped.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quarry {

// The number of request types.
size_t RequestTypeCount();
// The first byte chooses the type, the rest is the message. True when it was a valid operation.
bool ParseAndTranslate(const uint8_t* data, size_t size);

}  // namespace quarry
