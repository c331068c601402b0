#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/page_token/page_token_entry.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  quarry::FuzzPageToken(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
