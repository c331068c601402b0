// The fuzz target without a fuzzer: random changes of filters, from a seed that is printed.
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/fuzz/filters/filter_entry.h"

namespace quarry {
namespace {

const std::vector<std::string>& Filters() {
  static const std::vector<std::string> filters = {
      "a = 5 AND (b LIKE 'x%' OR NOT c BETWEEN 1.5 AND 2e3)",
      "has(t_fk, a IN (1, 2, 99999) AND t_fk_children.b IS NOT NULL)",
      "starts_with(b, 'it''s') AND d >= TIMESTAMP '2026-01-31T00:00:00Z'",
      "e < 1e300 OR 5 <= a OR a NOT IN () OR f IS NULL OR a = t_fk.a",
      "\"b\" = \"b\" AND c <> -0.50",
  };
  return filters;
}

TEST(FilterFuzzTest, TheFiltersThemselvesAreRead) {
  EXPECT_TRUE(FuzzFilter(Filters()[0]));
  EXPECT_TRUE(FuzzFilter(Filters()[1]));
  EXPECT_TRUE(FuzzFilter(Filters()[2]));
  EXPECT_FALSE(FuzzFilter(Filters()[3]));  // Columns of two tables.
  EXPECT_TRUE(FuzzFilter(Filters()[4]));
}

TEST(FilterFuzzTest, NoBytesBreakTheParser) {
  const uint64_t seed = std::random_device()();
  std::cerr << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  int read = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::string text = Filters()[random() % Filters().size()];
    for (uint64_t change = random() % 4; change > 0; --change) {
      const std::string& other = Filters()[random() % Filters().size()];
      const size_t at = random() % (text.size() + 1);
      switch (random() % 4) {
        case 0:
          text.insert(at, 1, static_cast<char>(random()));
          break;
        case 1:
          text.erase(at, random() % 8);
          break;
        case 2:
          text.insert(at, other.substr(random() % other.size(), random() % 16));
          break;
        default:
          text.resize(at);
      }
    }
    read += FuzzFilter(text) ? 1 : 0;
  }
  EXPECT_GT(read, 1'000);
}

}  // namespace
}  // namespace quarry
