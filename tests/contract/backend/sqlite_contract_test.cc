// The backend contract over SQLite.
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/sqlite/sqlite_database.h"
#include "tests/contract/backend/rows_contract.h"
#include "tests/support/temp_directory.h"

namespace quarry {
namespace {

class SqliteFixture final : public RowsFixture {
 public:
  explicit SqliteFixture(std::shared_ptr<SqliteDatabase> database, TempDirectory directory)
      : directory_(std::move(directory)), database_(std::move(database)) {
    LeasePoolOptions pool;
    pool.name = "shard s0";
    pool.sessions_max = kContractSessionsMax;
    pool.waiters_max = kContractWaitersMax;
    backend_ = MakeSqliteBackend(loop_, database_, pool);
  }
  EpollLoop& loop() override { return loop_; }
  Backend& backend() override { return *backend_; }
  Dialect dialect() const override { return Dialect::kSqlite; }
  absl::Status Schema(const std::string& ddl) override { return database_->RunScript(ddl); }
  absl::StatusOr<ShardSchema> Introspect(std::vector<std::string> tables) override {
    return database_->Introspect(tables);
  }

 private:
  TempDirectory directory_;
  EpollLoop loop_;
  std::shared_ptr<SqliteDatabase> database_;
  std::unique_ptr<Backend> backend_;
};

std::unique_ptr<BackendFixture> MakeFixture() {
  TempDirectory directory;
  SqliteOptions options;
  options.file = directory.path() + "/s0.db";
  options.shard = kContractShard;
  absl::StatusOr<std::shared_ptr<SqliteDatabase>> database = SqliteDatabase::Open(options);
  if (!database.ok()) return nullptr;
  return std::make_unique<SqliteFixture>(*std::move(database), std::move(directory));
}

INSTANTIATE_TEST_SUITE_P(Sqlite, BackendContract, testing::Values(BackendCase{"sqlite", MakeFixture}), CaseName);
INSTANTIATE_TEST_SUITE_P(Sqlite, BackendRowsContract, testing::Values(BackendCase{"sqlite", MakeFixture}), CaseName);

}  // namespace
}  // namespace quarry
