#include "google/protobuf/stubs/logging.h"
#include "tests/fuzz/requests/parse_requests.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const google::protobuf::LogSilencer quiet;  // It tells of every text that is no UTF-8.
  quarry::ParseAndTranslate(data, size);
  return 0;
}
