#include "server/wiring/token_secret.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace quarry {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class TokenSecretTest : public testing::Test {
 protected:
  TokenSecretTest() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_)));
  }
  ~TokenSecretTest() override { spdlog::set_default_logger(before_); }

  Config Over(std::vector<Dialect> dialects) const {
    Config config;
    config.data_dir = folder_.path();
    for (const Dialect dialect : dialects) {
      config.shards.emplace_back();
      config.shards.back().dialect = dialect;
    }
    return config;
  }
  std::string file() const { return folder_.path() + "/token.key"; }
  std::string Kept() const {
    std::ifstream in(file(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  void Keep(const std::string& text) {
    std::ofstream(file(), std::ios::binary) << text;
    ASSERT_EQ(chmod(file().c_str(), 0600), 0);
  }

  TempDirectory folder_;
  std::ostringstream log_;
  const std::shared_ptr<spdlog::logger> before_;
};

TEST_F(TokenSecretTest, TheFirstStartMakesAKeyThatOnlyItsOwnerReads) {
  const mode_t before = umask(0);
  const absl::StatusOr<std::string> secret = TokenSecret(Over({Dialect::kSqlite}));
  umask(before);
  ASSERT_THAT(secret, IsOk());
  EXPECT_THAT(*secret, SizeIs(64));
  EXPECT_EQ(secret->find_first_not_of("0123456789abcdef"), std::string::npos) << *secret;
  EXPECT_EQ(Kept(), *secret);
  struct stat about = {};
  ASSERT_EQ(stat(file().c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777, 0600u);
  int files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_.path())) ++files;
  EXPECT_EQ(files, 1) << "what it was written to first is gone";
  EXPECT_THAT(log_.str(), IsEmpty());
}

TEST_F(TokenSecretTest, LaterStartsReadIt) {
  ASSERT_OK_AND_ASSIGN(const std::string first, TokenSecret(Over({Dialect::kSqlite})));
  EXPECT_THAT(TokenSecret(Over({Dialect::kSqlite})).value(), first);
  Keep(first + "\n");
  EXPECT_THAT(TokenSecret(Over({Dialect::kSqlite})).value(), first) << "an editor's last line feed does no harm";
  TempDirectory elsewhere;
  Config other = Over({Dialect::kSqlite});
  other.data_dir = elsewhere.path();
  ASSERT_OK_AND_ASSIGN(const std::string second, TokenSecret(other));
  EXPECT_NE(second, first);
}

TEST_F(TokenSecretTest, StartsAtTheSameTimeAgreeOnOne) {
  std::vector<std::string> secrets(8);
  std::vector<std::thread> starts;
  for (std::string& secret : secrets) {
    starts.emplace_back([this, &secret] { secret = TokenSecret(Over({Dialect::kSqlite})).value_or("none"); });
  }
  for (std::thread& start : starts) start.join();
  EXPECT_THAT(secrets, testing::Each(Kept()));
  EXPECT_THAT(Kept(), SizeIs(64));
}

TEST_F(TokenSecretTest, TheConfiguredSecretWinsAndLeavesNoFile) {
  Config config = Over({Dialect::kSqlite, Dialect::kPostgres});
  config.tokens.secret = "sixteen bytes or more";
  EXPECT_EQ(TokenSecret(config).value(), "sixteen bytes or more");
  EXPECT_FALSE(std::filesystem::exists(file()));
  EXPECT_THAT(log_.str(), IsEmpty());
  Keep("short");
  EXPECT_EQ(TokenSecret(config).value(), "sixteen bytes or more") << "the file does not matter then";
}

TEST_F(TokenSecretTest, AKeyThatIsTooShortIsRefused) {
  for (const std::string& text : {std::string(), std::string("short"), std::string(63, 'a')}) {
    Keep(text);
    const absl::Status status = TokenSecret(Over({Dialect::kSqlite})).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(file() + " does not hold a key; remove it"));
    EXPECT_EQ(Kept(), text) << "nothing is written over it";
  }
}

TEST_F(TokenSecretTest, AKeyThatCannotBeReadIsRefused) {
  // A directory in its place cannot be read by anybody, whoever runs the test.
  std::filesystem::create_directory(file());
  absl::Status status = TokenSecret(Over({Dialect::kSqlite})).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot read " + file() + ": Is a directory"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("check data_dir and its rights, or set tokens.secret"));
  std::filesystem::remove(file());
  if (geteuid() == 0) return;  // May read everything.
  Keep(std::string(64, 'a'));
  ASSERT_EQ(chmod(file().c_str(), 0), 0);
  status = TokenSecret(Over({Dialect::kSqlite})).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot read " + file() + ": Permission denied"));
}

TEST_F(TokenSecretTest, ADataDirectoryThatIsNotThereIsRefused) {
  Config config = Over({Dialect::kSqlite, Dialect::kPostgres});
  config.data_dir = folder_.path() + "/none";
  const absl::Status status = TokenSecret(config).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot create " + config.data_dir + "/token.key"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("or set tokens.secret"));
}

TEST_F(TokenSecretTest, OverPostgresAloneItLastsAsLongAsTheProcessWhereNothingCanBeKept) {
  Config config = Over({Dialect::kPostgres});
  config.data_dir = folder_.path() + "/none";
  ASSERT_OK_AND_ASSIGN(const std::string first, TokenSecret(config));
  ASSERT_OK_AND_ASSIGN(const std::string second, TokenSecret(config));
  EXPECT_THAT(first, SizeIs(64));
  EXPECT_NE(first, second);
  EXPECT_THAT(log_.str(), HasSubstr("several gateways of one deployment need a common one"));
  EXPECT_THAT(log_.str(), HasSubstr("page and resume tokens end with this process"));
  EXPECT_EQ(log_.str().find(first), std::string::npos) << "no log shows a secret";
}

TEST_F(TokenSecretTest, WarnsOfAKeyThatOthersCanRead) {
  Keep(std::string(64, 'a'));
  ASSERT_EQ(chmod(file().c_str(), 0644), 0);
  EXPECT_EQ(TokenSecret(Over({Dialect::kSqlite})).value(), std::string(64, 'a'));
  EXPECT_THAT(log_.str(), HasSubstr("chmod 600"));
}

}  // namespace
}  // namespace quarry
