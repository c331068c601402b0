// Every other shard is PostgreSQL, the first one among them; the rest are SQLite.
#include <atomic>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/postgres/backend.h"
#include "core/backend/postgres/introspect.h"
#include "tests/support/postgres/postgres_cluster.h"
#include "tests/unit/core/engine/test_database.h"

namespace quarry {
namespace {

class PostgresTestDatabase final : public TestDatabase {
 public:
  explicit PostgresTestDatabase(size_t shard) : shard_(absl::StrCat("s", shard)) {
    static std::atomic<int> next{0};
    name_ = absl::StrCat("engine_", next++);
    if (!PostgresCluster::Shared().CreateDatabase(name_).ok()) std::abort();
  }
  Dialect dialect() const override { return Dialect::kPostgres; }
  absl::Status RunScript(const std::string& sql) override {
    return sql.empty() ? absl::OkStatus() : PostgresCluster::Shared().Run(name_, sql);
  }
  absl::StatusOr<ShardSchema> Introspect(const std::vector<std::string>& tables) override {
    return IntrospectPostgres(PostgresCluster::Shared().conninfo(name_), tables, absl::Seconds(10));
  }
  std::unique_ptr<Backend> MakeBackend(Loop& loop) override {
    PostgresOptions options;
    options.shard = shard_;
    options.conninfo = PostgresCluster::Shared().conninfo(name_);
    options.sessions_max = 4;
    options.pipelines = 1;
    return MakePostgresBackend(loop, options);
  }

 private:
  const std::string shard_;
  std::string name_;
};

}  // namespace

std::unique_ptr<TestDatabase> MakeTestDatabase(size_t shard) {
  if (shard % 2 == 1) return MakeSqliteTestDatabase(shard);
  return std::make_unique<PostgresTestDatabase>(shard);
}

}  // namespace quarry
