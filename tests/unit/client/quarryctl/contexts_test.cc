#include "client/quarryctl/contexts.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/status_matchers.h"

namespace quarry::ctl {
namespace {

class ContextsTest : public ::testing::Test {
 protected:
  ContextsTest() {
    std::string pattern = ::testing::TempDir() + "contexts-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ + "/new/config.yaml";
  }
  ~ContextsTest() override { std::filesystem::remove_all(folder_); }
  void Write(const std::string& text) {
    path_ = folder_ + "/config.yaml";
    std::ofstream(path_) << text;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(ContextsTest, ReadsBackWhatItSaved) {
  ASSERT_OK_AND_ASSIGN(Contexts contexts, LoadContexts(path_));
  EXPECT_TRUE(contexts.by_name.empty());
  contexts.current = "prod";
  contexts.by_name["prod"] = Context{"db.example:7400", absl::Milliseconds(1500)};
  ASSERT_THAT(SaveContexts(path_, contexts), IsOk());
  ASSERT_OK_AND_ASSIGN(const Contexts again, LoadContexts(path_));
  EXPECT_EQ(again.current, "prod");
  EXPECT_EQ(again.by_name.at("prod").address, "db.example:7400");
  EXPECT_EQ(again.by_name.at("prod").timeout, absl::Milliseconds(1500));
}

TEST_F(ContextsTest, NamesTheLineOfAMistake) {
  for (const char* text :
       {"current: a\ncontexts:\n  a:\n    adress: x\n",
        "current: a\ncontexts:\n  a:\n    timeout: soon\n", "current: a\nother: 1\n", "a: [\n"}) {
    Write(text);
    const absl::Status status = LoadContexts(path_).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << text;
    EXPECT_THAT(std::string(status.message()), ::testing::ContainsRegex("config.yaml:[0-9]+: "))
        << text;
  }
}

TEST_F(ContextsTest, PrefersTheCommandLineToTheEnvironmentToTheFile) {
  Contexts contexts;
  contexts.by_name["a"].address = "a:1";
  contexts.by_name["b"].address = "b:1";
  ContextOverrides overrides;
  EXPECT_EQ(ResolveContext(contexts, overrides)->address, Context().address);
  contexts.current = "a";
  EXPECT_EQ(ResolveContext(contexts, overrides)->address, "a:1");
  overrides.env_address = "env:1";
  EXPECT_EQ(ResolveContext(contexts, overrides)->address, "env:1");
  overrides.context = "b";
  EXPECT_EQ(ResolveContext(contexts, overrides)->address, "b:1");
  overrides.address = "flag:1";
  EXPECT_EQ(ResolveContext(contexts, overrides)->address, "flag:1");
  overrides.context = "c";
  EXPECT_THAT(ResolveContext(contexts, overrides), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace quarry::ctl
