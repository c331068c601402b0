// The suites that every backend passes for transactions over several shards. A binary adds its database with
//   INSTANTIATE_TEST_SUITE_P(Sqlite, TwoPhaseContract, testing::Values(TwoPhaseCase{"sqlite", MakeFixture}), TwoPhaseCaseName);
//   INSTANTIATE_TEST_SUITE_P(Sqlite, TwoPhaseRowsContract, …the same…);
// and links quarry_two_phase_contract, an object library that holds the tests. The second suite is for what keeps rows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/backend/two_phase.h"
#include "core/base/context.h"
#include "core/base/epoll_loop.h"
#include "core/base/gather.h"
#include "core/model/statement.h"
#include "gtest/gtest.h"

namespace quarry {

inline constexpr char kTwoPhaseDeployment[] = "contract";
inline constexpr char kTwoPhaseShard[] = "s1";

// One empty database and one Backend over it, of the deployment and shard above, with at least four sessions. A test's own.
class TwoPhaseFixture {
 public:
  virtual ~TwoPhaseFixture() = default;
  // Bound to the calling thread; tests drive it with RunOn.
  virtual EpollLoop& loop() = 0;
  // Another one after Restart.
  virtual Backend& backend() = 0;
  // The same database as another deployment sees it; null where deployments cannot share one.
  virtual Backend* stranger() { return nullptr; }
  // Several statements, separated by semicolons, past the backend. Blocks.
  virtual absl::Status Schema(const std::string& ddl) = 0;
  // The backend goes, the database ends as a crash ends it (not cleanly where that can be done), and both come again.
  virtual absl::Status Restart() = 0;
};

struct TwoPhaseCase {
  std::string name;
  std::function<std::unique_ptr<TwoPhaseFixture>()> make;
};

inline std::string TwoPhaseCaseName(const testing::TestParamInfo<TwoPhaseCase>& info) { return info.param.name; }

// What is public is for the functions that the tests share.
class TwoPhaseContract : public testing::TestWithParam<TwoPhaseCase> {
 public:
  void SetUp() override;
  void TearDown() override { fixture_.reset(); }

  EpollLoop& loop() { return fixture_->loop(); }
  Backend& backend() { return fixture_->backend(); }
  TwoPhase& two_phase() { return fixture_->backend().two_phase(); }
  TwoPhaseFixture& fixture() { return *fixture_; }
  CallContext Within(absl::Duration timeout);
  CallContext AnyCall() { return Within(absl::Seconds(20)); }
  // Runs the loop for about so long.
  void LetPass(absl::Duration time);
  // Runs the loop until `done` says so; false after ten seconds.
  bool Eventually(const std::function<bool()>& done);

  // ---- Sessions and rows of table note(id, body) ----
  static Statement Sql(const std::string& sql, bool writes);
  static Statement InsertNote(int64_t id);
  std::unique_ptr<Session> Lease(SessionOptions options = {});
  absl::Status Execute(Session& session, Statement statement, absl::Duration timeout = absl::Seconds(20));
  // A session that has inserted this note.
  std::unique_ptr<Session> Writer(int64_t note);
  absl::Status Prepare(Session& session, const GlobalTransaction& transaction, absl::Duration timeout = absl::Seconds(20));
  PreparedTask RunAndPrepare(Session& session, const Task& task, const GlobalTransaction& transaction,
                             absl::Duration timeout = absl::Seconds(20));
  // Leaves a branch that has inserted this note.
  void PrepareNote(const GlobalTransaction& transaction, int64_t note);
  absl::Status Commit(Session& session, const CommitOptions& options = kPlainCommit,
                      absl::Duration timeout = absl::Seconds(20));
  absl::StatusOr<std::optional<TaskResult>> Claim(Session& session, const RequestGuard& guard);
  // One statement in a transaction of its own.
  absl::StatusOr<TaskResult> ExecuteAlone(Statement statement, absl::Duration timeout = absl::Seconds(20));
  int64_t Notes();

  // ---- The shard's two-phase commit, driven to its end ----
  absl::StatusOr<BranchEnd> Finish(const GlobalTransaction& transaction, Verdict verdict);
  std::vector<Branch> Branches();
  std::vector<std::string> Parts(const std::vector<std::string>& ids);
  std::optional<Decision> FindDecision(const std::string& id);
  absl::StatusOr<Decision> DecideAbort(const std::string& id);
  std::vector<std::string> DecisionIds(const DecisionFilter& filter);
  absl::StatusOr<std::unique_ptr<GateHold>> CloseGate(GateWait wait, absl::Duration timeout = absl::Seconds(20));
  absl::StatusOr<bool> Release(GateHold& hold);

 private:
  std::unique_ptr<TwoPhaseFixture> fixture_;
};

class TwoPhaseRowsContract : public TwoPhaseContract {};

// Transactions of the contract: ids in ascending order.
GlobalTransaction TransactionOf(int number);
CommitOptions Deciding(int number);

}  // namespace quarry
