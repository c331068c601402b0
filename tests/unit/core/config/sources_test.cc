#include "core/config/sources.h"

#include "tests/unit/core/config/support.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SourcesTest, FlagBeatsEnvironmentBeatsFile) {
  ConfigOptions options = WithoutFiles();
  const std::string yaml = std::string(kShop) + "loops: 1\ndrain_timeout: 1s\ndata_dir: one\n";
  options.environment = {{"QUARRY_LOOPS", "2"}, {"QUARRY_DATA_DIR", "two"}, {"PATH", "/bin"}};
  options.overrides = {"loops=3"};
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(yaml, options));
  EXPECT_EQ(config.loops, 3);
  EXPECT_EQ(config.data_dir, "two");
  EXPECT_EQ(config.drain_timeout, absl::Seconds(1));
}

TEST(SourcesTest, NamesTheVariableOrFlagOfABadValue) {
  ConfigOptions options = WithoutFiles();
  options.environment = {{"QUARRY_LOOPS", "two"}};
  options.overrides = {"limits.batch_items=0", "limits.batch_itms=5", "loops"};
  EXPECT_THAT(Mistakes(Parse(kShop, options)),
              ::testing::UnorderedElementsAre(
                  "QUARRY_LOOPS loops: expects a whole number",
                  "--set limits.batch_items: is outside of 1 to 100000",
                  "--set limits.batch_itms: unknown key (did you mean \"batch_items\"?)",
                  "--set: expects path=value, for example limits.batch_items=500"));
}

TEST(SourcesTest, RefusesVariablesThatOverrideNothing) {
  ConfigOptions options = WithoutFiles();
  options.environment = {{"QUARRY_LISTEN_GRCP", "x:1"}, {"QUARRY_CONFIG", "f"}};
  options.environment_ignored = {"QUARRY_CONFIG"};
  EXPECT_THAT(Mistakes(Parse(kShop, options)),
              ElementsAre("QUARRY_LISTEN_GRCP: the environment variable overrides nothing "
                          "(did you mean \"QUARRY_LISTEN_GRPC\"?)"));
}

TEST(SourcesTest, LetsTheVariablesOfAKubernetesServiceBe) {
  ConfigOptions options = WithoutFiles();
  options.environment = {{"QUARRY_SERVICE_HOST", "10.0.0.1"}, {"QUARRY_SERVICE_PORT", "7400"},
                         {"QUARRY_SERVICE_PORT_GRPC", "7400"}, {"QUARRY_PORT", "tcp://10.0.0.1:7400"},
                         {"QUARRY_PORT_7400_TCP_ADDR", "10.0.0.1"}, {"QUARRY_HTTP_SERVICE_HOST", "10.0.0.2"}};
  EXPECT_THAT(Parse(kShop, options), IsOk());
}

TEST(SourcesTest, SetsWholeSectionsAndLists) {
  ConfigOptions options = WithoutFiles();
  options.overrides = {"shards={only: {sqlite: {file: x.db}}}", "plugins=[/a.so, /b.so]",
                       "tables.customers.scatter=deny", "shards.only.pool.sessions=2"};
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(kShop, options));
  ASSERT_EQ(config.shards.size(), 1u);
  EXPECT_EQ(config.shards[0].pool.sessions, 2);
  EXPECT_THAT(config.plugins, ElementsAre("/a.so", "/b.so"));
  EXPECT_FALSE(config.tables[0].scatter_allowed);
}

TEST(SourcesTest, ReplacesVariablesAndFiles) {
  ConfigOptions options;
  options.environment = {{"HOST", "db1"}, {"N", "7"}};
  options.read_file = [](const std::string& path, size_t) -> absl::StatusOr<std::string> {
    if (path == "/run/secrets/pw") return std::string("s3cret\n");
    return absl::NotFoundError("No such file or directory");
  };
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(R"(
shards:
  s0: {postgres: {primary: "host=${env:HOST} password=${file:/run/secrets/pw} dbname=shop"}}
resolvers:
  r:
    type: hash
    modulus: "${env:N}"
    plain: ${env:N}
    text: "$${env:N} $$${"
)", options));
  EXPECT_EQ(config.shards[0].primary.conninfo, "host=db1 password=s3cret dbname=shop");
  EXPECT_EQ(config.shards[0].address(), "db1:5432/shop");
  EXPECT_EQ(config.resolvers[0].options, (nlohmann::json{{"modulus", "7"}, {"plain", 7}, {"text", "${env:N} $${"}}));
}

TEST(SourcesTest, ReportsWhatCannotBeReplaced) {
  EXPECT_THAT(Mistakes(Parse("shards:\n  s0: {sqlite: {file: \"${env:NOPE}\"}}\n")),
              ElementsAre("quarry.yaml:2:23 shards.s0.sqlite.file: environment variable NOPE is not set"));
  EXPECT_THAT(Mistakes(Parse("shards:\n  s0: {sqlite: {file: \"${file:/nope}\"}}\n")),
              ElementsAre(HasSubstr("file /nope cannot be read: No such file")));
  for (const char* bad : {"${file:nope}", "${nope}", "${env:X", "a ${}"}) {
    EXPECT_EQ(Mistakes(Parse(std::string("shards: {s0: {sqlite: {file: \"") + bad + "\"}}}")).size(), 1u) << bad;
  }
}

TEST(SourcesTest, ReadsOnlyRegularFilesOfBoundedSize) {
  EXPECT_THAT(ReadRegularFile("/dev/zero", 16), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadRegularFile("/proc/self/exe", 16), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace quarry
