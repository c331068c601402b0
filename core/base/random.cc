#include "core/base/random.h"

#include <sys/random.h>

#include <cstdlib>

namespace quarry {

uint64_t SystemRandom::Next() {
  uint64_t value = 0;
  if (getrandom(&value, sizeof(value), 0) != sizeof(value)) std::abort();
  return value;
}

}  // namespace quarry
