#include "core/model/etag.h"

#include <xxhash.h>

#include "absl/strings/str_format.h"
#include "core/model/codec.h"

namespace quarry {

std::string EtagOf(const Row& all_columns) {
  std::string bytes;
  for (const Value& value : all_columns) AppendValue(value, &bytes);
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return absl::StrFormat("%016x%016x", hash.high64, hash.low64);
}

}  // namespace quarry
