#include "tests/fuzz/config/config_entry.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace quarry {
namespace {

constexpr int kMutations = 4'000;

std::vector<std::string> Corpus() {
  std::vector<std::string> files;
  for (const char* folder : {"/tests/fuzz/config/corpus", "/examples/config"}) {
    for (const auto& entry : std::filesystem::directory_iterator(std::string(QUARRY_SOURCE_DIR) + folder)) {
      std::ifstream in(entry.path(), std::ios::binary);
      files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
  }
  return files;
}

// One to four edits: a byte changed, a piece removed, repeated, or taken from another file.
std::string Mutated(const std::vector<std::string>& corpus, std::mt19937_64& random) {
  const auto below = [&random](size_t end) { return end == 0 ? 0 : static_cast<size_t>(random() % end); };
  constexpr char kSpecial[] = "{}[]:,-?&*!|>'\"#%@`$~\n \t\\0a";
  std::string text = corpus[below(corpus.size())];
  for (size_t edit = below(4) + 1; edit > 0; --edit) {
    const size_t at = below(text.size());
    const size_t length = below(std::min<size_t>(40, text.size() - at) + 1);
    const std::string& other = corpus[below(corpus.size())];
    switch (random() % 5) {
      case 0:
        if (!text.empty()) text[at] = kSpecial[below(sizeof(kSpecial) - 1)];
        break;
      case 1:
        if (!text.empty()) text[at] = static_cast<char>(random());
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.insert(at, text.substr(at, length));
        break;
      case 4:
        text.insert(at, other.substr(below(other.size()), below(60)));
        break;
    }
  }
  return text;
}

TEST(ConfigFuzzTest, SurvivesItsCorpus) {
  const std::vector<std::string> corpus = Corpus();
  ASSERT_GT(corpus.size(), 10u);
  for (const std::string& text : corpus) FuzzConfig(text);
}

TEST(ConfigFuzzTest, SurvivesMutations) {
  const char* chosen = std::getenv("QUARRY_TEST_SEED");
  const uint64_t seed = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : std::random_device{}();
  std::printf("seed %llu; repeat with QUARRY_TEST_SEED\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  const std::vector<std::string> corpus = Corpus();
  for (int i = 0; i < kMutations; ++i) FuzzConfig(Mutated(corpus, random));
}

}  // namespace
}  // namespace quarry
