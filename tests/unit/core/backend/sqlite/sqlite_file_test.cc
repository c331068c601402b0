#include "core/backend/sqlite/sqlite_file.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace quarry {
namespace {

class SqliteFileTest : public testing::Test {
 protected:
  SqliteOptions Options(const std::string& file) const {
    SqliteOptions options;
    options.file = file;
    options.shard = "s0";
    return options;
  }
  absl::StatusOr<std::unique_ptr<SqliteFile>> Open() const { return SqliteFile::Open(Options(file_)); }
  void Damage() const { std::ofstream(file_) << std::string(8192, 'x'); }
  // Another file with one table, moved in as one step.
  void PutGoodCopy() const {
    const std::string copy = directory_.path() + "/copy.db";
    {
      ASSERT_OK_AND_ASSIGN(const std::shared_ptr<SqliteDatabase> database, SqliteDatabase::Open(Options(copy)));
      ASSERT_THAT(database->RunScript("CREATE TABLE kept(id BIGINT PRIMARY KEY)"), IsOk());
    }
    std::filesystem::rename(copy, file_);
  }

  const TempDirectory directory_;
  const std::string file_ = directory_.path() + "/s0.db";
};

TEST_F(SqliteFileTest, CreatesAFileThatIsNotThere) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SqliteFile> file, Open());
  EXPECT_THAT(file->database(), IsOk());
  EXPECT_TRUE(std::filesystem::exists(file_));
}

TEST_F(SqliteFileTest, AFileThatCannotBeCreatedIsRefused) {
  const absl::Status refused = SqliteFile::Open(Options(directory_.path() + "/none/s0.db")).status();
  EXPECT_THAT(refused, HasReason(reason::kShardUnavailable));
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("No such file or directory"));
}

TEST_F(SqliteFileTest, AFileWithAnotherOwnerIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SqliteFile> owner, Open());
  const absl::Status refused = Open().status();
  EXPECT_THAT(refused, HasReason(reason::kShardUnavailable));
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("is in use by process"));
}

TEST_F(SqliteFileTest, ADamagedFileIsTriedAgainUntilAGoodOneIsInItsPlace) {
  Damage();
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SqliteFile> file, Open());
  EXPECT_THAT(file->database(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(file->database(), HasReason(reason::kShardUnavailable));
  EXPECT_THAT(std::string(file->database().status().message()),
              testing::AllOf(testing::HasSubstr("shard s0"), testing::HasSubstr(file_ + " is damaged"),
                             testing::HasSubstr("restore it from a backup")));
  EXPECT_EQ(DetailOf(file->database().status()).facts["shard"], "s0");
  EXPECT_TRUE(DetailOf(file->database().status()).retry_after.has_value());
  EXPECT_THAT(file->Reopen(), HasReason(reason::kShardUnavailable));
  PutGoodCopy();
  EXPECT_THAT(file->database(), HasReason(reason::kShardUnavailable)) << "nobody has tried yet";
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<SqliteDatabase> database, file->Reopen());
  ASSERT_OK_AND_ASSIGN(const ShardSchema schema, database->Introspect({"kept"}));
  EXPECT_EQ(schema.tables.size(), 1U);
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<SqliteDatabase> again, file->Reopen());
  EXPECT_EQ(again, database) << "it is opened once";
}

TEST_F(SqliteFileTest, NothingIsCreatedWhereAFileIsBeingMended) {
  Damage();
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SqliteFile> file, Open());
  std::filesystem::remove(file_);
  EXPECT_THAT(file->Reopen(), HasReason(reason::kShardUnavailable));
  EXPECT_THAT(std::string(file->database().status().message()), testing::HasSubstr("is missing or empty"));
  EXPECT_FALSE(std::filesystem::exists(file_));
  std::ofstream(file_).close();
  EXPECT_THAT(file->Reopen(), HasReason(reason::kShardUnavailable));
  EXPECT_EQ(std::filesystem::file_size(file_), 0U);
  PutGoodCopy();
  EXPECT_THAT(file->Reopen(), IsOk());
  SqliteOptions only_existing = Options(directory_.path() + "/other.db");
  only_existing.create = false;
  EXPECT_THAT(SqliteDatabase::Open(only_existing), HasReason(reason::kShardUnavailable));
  EXPECT_FALSE(std::filesystem::exists(only_existing.file));
}

TEST_F(SqliteFileTest, AMendedFileThatSomebodyElseHasTakenWaitsForHim) {
  Damage();
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SqliteFile> file, Open());
  PutGoodCopy();
  {
    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<SqliteDatabase> other, SqliteDatabase::Open(Options(file_)));
    EXPECT_THAT(std::string(file->Reopen().status().message()), testing::HasSubstr("is in use by process"));
  }
  EXPECT_THAT(file->Reopen(), IsOk());
}

TEST_F(SqliteFileTest, ManyWhoTryAtOnceGetOneDatabase) {
  Damage();
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SqliteFile> file, Open());
  PutGoodCopy();
  std::vector<std::thread> trying;
  for (int i = 0; i < 8; ++i) trying.emplace_back([&file] { file->Reopen().status().IgnoreError(); });
  for (std::thread& thread : trying) thread.join();
  EXPECT_THAT(file->database(), IsOk());
}

}  // namespace
}  // namespace quarry
