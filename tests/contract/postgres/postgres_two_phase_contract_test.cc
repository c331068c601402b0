// The two-phase contract, kept by PostgreSQL.
#include <signal.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/postgres/backend.h"
#include "tests/contract/backend/two_phase_contract.h"
#include "tests/support/postgres/postgres_cluster.h"

namespace quarry {
namespace {

class PostgresTwoPhaseFixture final : public TwoPhaseFixture {
 public:
  PostgresTwoPhaseFixture() {
    static std::atomic<int> next{0};
    database_ = absl::StrCat("two_phase_", next++);
    const absl::StatusOr<std::string> conninfo = PostgresCluster::Shared().CreateDatabase(database_);
    EXPECT_TRUE(conninfo.ok()) << conninfo.status();
    conninfo_ = conninfo.value_or("");
    backend_ = Make(kTwoPhaseDeployment);
    stranger_ = Make("other");
  }
  ~PostgresTwoPhaseFixture() override {
    backend_.reset();
    stranger_.reset();
    // A branch that is left would keep the database, and its slot, for ever.
    const absl::StatusOr<std::string> left = PostgresCluster::Shared().QueryOne(
        database_, "SELECT coalesce(string_agg(format('ROLLBACK PREPARED %L', gid), ';'), '') FROM pg_prepared_xacts "
                   "WHERE database = current_database()");
    if (left.ok() && !left->empty()) PostgresCluster::Shared().Run(database_, *left).IgnoreError();
  }
  EpollLoop& loop() override { return loop_; }
  Backend& backend() override { return *backend_; }
  Backend* stranger() override { return stranger_.get(); }
  absl::Status Schema(const std::string& ddl) override { return PostgresCluster::Shared().Run(database_, ddl); }
  absl::Status Restart() override {
    backend_.reset();
    stranger_.reset();
    PostgresCluster::Shared().Kill(SIGKILL);
    const absl::Status started = PostgresCluster::Shared().Start();
    backend_ = Make(kTwoPhaseDeployment);
    stranger_ = Make("other");
    return started;
  }

 private:
  std::unique_ptr<Backend> Make(const std::string& deployment) {
    PostgresOptions options;
    options.shard = kTwoPhaseShard;
    options.conninfo = conninfo_;
    options.deployment = deployment;
    options.sessions_max = 4;
    return MakePostgresBackend(loop_, options);
  }

  std::string database_;
  std::string conninfo_;
  EpollLoop loop_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Backend> stranger_;
};

const TwoPhaseCase kCase = {"postgres", [] { return std::make_unique<PostgresTwoPhaseFixture>(); }};
INSTANTIATE_TEST_SUITE_P(Postgres, TwoPhaseContract, testing::Values(kCase), TwoPhaseCaseName);
INSTANTIATE_TEST_SUITE_P(Postgres, TwoPhaseRowsContract, testing::Values(kCase), TwoPhaseCaseName);

}  // namespace
}  // namespace quarry
