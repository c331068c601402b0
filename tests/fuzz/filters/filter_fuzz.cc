#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/filters/filter_entry.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  quarry::FuzzFilter(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
