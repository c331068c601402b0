// The one suite that every database backend passes. A binary adds its database with
//   INSTANTIATE_TEST_SUITE_P(Sqlite, BackendContract, testing::Values(BackendCase{"sqlite", MakeFixture}), CaseName);
// and links quarry_backend_contract, an object library that holds the tests.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/base/context.h"
#include "core/base/epoll_loop.h"
#include "core/catalog/catalog.h"
#include "core/model/ids.h"
#include "core/model/statement.h"
#include "core/model/value.h"
#include "gtest/gtest.h"

namespace quarry {

// The pool that a fixture's backend must have.
inline constexpr int64_t kContractSessionsMax = 4;
inline constexpr int64_t kContractWaitersMax = 2;
inline constexpr char kContractShard[] = "s0";

// One empty database and one Backend over it, with the bounds above and the shard name kContractShard. A test's
// own; gone with it.
class BackendFixture {
 public:
  virtual ~BackendFixture() = default;
  // Bound to the calling thread; tests drive it with RunOn.
  virtual EpollLoop& loop() = 0;
  virtual Backend& backend() = 0;
  virtual Dialect dialect() const = 0;
  // Several statements, separated by semicolons, past the backend. Blocks.
  virtual absl::Status Schema(const std::string& ddl) = 0;
  // What the database says of these tables. Blocks.
  virtual absl::StatusOr<ShardSchema> Introspect(std::vector<std::string> tables) = 0;
};

struct BackendCase {
  std::string name;
  std::function<std::unique_ptr<BackendFixture>()> make;
};

inline std::string CaseName(const testing::TestParamInfo<BackendCase>& info) { return info.param.name; }

// All tests are of this one suite; what is public is for the functions that they share.
class BackendContract : public testing::TestWithParam<BackendCase> {
 public:
  void SetUp() override;
  void TearDown() override;

  bool sqlite() const { return fixture_->dialect() == Dialect::kSqlite; }
  EpollLoop& loop() { return fixture_->loop(); }
  Backend& backend() { return fixture_->backend(); }
  // A call with this much time left.
  CallContext Within(absl::Duration timeout);
  CallContext AnyCall() { return Within(absl::Seconds(30)); }
  // SQL written with $1, $2, … and PostgreSQL's type names, in the fixture's dialect: placeholders, and in DDL
  // NUMERIC, JSON, JSONB and BYTEA.
  std::string Sql(const std::string& postgres_sql) const;
  void CreateTables(const std::string& ddl);

  // ---- Statements and tasks ----
  Statement Read(const std::string& sql, std::vector<Value> params = {}) const;
  Statement Write(const std::string& sql, std::vector<Value> params = {}) const;
  // A write that returns rows.
  Statement WriteReturning(const std::string& sql, std::vector<Value> params = {}) const;
  static Task TaskOf(std::vector<Statement> one_step);
  static Task TaskOfSteps(std::vector<Statement> one_each, Atomicity atomicity);

  // ---- Calls, driven to their end ----
  absl::StatusOr<TaskResult> Execute(Task task);
  absl::StatusOr<StepResult> Execute(Session& session, Statement statement);
  absl::StatusOr<std::unique_ptr<Session>> Lease(SessionOptions options = {});
  absl::Status Control(Session& session, const std::string& sql);
  absl::Status Commit(Session& session);
  absl::Status Rollback(Session& session);
  // All rows of one read.
  absl::StatusOr<std::vector<Row>> Rows(const std::string& sql, std::vector<Value> params = {});
  int64_t Count(const std::string& table);
  // Runs the loop until nothing is leased and nobody waits; fails the test after ten seconds.
  void ExpectNothingLeased();

  BackendFixture& fixture() { return *fixture_; }

 private:
  std::unique_ptr<BackendFixture> fixture_;
};

}  // namespace quarry
