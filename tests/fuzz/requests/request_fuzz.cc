#include "tests/fuzz/requests/parse_requests.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  quarry::ParseAndTranslate(data, size);
  return 0;
}
