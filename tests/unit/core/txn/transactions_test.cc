#include "core/txn/transactions.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/engine/scripted_backend.h"

namespace quarry {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr ShardId kFirst{0};
constexpr ShardId kSecond{1};

class TransactionsTest : public ::testing::Test {
 protected:
  TransactionsTest() {
    options_.open_max = 3;
    options_.remembered_max = 4;
    Make();
  }
  ~TransactionsTest() override {
    transactions_.reset();
    commits_.reset();
    loop_.Settle();
    EXPECT_EQ(shard_.sessions, 0);
    EXPECT_EQ(other_.sessions, 0);
    EXPECT_EQ(shard_.streams, 0);
    EXPECT_EQ(shard_.running, 0);
  }

  void Make() {
    transactions_.reset();
    commits_.emplace(loop_, random_, options_.commit_timeout);
    cuts_.emplace(loop_, random_, SnapshotCutOptions());
    transactions_.emplace(loop_, random_, 5, options_,
                          [this] {
                            return std::vector<ShardParty>{{&backend_, "s0", Dialect::kSqlite}, {&other_backend_, "s1", Dialect::kSqlite}};
                          },
                          *commits_, *cuts_);
  }
  std::string Begin(BeginOptions options = BeginOptions()) {
    const absl::StatusOr<std::string> id = transactions_->Begin(options);
    EXPECT_THAT(id, IsOk());
    return id.value_or("");
  }
  absl::StatusOr<TaskResult> Run(const std::string& id, const Task& task) {
    return RunNow(loop_, transactions_->Execute(id, task, ctx_));
  }
  absl::Status Savepoint(const std::string& id, SavepointAction action, const std::string& name) {
    return RunNow(loop_, transactions_->Savepoint(id, action, name, ctx_));
  }
  absl::Status Commit(const std::string& id) { return RunNow(loop_, transactions_->Commit(id, false, ctx_)).status; }
  absl::Status Rollback(const std::string& id) { return RunNow(loop_, transactions_->Rollback(id, ctx_)); }
  TransactionState StateOf(const std::string& id) {
    const absl::StatusOr<TransactionState> state = transactions_->State(id);
    EXPECT_THAT(state, IsOk());
    return state.value_or(TransactionState::kActive);
  }

  ManualLoop loop_;
  SeededRandom random_{1};
  ShardScript shard_;
  ScriptedBackend backend_{shard_};
  ShardScript other_;
  ScriptedBackend other_backend_{other_};
  TransactionOptions options_;
  std::optional<Commits> commits_;
  std::optional<SnapshotCuts> cuts_;
  std::optional<Transactions> transactions_;
  CallContext ctx_{loop_};
};

Task WriteTask(std::vector<std::string> sqls, ShardId shard = kFirst, Atomicity atomicity = Atomicity::kAll) {
  Task task;
  task.shard = shard;
  task.atomicity = atomicity;
  for (std::string& sql : sqls) {
    Step& step = task.steps.emplace_back();
    step.item = static_cast<uint32_t>(task.steps.size() - 1);
    Statement& statement = step.statements.emplace_back();
    statement.sql = std::make_shared<const std::string>(std::move(sql));
    statement.writes = true;
  }
  return task;
}

Task Guarded(std::string id, uint64_t hash, std::string sql = "W") {
  Task task = WriteTask({std::move(sql)});
  task.guard = RequestGuard{std::move(id), hash};
  return task;
}

// Statements with this text fail.
ShardScript::StepAnswer FailOn(std::string sql, absl::Status status) {
  return [sql = std::move(sql), status](const Step& step) -> absl::StatusOr<StepResult> {
    StepResult result;
    for (const Statement& statement : step.statements) {
      if (*statement.sql == sql) return status;
      result.statements.emplace_back().affected = 1;
    }
    return result;
  };
}

TEST_F(TransactionsTest, OpensNothingBeforeItsFirstStatement) {
  const std::string id = Begin();
  EXPECT_THAT(shard_.leased, IsEmpty());
  EXPECT_THAT(*transactions_->ShardsOf(id), IsEmpty());
  EXPECT_EQ(StateOf(id), TransactionState::kActive);
  EXPECT_THAT(Commit(id), IsOk());
  EXPECT_EQ(StateOf(id), TransactionState::kCommitted);
  EXPECT_EQ(transactions_->size(), 0u);
}

TEST_F(TransactionsTest, RunsItsStatementsOnOneSessionAndCommitsIt) {
  BeginOptions options;
  options.read_only = true;
  options.isolation = Isolation::kSerializable;
  const std::string id = Begin(options);
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  EXPECT_THAT(Run(id, WriteTask({"B"})), IsOk());
  ASSERT_EQ(shard_.leased.size(), 1u);
  EXPECT_TRUE(shard_.leased[0].transaction);
  EXPECT_TRUE(shard_.leased[0].read_only);
  EXPECT_EQ(shard_.leased[0].isolation, Isolation::kSerializable);
  EXPECT_EQ(shard_.sessions, 1);
  EXPECT_THAT(Commit(id), IsOk());
  EXPECT_EQ(shard_.commits, 1);
  EXPECT_EQ(shard_.sessions, 0);
}

TEST_F(TransactionsTest, RefusesASecondShardWhereOneWasAskedForAndStaysUsable) {
  BeginOptions options;
  options.single_shard = true;
  const std::string id = Begin(options);
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  EXPECT_THAT(Run(id, WriteTask({"B"}, kSecond)), HasReason(reason::kCrossShardTransaction));
  EXPECT_THAT(Run(id, WriteTask({"C"})), IsOk());
  EXPECT_THAT(Commit(id), IsOk());
}

TEST_F(TransactionsTest, CommitsSeveralShardsInTwoPhases) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  EXPECT_THAT(Run(id, WriteTask({"B"}, kSecond)), IsOk());
  EXPECT_THAT(*transactions_->ShardsOf(id), ElementsAre(kFirst, kSecond));
  EXPECT_THAT(Commit(id), IsOk());
  EXPECT_EQ(StateOf(id), TransactionState::kCommitted);
  // The lowest writer is home: it commits with the decision, the other is prepared and finished.
  EXPECT_THAT(other_.two_phase.state().parts, ElementsAre(id));
  EXPECT_THAT(other_.two_phase.state().branches, IsEmpty());
  EXPECT_EQ(shard_.commits, 1);
  ASSERT_THAT(shard_.two_phase.state().decisions, ::testing::Contains(::testing::Key(id)));
  EXPECT_THAT(shard_.two_phase.state().decisions[id].participants, ElementsAre("s0", "s1"));
  EXPECT_EQ(commits_->stats().two_phase, 1);
}

TEST_F(TransactionsTest, PaysNothingWhereOneShardAloneWasWritten) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  Task read = WriteTask({"R"}, kSecond);
  read.steps[0].statements[0].writes = false;
  EXPECT_THAT(Run(id, read), IsOk());
  EXPECT_THAT(Commit(id), IsOk());
  EXPECT_EQ(shard_.commits, 1);
  EXPECT_EQ(other_.commits, 1);
  EXPECT_THAT(shard_.two_phase.state().decisions, IsEmpty());
  EXPECT_THAT(other_.two_phase.state().decisions, IsEmpty());
  EXPECT_EQ(commits_->stats().one_phase, 1);
}

TEST_F(TransactionsTest, RefusesTheSecondShardsWriteWhereTwoPhasesCannotWorkAndGoesOn) {
  other_.two_phase.state().fail["Check"] =
      MakeError(absl::StatusCode::kFailedPrecondition, reason::kTwoPhaseUnavailable, "max_prepared_transactions is 0");
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  const absl::Status refused = Run(id, WriteTask({"B"}, kSecond)).status();
  EXPECT_THAT(refused, HasReason(reason::kTwoPhaseUnavailable));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("s1"));
  EXPECT_THAT(other_.log, Not(Contains("step")));
  EXPECT_THAT(Commit(id), IsOk());
  EXPECT_EQ(shard_.commits, 1);
}

TEST_F(TransactionsTest, LeavesNothingAnywhereWhenAShardCannotPrepare) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  EXPECT_THAT(Run(id, WriteTask({"B"}, kSecond)), IsOk());
  other_.fail[CallKind::kPrepare] = MakeError(absl::StatusCode::kAborted, reason::kSerializationFailure, "conflict");
  EXPECT_THAT(Commit(id), HasReason(reason::kSerializationFailure));
  EXPECT_EQ(StateOf(id), TransactionState::kRolledBack);
  EXPECT_EQ(other_.commits + shard_.commits, 0);
  EXPECT_THAT(other_.two_phase.state().parts, IsEmpty());
}

TEST_F(TransactionsTest, SettlesALostDecisionBeforeItAnswers) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  EXPECT_THAT(Run(id, WriteTask({"B"}, kSecond)), IsOk());
  // The decision was stored, its answer lost.
  shard_.two_phase.state().lose["Commit"] = MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown, "lost");
  EXPECT_THAT(Commit(id), IsOk());
  EXPECT_THAT(other_.two_phase.state().parts, ElementsAre(id));
  EXPECT_THAT(shard_.two_phase.state().log, Contains("DecideAbort"));
}

TEST_F(TransactionsTest, IsCommittedThoughAShardDoesNotFinishInTime) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  EXPECT_THAT(Run(id, WriteTask({"B"}, kSecond)), IsOk());
  other_.two_phase.state().fail["Finish"] = Down();
  Started<CommitEnd> commit(transactions_->Commit(id, false, ctx_));
  for (int i = 0; i < 100 && !commit.answered(); ++i) loop_.Advance(absl::Milliseconds(100));
  ASSERT_TRUE(commit.answered());
  EXPECT_THAT(commit.result().status, IsOk());
  EXPECT_EQ(commit.result().outcome, CommitOutcome::kCommittedUnfinished);
  EXPECT_EQ(StateOf(id), TransactionState::kCommitted);
  EXPECT_THAT(other_.two_phase.state().branches, ::testing::Contains(::testing::Key(id)));
}

TEST_F(TransactionsTest, KeepsADecisionOfOneShardWhereItIsAskedTo) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  EXPECT_THAT(RunNow(loop_, transactions_->Commit(id, true, ctx_)).status, IsOk());
  ASSERT_THAT(shard_.two_phase.state().decisions, ::testing::Contains(::testing::Key(id)));
  EXPECT_THAT(shard_.two_phase.state().decisions[id].participants, ElementsAre("s0"));
}

TEST_F(TransactionsTest, RefusesASecondCallWhileOneRuns) {
  const std::string id = Begin();
  const Task task = WriteTask({"A"});
  shard_.hold = {CallKind::kLease};
  Started<absl::StatusOr<TaskResult>> first(transactions_->Execute(id, task, ctx_));
  loop_.Settle();
  EXPECT_THAT(Run(id, task), HasReason(reason::kTransactionBusy));
  EXPECT_THAT(Commit(id), HasReason(reason::kTransactionBusy));
  EXPECT_THAT(Rollback(id), HasReason(reason::kTransactionBusy));
  EXPECT_THAT(Savepoint(id, SavepointAction::kCreate, "a"), HasReason(reason::kTransactionBusy));
  shard_.Release();
  loop_.Settle();
  ASSERT_TRUE(first.answered());
  EXPECT_THAT(first.result(), IsOk());
  EXPECT_THAT(Commit(id), IsOk());
}

// ---- Ends ----

TEST_F(TransactionsTest, RollsBackWhenIdleForItsTimeout) {
  BeginOptions options;
  options.idle_timeout = absl::Seconds(10);
  const std::string id = Begin(options);
  EXPECT_EQ(*transactions_->IdleTimeoutOf(id), absl::Seconds(10));
  loop_.Advance(absl::Seconds(9));
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  loop_.Advance(absl::Seconds(9));
  EXPECT_EQ(StateOf(id), TransactionState::kActive);
  loop_.Advance(absl::Seconds(1));
  EXPECT_EQ(StateOf(id), TransactionState::kRolledBack);
  EXPECT_EQ(shard_.rollbacks, 1);
  EXPECT_EQ(shard_.sessions, 0);
  EXPECT_THAT(Run(id, WriteTask({"B"})), HasReason(reason::kTransactionEnded));
  EXPECT_THAT(Commit(id), HasReason(reason::kTransactionEnded));
  EXPECT_THAT(Rollback(id), IsOk());
}

TEST_F(TransactionsTest, RefusesAnIdleTimeoutOutOfItsBounds) {
  BeginOptions options;
  for (const absl::Duration timeout : {absl::Seconds(-1), options_.idle_timeout_max + absl::Nanoseconds(1)}) {
    options.idle_timeout = timeout;
    const absl::Status refused = transactions_->Begin(options).status();
    EXPECT_THAT(refused, HasReason(reason::kInvalidField));
    EXPECT_THAT(std::string(refused.message()), HasSubstr("is more than 0 and at most 10m"));
  }
  options.idle_timeout = options_.idle_timeout_max;
  EXPECT_THAT(Rollback(Begin(options)), IsOk());
}

TEST_F(TransactionsTest, IsNotIdleWhileAStatementRuns) {
  const std::string id = Begin();
  const Task task = WriteTask({"A"});
  shard_.hold = {CallKind::kStep};
  Started<absl::StatusOr<TaskResult>> call(transactions_->Execute(id, task, ctx_));
  loop_.Advance(absl::Minutes(5));
  EXPECT_EQ(StateOf(id), TransactionState::kActive);
  shard_.Release();
  loop_.Settle();
  EXPECT_TRUE(call.answered());
  loop_.Advance(options_.idle_timeout_default);
  EXPECT_EQ(StateOf(id), TransactionState::kRolledBack);
}

TEST_F(TransactionsTest, IsKeptAliveByAReplayedCall) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, Guarded("r1", 7)), IsOk());
  loop_.Advance(absl::Seconds(20));
  EXPECT_THAT(Run(id, Guarded("r1", 7)), IsOk());
  loop_.Advance(absl::Seconds(20));
  EXPECT_EQ(StateOf(id), TransactionState::kActive);
}

TEST_F(TransactionsTest, EndsWhenACallIsDroppedAtAnyPoint) {
  for (const CallKind point : {CallKind::kLease, CallKind::kStep, CallKind::kControl}) {
    const std::string id = Begin();
    EXPECT_THAT(Savepoint(id, SavepointAction::kCreate, "a"), IsOk());
    const Task task = WriteTask({"A"});
    shard_.hold = {point};
    Started<absl::StatusOr<TaskResult>> call(transactions_->Execute(id, task, ctx_));
    loop_.Settle();
    EXPECT_FALSE(call.answered());
    call.Drop();
    EXPECT_EQ(StateOf(id), TransactionState::kRolledBack);
    EXPECT_EQ(shard_.sessions, 0);
    EXPECT_EQ(shard_.running, 0);
    shard_.Release();
    loop_.Settle();
    EXPECT_THAT(Run(id, task), HasReason(reason::kTransactionEnded));
  }
}

TEST_F(TransactionsTest, MayTryAgainWhenNoSessionWasFree) {
  const std::string id = Begin();
  shard_.fail[CallKind::kLease] = Down();
  EXPECT_THAT(Run(id, WriteTask({"A"})), HasReason(reason::kShardUnavailable));
  EXPECT_THAT(*transactions_->ShardsOf(id), IsEmpty());
  shard_.fail.clear();
  EXPECT_THAT(Run(id, WriteTask({"A"}, kSecond)), IsOk());
  EXPECT_THAT(*transactions_->ShardsOf(id), ElementsAre(kSecond));
}

TEST_F(TransactionsTest, EndsOrGoesOnAfterAFailedStatementByItsCode) {
  const absl::Status etag = MakeError(absl::StatusCode::kAborted, reason::kEtagMismatch, "changed");
  const std::vector<std::pair<absl::Status, bool>> cases = {
      {UniqueViolation(), false},
      {absl::NotFoundError("no row"), false},
      {absl::FailedPreconditionError("check"), false},
      {absl::InvalidArgumentError("bad"), false},
      {etag, false},
      {MakeError(absl::StatusCode::kAborted, reason::kSerializationFailure, "conflict"), true},
      {Down(), true},
      {absl::UnknownError("lost"), true},
      {absl::DeadlineExceededError("late"), true},
      {absl::DataLossError("corrupt"), true},
  };
  for (const auto& [status, ends] : cases) {
    const std::string id = Begin();
    shard_.step = FailOn("A", status);
    EXPECT_THAT(Run(id, WriteTask({"A"})), StatusIs(status.code()));
    EXPECT_EQ(StateOf(id), ends ? TransactionState::kRolledBack : TransactionState::kActive) << status;
    EXPECT_EQ(shard_.sessions, ends ? 0 : 1) << status;
    EXPECT_THAT(Rollback(id), IsOk());
    EXPECT_EQ(shard_.sessions, 0);
  }
}

TEST_F(TransactionsTest, LeavesNothingOfAnAtomicWriteWhoseStepFails) {
  const std::string id = Begin();
  shard_.step = FailOn("B", UniqueViolation());
  const absl::StatusOr<TaskResult> result = Run(id, WriteTask({"A", "B", "C"}));
  EXPECT_THAT(result, HasReason(reason::kUniqueViolation));
  EXPECT_EQ(DetailOf(result.status()).facts.at("item"), "1");
  EXPECT_THAT(shard_.log, ElementsAre("lease", "SAVEPOINT quarry_task", "step", "A", "step", "B",
                                      "ROLLBACK TO SAVEPOINT quarry_task", "RELEASE SAVEPOINT quarry_task"));
  EXPECT_EQ(StateOf(id), TransactionState::kActive);
  EXPECT_THAT(Commit(id), IsOk());
}

TEST_F(TransactionsTest, EndsWhenAFailedAtomicWriteCannotBeUndone) {
  const std::string id = Begin();
  shard_.step = [this](const Step&) -> absl::StatusOr<StepResult> {
    shard_.fail[CallKind::kControl] = absl::InternalError("no such savepoint");
    return UniqueViolation();
  };
  EXPECT_THAT(Run(id, WriteTask({"A", "B"})), HasReason(reason::kTransactionEnded));
  EXPECT_EQ(StateOf(id), TransactionState::kRolledBack);
  EXPECT_EQ(shard_.sessions, 0);
}

TEST_F(TransactionsTest, ReportsEachFailingStepOfABatchAndKeepsTheRest) {
  const std::string id = Begin();
  shard_.step = FailOn("B", UniqueViolation());
  ASSERT_OK_AND_ASSIGN(const TaskResult result, Run(id, WriteTask({"A", "B", "C"}, kFirst, Atomicity::kEach)));
  ASSERT_EQ(result.steps.size(), 3u);
  EXPECT_THAT(result.steps[0].status, IsOk());
  EXPECT_THAT(result.steps[1].status, HasReason(reason::kUniqueViolation));
  EXPECT_THAT(result.steps[2].status, IsOk());
  EXPECT_THAT(shard_.log, Not(Contains("SAVEPOINT quarry_task")));
  shard_.step = FailOn("B", Down());
  EXPECT_THAT(Run(id, WriteTask({"A", "B", "C"}, kFirst, Atomicity::kEach)), HasReason(reason::kShardUnavailable));
  EXPECT_EQ(StateOf(id), TransactionState::kRolledBack);
}

TEST_F(TransactionsTest, EndsWithTheCallThatItWasBegunFor) {
  for (const absl::Status& answer : {absl::OkStatus(), UniqueViolation()}) {
    const std::string id = Begin();
    absl::StatusOr<std::unique_ptr<Transactions::Lease>> lease =
        RunNow(loop_, transactions_->Use(id, {kFirst}, false, ctx_));
    ASSERT_THAT(lease, IsOk());
    (*lease)->EndWithCall();
    EXPECT_EQ(StateOf(id), TransactionState::kActive);
    (*lease)->Done(answer);
    EXPECT_EQ(StateOf(id), TransactionState::kCommitted);
    EXPECT_EQ(shard_.sessions, 0);
  }
}

TEST_F(TransactionsTest, IsRolledBackByAnErrorThatEndsItThoughItsCallEndsIt) {
  const std::string id = Begin();
  absl::StatusOr<std::unique_ptr<Transactions::Lease>> lease =
      RunNow(loop_, transactions_->Use(id, {kFirst}, false, ctx_));
  ASSERT_THAT(lease, IsOk());
  (*lease)->EndWithCall();
  (*lease)->Done(Down());
  EXPECT_EQ(StateOf(id), TransactionState::kRolledBack);
}

TEST_F(TransactionsTest, ASnapshotReadsTheShardsOfItsCutAndNoOthers) {
  BeginOptions options;
  options.read_only = true;
  options.snapshot = true;
  const std::string id = Begin(options);
  EXPECT_THAT(RunNow(loop_, transactions_->Cut(id, {kFirst}, ctx_)), IsOk());
  EXPECT_THAT(*transactions_->ShardsOf(id), ElementsAre(kFirst));
  Task read = WriteTask({"R"}, kSecond);
  read.steps[0].statements[0].writes = false;
  const absl::Status refused = Run(id, read).status();
  EXPECT_THAT(refused, HasReason(reason::kCrossShardTransaction));
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("the topology has changed since; begin another"));
  EXPECT_EQ(DetailOf(refused).facts.at("transaction"), id);
  EXPECT_THAT(other_.leased, IsEmpty());
  read.shard = kFirst;
  EXPECT_THAT(Run(id, read), IsOk());
}

TEST_F(TransactionsTest, KnowsTheShardsThatItHadAfterItsEnd) {
  const std::string id = Begin();
  EXPECT_THAT(*transactions_->ShardsEverOf(id), IsEmpty());
  EXPECT_THAT(Run(id, WriteTask({"A"}, kSecond)), IsOk());
  EXPECT_THAT(*transactions_->ShardsEverOf(id), ElementsAre(kSecond));
  EXPECT_THAT(Rollback(id), IsOk());
  EXPECT_THAT(*transactions_->ShardsEverOf(id), ElementsAre(kSecond));
  EXPECT_THAT(transactions_->ShardsEverOf("t2-never"), HasReason(reason::kTransactionNotFound));
}

// ---- Savepoints ----

TEST_F(TransactionsTest, MakesSavepointsOfBeforeTheFirstStatementWithIt) {
  const std::string id = Begin();
  EXPECT_THAT(Savepoint(id, SavepointAction::kCreate, "a"), IsOk());
  EXPECT_THAT(Savepoint(id, SavepointAction::kCreate, "b"), IsOk());
  EXPECT_THAT(Savepoint(id, SavepointAction::kCreate, "c"), IsOk());
  EXPECT_THAT(Savepoint(id, SavepointAction::kRelease, "c"), IsOk());
  EXPECT_THAT(shard_.log, IsEmpty());
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  EXPECT_THAT(shard_.log, ElementsAre("lease", R"(SAVEPOINT "user_a")", R"(SAVEPOINT "user_b")", "step", "A"));
}

TEST_F(TransactionsTest, KnowsNestedAndHiddenSavepoints) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  for (const char* name : {"a", "b", "a", "c"}) EXPECT_THAT(Savepoint(id, SavepointAction::kCreate, name), IsOk());
  // Back to the newer a: c is gone, a stays.
  EXPECT_THAT(Savepoint(id, SavepointAction::kRollbackTo, "a"), IsOk());
  EXPECT_THAT(Savepoint(id, SavepointAction::kRelease, "c"), HasReason(reason::kSavepointNotFound));
  EXPECT_THAT(Savepoint(id, SavepointAction::kRollbackTo, "a"), IsOk());
  // Without the newer a the older one shows again, with b above it.
  EXPECT_THAT(Savepoint(id, SavepointAction::kRelease, "a"), IsOk());
  EXPECT_THAT(Savepoint(id, SavepointAction::kRollbackTo, "b"), IsOk());
  EXPECT_THAT(Savepoint(id, SavepointAction::kRelease, "a"), IsOk());
  EXPECT_THAT(Savepoint(id, SavepointAction::kRollbackTo, "b"), HasReason(reason::kSavepointNotFound));
  EXPECT_THAT(Savepoint(id, SavepointAction::kRollbackTo, "a"), HasReason(reason::kSavepointNotFound));
  EXPECT_THAT(shard_.log, Contains(R"(ROLLBACK TO SAVEPOINT "user_b")"));
  EXPECT_THAT(Commit(id), IsOk());
}

TEST_F(TransactionsTest, RefusesSavepointNamesThatAreNone) {
  const std::string id = Begin();
  for (const std::string& name : {std::string(), std::string("1a"), std::string("a b"), std::string("a\"; DROP"),
                                  std::string("ключ"), std::string(64, 'a'), std::string("a\0b", 3)}) {
    EXPECT_THAT(Savepoint(id, SavepointAction::kCreate, name), HasReason(reason::kInvalidField)) << name;
  }
  EXPECT_THAT(Savepoint(id, SavepointAction::kCreate, std::string(63, 'a')), IsOk());
}

TEST_F(TransactionsTest, EndsWhenASavepointIsLost) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  shard_.fail[CallKind::kControl] = Down();
  EXPECT_THAT(Savepoint(id, SavepointAction::kCreate, "a"), HasReason(reason::kShardUnavailable));
  EXPECT_EQ(StateOf(id), TransactionState::kRolledBack);
}

// ---- Request ids ----

TEST_F(TransactionsTest, RepeatsAStoredReplyAndRefusesAnotherRequestUnderItsId) {
  const std::string id = Begin();
  ASSERT_OK_AND_ASSIGN(const TaskResult first, Run(id, Guarded("r1", 7)));
  EXPECT_FALSE(first.replayed);
  const size_t calls = shard_.log.size();
  ASSERT_OK_AND_ASSIGN(const TaskResult second, Run(id, Guarded("r1", 7)));
  EXPECT_TRUE(second.replayed);
  EXPECT_EQ(second.steps.size(), 1u);
  EXPECT_EQ(shard_.log.size(), calls);
  EXPECT_THAT(Run(id, Guarded("r1", 8)), HasReason(reason::kRequestIdReused));
  EXPECT_THAT(Run(id, Guarded("r2", 8)), IsOk());
}

TEST_F(TransactionsTest, RunsAFailedRequestAgain) {
  const std::string id = Begin();
  shard_.step = FailOn("W", UniqueViolation());
  EXPECT_THAT(Run(id, Guarded("r1", 7)), HasReason(reason::kUniqueViolation));
  shard_.step = nullptr;
  ASSERT_OK_AND_ASSIGN(const TaskResult result, Run(id, Guarded("r1", 7)));
  EXPECT_FALSE(result.replayed);
}

TEST_F(TransactionsTest, ForgetsRepliesThatASavepointHasUndone) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, Guarded("before", 1)), IsOk());
  EXPECT_THAT(Savepoint(id, SavepointAction::kCreate, "a"), IsOk());
  EXPECT_THAT(Run(id, Guarded("after", 2)), IsOk());
  EXPECT_THAT(Savepoint(id, SavepointAction::kRollbackTo, "a"), IsOk());
  ASSERT_OK_AND_ASSIGN(const TaskResult before, Run(id, Guarded("before", 1)));
  EXPECT_TRUE(before.replayed);
  ASSERT_OK_AND_ASSIGN(const TaskResult after, Run(id, Guarded("after", 2)));
  EXPECT_FALSE(after.replayed);
}

// ---- Commit ----

TEST_F(TransactionsTest, CommitsTwiceAsOnceAndRefusesWorkAfterwards) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  EXPECT_THAT(Commit(id), IsOk());
  EXPECT_THAT(Commit(id), IsOk());
  EXPECT_EQ(shard_.commits, 1);
  EXPECT_THAT(Run(id, WriteTask({"A"})), HasReason(reason::kTransactionCommitted));
  EXPECT_THAT(Rollback(id), HasReason(reason::kTransactionCommitted));
}

TEST_F(TransactionsTest, AnswersUnknownAtTheDeadlineAndTellsTheEndLater) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  shard_.hold = {CallKind::kCommit};
  CallContext hurried(loop_);
  hurried.deadline = loop_.Now() + absl::Seconds(1);
  Started<CommitEnd> commit(transactions_->Commit(id, false, hurried));
  loop_.Settle();
  EXPECT_FALSE(commit.answered());
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(commit.answered());
  EXPECT_THAT(commit.result().status, HasReason(reason::kCommitOutcomeUnknown));
  EXPECT_EQ(StateOf(id), TransactionState::kInDoubt);
  EXPECT_THAT(Commit(id), HasReason(reason::kCommitOutcomeUnknown));
  EXPECT_THAT(Rollback(id), HasReason(reason::kCommitOutcomeUnknown));
  shard_.Release();
  loop_.Settle();
  EXPECT_EQ(StateOf(id), TransactionState::kCommitted);
  EXPECT_THAT(Commit(id), IsOk());
  EXPECT_EQ(shard_.commits, 1);
}

TEST_F(TransactionsTest, CommitsOnAfterItsCallerIsDropped) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  shard_.hold = {CallKind::kCommit};
  Started<CommitEnd> commit(transactions_->Commit(id, false, ctx_));
  loop_.Settle();
  commit.Drop();
  EXPECT_EQ(StateOf(id), TransactionState::kInDoubt);
  EXPECT_EQ(commits_->running(), 1u);
  shard_.Release();
  loop_.Settle();
  EXPECT_EQ(commits_->running(), 0u);
  EXPECT_EQ(StateOf(id), TransactionState::kCommitted);
  EXPECT_EQ(shard_.commits, 1);
  EXPECT_EQ(shard_.rollbacks, 0);
}

TEST_F(TransactionsTest, IsNotEndedByItsIdleTimerWhileItCommits) {
  options_.commit_timeout = absl::Minutes(30);
  Make();
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  shard_.hold = {CallKind::kCommit};
  Started<CommitEnd> commit(transactions_->Commit(id, false, ctx_));
  loop_.Advance(absl::Minutes(20));
  EXPECT_EQ(StateOf(id), TransactionState::kInDoubt);
  shard_.Release();
  loop_.Settle();
  EXPECT_THAT(commit.result().status, IsOk());
}

TEST_F(TransactionsTest, IsInDoubtWhenTheCommitItselfRunsOutOfTime) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  shard_.hold = {CallKind::kCommit};
  Started<CommitEnd> commit(transactions_->Commit(id, false, ctx_));
  loop_.Advance(options_.commit_timeout);
  ASSERT_TRUE(commit.answered());
  EXPECT_THAT(commit.result().status, HasReason(reason::kCommitOutcomeUnknown));
  EXPECT_EQ(StateOf(id), TransactionState::kInDoubt);
}

TEST_F(TransactionsTest, TellsHowACommitFailed) {
  std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  shard_.fail[CallKind::kCommit] = MakeError(absl::StatusCode::kAborted, reason::kSerializationFailure, "conflict");
  EXPECT_THAT(Commit(id), HasReason(reason::kSerializationFailure));
  EXPECT_EQ(StateOf(id), TransactionState::kRolledBack);
  id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  shard_.fail[CallKind::kCommit] = MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown, "lost");
  const absl::Status unknown = Commit(id);
  EXPECT_THAT(unknown, HasReason(reason::kCommitOutcomeUnknown));
  EXPECT_EQ(DetailOf(unknown).facts.at("transaction"), id);
  EXPECT_EQ(StateOf(id), TransactionState::kInDoubt);
}

TEST_F(TransactionsTest, LeavesNothingBehindWhenItGoesBeforeItsLoop) {
  const std::string id = Begin();
  EXPECT_THAT(Run(id, WriteTask({"A"})), IsOk());
  {
    Started<CommitEnd> commit(transactions_->Commit(id, false, ctx_));
    transactions_.reset();  // Before the loop has run what the commit left for later.
  }
  loop_.Settle();
  EXPECT_EQ(shard_.commits, 1);
}

// ---- Bounds and ids ----

TEST_F(TransactionsTest, RefusesTooManyOpenOnes) {
  for (int i = 0; i < 3; ++i) Begin();
  const absl::Status status = transactions_->Begin(BeginOptions()).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(status, HasReason(reason::kLimitExceeded));
  EXPECT_TRUE(DetailOf(status).retry_after.has_value());
}

TEST_F(TransactionsTest, RefusesIdleTimeoutsOutOfBounds) {
  BeginOptions options;
  for (const absl::Duration bad : {absl::Seconds(-1), absl::Hours(1), absl::InfiniteDuration()}) {
    options.idle_timeout = bad;
    EXPECT_THAT(transactions_->Begin(options), HasReason(reason::kInvalidField)) << bad;
  }
}

TEST_F(TransactionsTest, RemembersABoundedNumberOfEndedOnes) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(Begin());
    EXPECT_THAT(Commit(ids.back()), IsOk());
  }
  EXPECT_THAT(transactions_->State(ids[0]), HasReason(reason::kTransactionNotFound));
  for (int i = 1; i < 5; ++i) EXPECT_EQ(StateOf(ids[static_cast<size_t>(i)]), TransactionState::kCommitted);
}

TEST_F(TransactionsTest, KnowsItsIdsFromGarbage) {
  const std::string id = Begin();
  EXPECT_EQ(*Transactions::LoopOf(id), 5u);
  for (const std::string& garbage :
       {std::string(), std::string("x"), std::string(55, 'x'), id + "0", id.substr(1), "t1" + id.substr(2)}) {
    EXPECT_THAT(Transactions::LoopOf(garbage), HasReason(reason::kInvalidField)) << garbage;
    EXPECT_THAT(Run(garbage, WriteTask({"A"})), HasReason(reason::kTransactionNotFound)) << garbage;
    EXPECT_THAT(Commit(garbage), HasReason(reason::kTransactionNotFound)) << garbage;
    EXPECT_THAT(transactions_->State(garbage), HasReason(reason::kTransactionNotFound)) << garbage;
  }
}

}  // namespace
}  // namespace quarry
