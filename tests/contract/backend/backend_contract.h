// What every backend keeps, databases and the fake alike: what a call, a session, a guard and a deadline mean. Nothing here
// reads SQL; rows_contract.h has what only a database can keep. A binary adds its backend with
//   INSTANTIATE_TEST_SUITE_P(Fake, BackendContract, testing::Values(BackendCase{"fake", MakeFixture}), CaseName);
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
#include "core/model/statement.h"
#include "gtest/gtest.h"

namespace quarry {

// One Backend over nothing yet. A test's own; gone with it.
class BackendFixture {
 public:
  virtual ~BackendFixture() = default;
  // Bound to the calling thread; tests drive it with RunOn.
  virtual EpollLoop& loop() = 0;
  virtual Backend& backend() = 0;

  // ---- Statements. A fake is told here how the next call ends. ----
  // Leaves one row, of its own for each id.
  virtual Statement Insert(int64_t id) = 0;
  // How many of those rows others see.
  virtual int64_t Inserted() = 0;
  // Is a write, and fails as kFailedPrecondition CONSTRAINT_VIOLATION.
  virtual Statement Refused() = 0;
  // Reads until it is stopped.
  virtual Statement Endless() = 0;
  // Reads rows with the numbers from 1 to `count` in column "x".
  virtual Statement Numbers(int64_t count) = 0;
};

struct BackendCase {
  std::string name;
  std::function<std::unique_ptr<BackendFixture>()> make;
};

inline std::string CaseName(const testing::TestParamInfo<BackendCase>& info) { return info.param.name; }

// What is public is for the functions that the tests share.
class BackendContract : public testing::TestWithParam<BackendCase> {
 public:
  void SetUp() override;
  void TearDown() override;

  BackendFixture& fixture() { return *fixture_; }
  EpollLoop& loop() { return fixture_->loop(); }
  Backend& backend() { return fixture_->backend(); }
  // A call with this much time left.
  CallContext Within(absl::Duration timeout);
  CallContext AnyCall() { return Within(absl::Seconds(30)); }
  // Runs the loop for about so long.
  void LetPass(absl::Duration time);

  static Task TaskOf(std::vector<Statement> one_step);
  static Task TaskOfSteps(std::vector<Statement> one_each, Atomicity atomicity);
  static RequestGuard GuardOf(const std::string& last_digits, uint64_t hash);
  static SessionOptions Options(bool transaction, bool read_only);

  // ---- Calls, driven to their end ----
  absl::StatusOr<TaskResult> Execute(Task task);
  absl::StatusOr<StepResult> Execute(Session& session, Statement statement);
  absl::StatusOr<std::unique_ptr<Session>> Lease(SessionOptions options = {});
  absl::Status Control(Session& session, const std::string& sql);
  absl::Status Commit(Session& session);
  absl::Status Rollback(Session& session);
  // Runs the loop until nothing is leased and nobody waits; fails the test after ten seconds.
  void ExpectNothingLeased();

 private:
  std::unique_ptr<BackendFixture> fixture_;
};

}  // namespace quarry
