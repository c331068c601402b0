#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/core/engine/test_database.h"

namespace quarry {
namespace {

class SqliteTestDatabase final : public TestDatabase {
 public:
  explicit SqliteTestDatabase(size_t shard) {
    SqliteOptions options;
    options.shard = absl::StrCat("s", shard);
    options.file = absl::StrCat(directory_.path(), "/", options.shard, ".db");
    absl::StatusOr<std::shared_ptr<SqliteDatabase>> database = SqliteDatabase::Open(options);
    if (!database.ok()) std::abort();
    database_ = *std::move(database);
  }
  Dialect dialect() const override { return Dialect::kSqlite; }
  absl::Status RunScript(const std::string& sql) override { return database_->RunScript(sql); }
  absl::StatusOr<ShardSchema> Introspect(const std::vector<std::string>& tables) override {
    return database_->Introspect(tables);
  }
  std::unique_ptr<Backend> MakeBackend(Loop& loop) override {
    LeasePoolOptions pool;
    pool.name = "shard";
    pool.sessions_max = 8;
    pool.waiters_max = 8;
    return MakeSqliteBackend(loop, database_, pool);
  }

 private:
  TempDirectory directory_;
  std::shared_ptr<SqliteDatabase> database_;
};

}  // namespace

std::unique_ptr<TestDatabase> MakeSqliteTestDatabase(size_t shard) { return std::make_unique<SqliteTestDatabase>(shard); }

}  // namespace quarry
