// The contract for transactions over several shards, over SQLite.
#include <memory>
#include <string>
#include <utility>

#include "core/backend/sqlite/sqlite_database.h"
#include "core/base/status_macros.h"
#include "tests/contract/backend/two_phase_contract.h"
#include "tests/support/temp_directory.h"

namespace quarry {
namespace {

class SqliteFixture final : public TwoPhaseFixture {
 public:
  absl::Status Open() {
    SqliteOptions options;
    options.file = directory_.path() + "/s1.db";
    options.shard = kTwoPhaseShard;
    QUARRY_ASSIGN_OR_RETURN(database_, SqliteDatabase::Open(options));
    backend_ = MakeSqliteBackend(loop_, database_, LeasePoolOptions());
    return absl::OkStatus();
  }
  EpollLoop& loop() override { return loop_; }
  Backend& backend() override { return *backend_; }
  absl::Status Schema(const std::string& ddl) override { return database_->RunScript(ddl); }
  absl::Status Restart() override {
    backend_.reset();
    database_.reset();
    return Open();
  }

 private:
  TempDirectory directory_;
  EpollLoop loop_;
  std::shared_ptr<SqliteDatabase> database_;
  std::unique_ptr<Backend> backend_;
};

std::unique_ptr<TwoPhaseFixture> MakeFixture() {
  auto fixture = std::make_unique<SqliteFixture>();
  return fixture->Open().ok() ? std::move(fixture) : nullptr;
}

const TwoPhaseCase kSqlite{"sqlite", MakeFixture};

INSTANTIATE_TEST_SUITE_P(Sqlite, TwoPhaseContract, testing::Values(kSqlite), TwoPhaseCaseName);
INSTANTIATE_TEST_SUITE_P(Sqlite, TwoPhaseRowsContract, testing::Values(kSqlite), TwoPhaseCaseName);

}  // namespace
}  // namespace quarry
