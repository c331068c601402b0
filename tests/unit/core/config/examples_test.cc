// The configurations in examples/ load, and docs/configuration.md knows every key.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "core/config/schema.h"
#include "core/routing/plugin_loader.h"
#include "tests/unit/core/config/support.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream in(std::string(QUARRY_SOURCE_DIR) + "/" + path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// The secrets that the samples ask for.
ConfigOptions SampleOptions() {
  ConfigOptions options;
  options.environment = {{"PG_PASSWORD", "s3cret"}};
  options.read_file = [](const std::string&, size_t) { return std::string("s3cret\n"); };
  return options;
}

// The types of the columns that the samples' comments speak of.
std::map<std::string, std::vector<ColumnType>> SampleKeyTypes() {
  const auto types = [](std::vector<TypeKind> kinds) {
    std::vector<ColumnType> all;
    for (const TypeKind kind : kinds) all.push_back({kind, false, ""});
    return all;
  };
  return {{"by_customer", types({TypeKind::kInt64})}, {"by_account", types({TypeKind::kUuid})},
          {"by_day", types({TypeKind::kDate})},       {"by_tenant", types({TypeKind::kText})},
          {"by_user", types({TypeKind::kInt64})},     {"by_place", types({TypeKind::kText, TypeKind::kText})},
          {"by_number", types({TypeKind::kInt64})},   {"by_block", types({TypeKind::kInt64})}};
}

class ExampleTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ExampleTest, LoadsAndItsResolversAreBuilt) {
  const std::string path = std::string("examples/config/") + GetParam() + ".yaml";
  ASSERT_OK_AND_ASSIGN(const Config config, ParseConfig(ReadFile(path), path, SampleOptions()));
  ResolverRegistry registry;
  RegisterBuiltinResolvers(registry);
  for (size_t i = 0; i < config.plugins.size(); ++i) {
    EXPECT_THAT(LoadResolverPlugin(QUARRY_MODULO_PLUGIN, registry), IsOk());
  }
  EXPECT_THAT(BuildResolvers(config, registry), IsOk()) << "before the catalog is known";
  EXPECT_THAT(BuildResolvers(config, registry, SampleKeyTypes()), IsOk());
}

TEST_P(ExampleTest, PrintsWithoutSecretsAndReadsAgain) {
  const std::string path = std::string("examples/config/") + GetParam() + ".yaml";
  ASSERT_OK_AND_ASSIGN(const Config config, ParseConfig(ReadFile(path), path, SampleOptions()));
  const std::string printed = PrintConfig(config);
  EXPECT_THAT(printed, ::testing::Not(HasSubstr("s3cret")));
  ASSERT_OK_AND_ASSIGN(const Config again, ParseConfig(printed, "printed", SampleOptions()));
  EXPECT_EQ(PrintConfig(again), printed);
}

constexpr const char* kExamples[] = {"sqlite-quickstart", "postgres-hash",           "range-by-date", "lookup-tenants",
                                     "geo-regions",       "consistent-hash-weights", "mixed-backends", "plugin",
                                     "several-gateways"};
INSTANTIATE_TEST_SUITE_P(All, ExampleTest, ::testing::ValuesIn(kExamples), [](const auto& info) {
  std::string name = info.param;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

TEST(ExamplesTest, AreAllTested) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(QUARRY_SOURCE_DIR "/examples/config")) {
    files += entry.path().extension() == ".yaml" ? 1 : 0;
  }
  EXPECT_EQ(files, std::size(kExamples));
}

TEST(ConfigurationDocTest, HasOneRowForEveryKeyWithItsDefaultRangeAndVariable) {
  const std::string doc = ReadFile("docs/configuration.md");
  for (const ConfigKey& key : KnownConfigKeys()) {
    const size_t at = doc.find("| `" + key.path + "` |");
    ASSERT_NE(at, std::string::npos) << key.path << " is missing from docs/configuration.md";
    const std::string row = doc.substr(at, doc.find('\n', at) - at);
    EXPECT_THAT(row, HasSubstr("| " + key.type + " |")) << key.path;
    EXPECT_THAT(row, HasSubstr(key.initial)) << key.path;
    EXPECT_THAT(row, HasSubstr(key.range)) << key.path;
    EXPECT_THAT(row, HasSubstr(key.environment)) << key.path;
  }
}

}  // namespace
}  // namespace quarry
