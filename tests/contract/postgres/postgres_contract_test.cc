// The backend contract, kept by PostgreSQL.
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/postgres/backend.h"
#include "core/backend/postgres/introspect.h"
#include "tests/contract/backend/rows_contract.h"
#include "tests/support/postgres/postgres_cluster.h"

namespace quarry {
namespace {

class PostgresFixture final : public RowsFixture {
 public:
  PostgresFixture() {
    static std::atomic<int> next{0};
    database_ = absl::StrCat("contract_", next++);
    const absl::StatusOr<std::string> conninfo = PostgresCluster::Shared().CreateDatabase(database_);
    EXPECT_TRUE(conninfo.ok()) << conninfo.status();
    PostgresOptions options;
    options.shard = kContractShard;
    options.conninfo = conninfo.value_or("");
    options.sessions_max = kContractSessionsMax;
    options.waiters_max = kContractWaitersMax;
    backend_ = MakePostgresBackend(loop_, options);
  }
  EpollLoop& loop() override { return loop_; }
  Backend& backend() override { return *backend_; }
  Dialect dialect() const override { return Dialect::kPostgres; }
  absl::Status Schema(const std::string& ddl) override { return PostgresCluster::Shared().Run(database_, ddl); }
  absl::StatusOr<ShardSchema> Introspect(std::vector<std::string> tables) override {
    absl::StatusOr<ShardSchema> schema =
        IntrospectPostgres(PostgresCluster::Shared().conninfo(database_), tables, absl::Seconds(10));
    if (schema.ok()) schema->shard = kContractShard;
    return schema;
  }

 private:
  std::string database_;
  EpollLoop loop_;
  std::unique_ptr<Backend> backend_;
};

std::unique_ptr<BackendFixture> MakeFixture() { return std::make_unique<PostgresFixture>(); }

INSTANTIATE_TEST_SUITE_P(Postgres, BackendContract, testing::Values(BackendCase{"postgres", MakeFixture}), CaseName);
INSTANTIATE_TEST_SUITE_P(Postgres, BackendRowsContract, testing::Values(BackendCase{"postgres", MakeFixture}), CaseName);

}  // namespace
}  // namespace quarry
