#include "core/model/etag.h"

#include <xxhash.h>

#include "core/model/codec.h"

namespace quarry {

std::string EtagOf(const Row& all_columns) {
  std::string bytes;
  size_t size = 0;
  for (const Value& value : all_columns) size += ByteSize(value) + 16;
  bytes.reserve(size);
  for (const Value& value : all_columns) AppendValue(value, &bytes);
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  constexpr char kDigits[] = "0123456789abcdef";
  std::string etag(32, '0');
  for (size_t i = 0; i < 16; ++i) {
    etag[15 - i] = kDigits[(hash.high64 >> (4 * i)) & 0xf];
    etag[31 - i] = kDigits[(hash.low64 >> (4 * i)) & 0xf];
  }
  return etag;
}

}  // namespace quarry
