#include "tests/fuzz/page_token/page_token_entry.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "core/plan/page_token.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

constexpr int kMutations = 20'000;

TEST(PageTokenFuzzTest, SurvivesMutationsOfARealPosition) {
  const char* chosen = std::getenv("QUARRY_TEST_SEED");
  const uint64_t seed = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : std::random_device{}();
  std::printf("seed %llu; repeat with QUARRY_TEST_SEED\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  QueryPosition position;
  position.after = {Value::Int64(7), Value::Null(), Value::Text("words"), Value::Array({Value::Decimal("1.5")}),
                    Value::Native("inet", "::1")};
  position.given = 3;
  const std::string real = EncodePosition(position, 42);
  FuzzPageToken(real);
  for (int i = 0; i < kMutations; ++i) {
    std::string bytes = real;
    for (uint64_t edit = random() % 4; edit > 0; --edit) {
      const size_t at = static_cast<size_t>(random() % bytes.size());
      if (random() % 3 == 0) {
        bytes.resize(at + 1);
      } else {
        bytes[at] = static_cast<char>(random());
      }
    }
    FuzzPageToken(bytes);
  }
}

}  // namespace
}  // namespace quarry
