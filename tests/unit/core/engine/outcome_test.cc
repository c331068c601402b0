// What became of transactions, asked of an engine that ran them and of one that did not.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/fake_backend.h"
#include "core/engine/engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/engine/test_snapshot.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

absl::Status ShardDown() { return MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable, "down"); }

// Shards s0, s1 and s2.
class OutcomeTest : public ::testing::Test {
 protected:
  OutcomeTest() { Restart(std::nullopt); }
  ~OutcomeTest() override {
    engine_.reset();
    loop_.Settle();
  }

  // An engine over new, empty shards.
  void Restart(std::optional<RecoveryOptions> recovery) {
    engine_.reset();
    Engine::Parts parts;
    for (FakeBackend*& shard : shards_) {
      auto fake = std::make_unique<FakeBackend>();
      fake->AnswerBy(OneRowEach);
      shard = fake.get();
      parts.shards.push_back(std::move(fake));
    }
    parts.snapshot = [snapshot = snapshot_] { return snapshot; };
    parts.recovery = recovery;
    engine_ = std::make_unique<Engine>(loop_, std::move(parts));
  }
  static absl::StatusOr<TaskResult> OneRowEach(const Task& task) {
    TaskResult result;
    for (const Step& step : task.steps) {
      StepResult answer;
      answer.statements.resize(step.statements.size());
      for (StatementResult& statement : answer.statements) statement.affected = 1;
      result.steps.push_back(std::move(answer));
    }
    return result;
  }
  // An id that another gateway has given.
  std::string ForeignId() {
    Engine::Parts parts;
    parts.snapshot = [snapshot = snapshot_] { return snapshot; };
    Engine other(loop_, std::move(parts));
    const absl::StatusOr<std::string> id = other.Begin(BeginOptions());
    EXPECT_THAT(id, IsOk());
    return id.value_or("");
  }
  FakeTwoPhase::State& at(size_t shard) { return shards_[shard]->two_phase().state(); }
  void Prepare(size_t shard, const std::string& id, const std::string& home = "s2") {
    at(shard).branches[id] = GlobalTransaction{id, home};
  }
  Decision& Decide(size_t shard, const std::string& id, Verdict verdict, std::vector<std::string> participants) {
    Decision decision;
    decision.transaction_id = id;
    decision.verdict = verdict;
    decision.participants = std::move(participants);
    return at(shard).decisions[id] = decision;
  }
  void TakeDown(size_t shard) {
    for (const char* call : {"ListBranches", "ListDecisions", "FindDecision", "DecideAbort", "Finish", "Init", "Check"}) {
      at(shard).fail[call] = ShardDown();
    }
  }
  void Hang(size_t shard) { at(shard).hang = {"ListBranches", "ListDecisions", "FindDecision", "DecideAbort"}; }
  int64_t Calls(size_t shard, const std::string& name) {
    return std::count(at(shard).log.begin(), at(shard).log.end(), name);
  }
  absl::StatusOr<TransactionFate> Get(const std::string& id) { return RunNow(loop_, engine_->GetTransaction(id, ctx_)); }
  absl::StatusOr<TransactionFate> Outcome(const std::string& id, bool force) {
    return RunNow(loop_, engine_->OutcomeOf(id, force, ctx_));
  }
  absl::StatusOr<Resolution> Resolve(const std::string& id) { return RunNow(loop_, engine_->Resolve(id, ctx_)); }

  ManualLoop loop_;
  const std::shared_ptr<const Snapshot> snapshot_ = ShopSnapshot(3);
  std::array<FakeBackend*, 3> shards_{};
  std::unique_ptr<Engine> engine_;
  CallContext ctx_{loop_};
};

TEST_F(OutcomeTest, ItsOwnTransactionsAreToldFromMemory) {
  ASSERT_OK_AND_ASSIGN(const std::string id, engine_->Begin(BeginOptions()));
  ASSERT_OK_AND_ASSIGN(TransactionFate fate, Get(id));
  EXPECT_EQ(fate.state, TransactionState::kActive);
  EXPECT_THAT(fate.shards, IsEmpty());
  EXPECT_THAT(RunNow(loop_, engine_->Rollback(id, ctx_)), IsOk());
  ASSERT_OK_AND_ASSIGN(fate, Get(id));
  EXPECT_EQ(fate.state, TransactionState::kRolledBack);
  for (size_t shard = 0; shard < 3; ++shard) EXPECT_THAT(at(shard).log, IsEmpty());
}

TEST_F(OutcomeTest, OfItsOwnCommitOverSeveralShardsItAlsoTellsWhoIsBehind) {
  ASSERT_OK_AND_ASSIGN(const std::string id, engine_->Begin(BeginOptions()));
  const WriteOperation op = WriteOf({MakeMutation(MutationKind::kDelete, "users", {}, KeyOf({Value::Int64(1)})),
                                     MakeMutation(MutationKind::kDelete, "users", {}, KeyOf({Value::Int64(2)}))});
  ASSERT_THAT(RunNow(loop_, engine_->Write(op, id, ctx_)), IsOk());
  const CommitEnd end = RunNow(loop_, engine_->Commit(id, false, ctx_));
  ASSERT_THAT(end.status, IsOk());
  ASSERT_OK_AND_ASSIGN(TransactionFate fate, Get(id));
  EXPECT_EQ(fate.state, TransactionState::kCommitted);
  EXPECT_THAT(fate.shards, ElementsAre("s1", "s2"));
  EXPECT_EQ(fate.home, "s1");
  EXPECT_THAT(fate.unfinished, IsEmpty());
  Prepare(2, id);
  ASSERT_OK_AND_ASSIGN(fate, Get(id));
  EXPECT_EQ(fate.state, TransactionState::kCommitted);
  EXPECT_THAT(fate.unfinished, ElementsAre("s2"));
  TakeDown(2);
  ASSERT_OK_AND_ASSIGN(fate, Get(id));
  EXPECT_EQ(fate.state, TransactionState::kCommitted);
  EXPECT_THAT(fate.unfinished, ElementsAre("s2"));
}

TEST_F(OutcomeTest, OfOtherGatewaysTransactionsTheShardsTell) {
  const std::string committed = ForeignId();
  Decide(2, committed, Verdict::kCommit, {"s1", "s2"});
  Prepare(1, committed);
  ASSERT_OK_AND_ASSIGN(TransactionFate fate, Get(committed));
  EXPECT_EQ(fate.state, TransactionState::kCommitted);
  EXPECT_EQ(fate.home, "s2");
  EXPECT_THAT(fate.shards, ElementsAre("s1", "s2"));
  EXPECT_THAT(fate.unfinished, ElementsAre("s1"));

  const std::string aborted = ForeignId();
  Decide(2, aborted, Verdict::kAbort, {});
  ASSERT_OK_AND_ASSIGN(fate, Get(aborted));
  EXPECT_EQ(fate.state, TransactionState::kRolledBack);

  const std::string prepared = ForeignId();
  Prepare(0, prepared);
  Prepare(1, prepared);
  ASSERT_OK_AND_ASSIGN(fate, Get(prepared));
  EXPECT_EQ(fate.state, TransactionState::kInDoubt);
  EXPECT_EQ(fate.home, "s2");
  EXPECT_THAT(fate.unfinished, ElementsAre("s0", "s1"));
  EXPECT_EQ(Calls(2, "DecideAbort"), 0);  // Asking changes nothing.
}

TEST_F(OutcomeTest, WhatNobodyKnowsIsNotFound) {
  const absl::Status status = Get(ForeignId()).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(status, HasReason(reason::kTransactionNotFound));
  EXPECT_THAT(std::string(status.message()), HasSubstr("without a request_id"));
  at(0).log.clear();
  EXPECT_THAT(Get("'; DROP TABLE users; --"), HasReason(reason::kTransactionNotFound));
  EXPECT_THAT(at(0).log, IsEmpty());
}

TEST_F(OutcomeTest, AShardThatDoesNotAnswerIsNamedWhereItMatters) {
  TakeDown(1);
  const std::string unknown = ForeignId();
  const absl::Status status = Get(unknown).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(status, HasReason(reason::kShardUnavailable));
  EXPECT_EQ(DetailOf(status).facts.at("shard"), "s1");
  EXPECT_TRUE(DetailOf(status).retry_after.has_value());
  EXPECT_THAT(std::string(status.message()), HasSubstr("s1"));

  const std::string committed = ForeignId();
  Decide(2, committed, Verdict::kCommit, {"s1", "s2"});
  ASSERT_OK_AND_ASSIGN(const TransactionFate fate, Get(committed));
  EXPECT_EQ(fate.state, TransactionState::kCommitted);
  EXPECT_THAT(fate.unfinished, ElementsAre("s1"));
}

TEST_F(OutcomeTest, ShardsThatLackTheTablesSayWhatToDo) {
  for (size_t shard = 0; shard < 3; ++shard) {
    at(shard).fail["FindDecision"] =
        MakeError(absl::StatusCode::kFailedPrecondition, reason::kTwoPhaseUnavailable, "run quarryctl init-shard");
  }
  EXPECT_THAT(Get(ForeignId()), HasReason(reason::kTwoPhaseUnavailable));
  at(1).fail["FindDecision"] = ShardDown();
  EXPECT_THAT(Get(ForeignId()), HasReason(reason::kShardUnavailable));
}

// ---- OutcomeOf ----

TEST_F(OutcomeTest, ForcedItIsRolledBackForGoodWhereNobodyKnowsIt) {
  const std::string id = ForeignId();
  EXPECT_THAT(Outcome(id, false), HasReason(reason::kTransactionNotFound));
  ASSERT_OK_AND_ASSIGN(const TransactionFate fate, Outcome(id, true));
  EXPECT_EQ(fate.state, TransactionState::kRolledBack);
  CommitOptions late;
  late.decision.emplace();
  late.decision->transaction_id = id;
  late.decision->verdict = Verdict::kCommit;
  for (size_t shard = 0; shard < 3; ++shard) {
    EXPECT_THAT(at(shard).Commit(late), HasReason(reason::kTransactionEnded)) << shard;
  }
  ASSERT_OK_AND_ASSIGN(const TransactionFate again, Outcome(id, true));
  EXPECT_EQ(again.state, TransactionState::kRolledBack);
}

TEST_F(OutcomeTest, ForcedItDecidesWhereTheBranchesSayAndNowhereElse) {
  const std::string id = ForeignId();
  Prepare(0, id);
  Prepare(1, id);
  ASSERT_OK_AND_ASSIGN(const TransactionFate fate, Outcome(id, true));
  EXPECT_EQ(fate.state, TransactionState::kRolledBack);
  EXPECT_EQ(fate.home, "s2");
  EXPECT_THAT(fate.unfinished, ElementsAre("s0", "s1"));
  EXPECT_THAT(at(0).decisions, IsEmpty());
  EXPECT_THAT(at(1).decisions, IsEmpty());
  EXPECT_THAT(at(2).decisions, SizeIs(1));
}

TEST_F(OutcomeTest, ForcedItNeverDecidesAgainstACommit) {
  const std::string id = ForeignId();
  Decide(1, id, Verdict::kCommit, {"s1"});
  ASSERT_OK_AND_ASSIGN(const TransactionFate fate, Outcome(id, true));
  EXPECT_EQ(fate.state, TransactionState::kCommitted);
  EXPECT_THAT(at(0).decisions, IsEmpty());
  EXPECT_THAT(at(2).decisions, IsEmpty());
}

TEST_F(OutcomeTest, ForcedItFindsACommitOfThatVeryMomentAndLeavesNoAbortBesideIt) {
  const std::string id = ForeignId();
  at(2).meanwhile["DecideAbort"] = [this, id] { Decide(2, id, Verdict::kCommit, {"s1", "s2"}); };
  ASSERT_OK_AND_ASSIGN(const TransactionFate fate, Outcome(id, true));
  EXPECT_EQ(fate.state, TransactionState::kCommitted);
  EXPECT_EQ(fate.home, "s2");
  EXPECT_THAT(fate.shards, ElementsAre("s1", "s2"));
  EXPECT_THAT(at(0).decisions, IsEmpty());
  EXPECT_THAT(at(1).decisions, IsEmpty());
  EXPECT_EQ(at(2).decisions[id].verdict, Verdict::kCommit);
}

TEST_F(OutcomeTest, ForcedItIsNotDefiniteWhileAShardIsDown) {
  const std::string id = ForeignId();
  at(1).fail["DecideAbort"] = ShardDown();
  const absl::Status status = Outcome(id, true).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(DetailOf(status).facts.at("shard"), "s1");
  const std::string prepared = ForeignId();
  Prepare(0, prepared);
  at(2).fail["DecideAbort"] = ShardDown();
  EXPECT_THAT(Outcome(prepared, true), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(OutcomeTest, AWriteWhoseCommitGoesOnIsInDoubtThoughNoShardHasAnythingOfIt) {
  const WriteOperation op = WriteOf({MakeMutation(MutationKind::kDelete, "users", {}, KeyOf({Value::Int64(1)})),
                                     MakeMutation(MutationKind::kDelete, "users", {}, KeyOf({Value::Int64(2)})),
                                     MakeMutation(MutationKind::kDelete, "users", {}, KeyOf({Value::Int64(3)}))});
  // Their leases and their statements at once; they prepare slowly.
  for (FakeBackend* shard : {shards_[1], shards_[2]}) {
    for (const int seconds : {0, 0, 3}) shard->TakeTimeNext(absl::Seconds(seconds));
  }
  CallContext hurried(loop_);
  hurried.deadline = loop_.Now() + absl::Seconds(1);
  Started<absl::StatusOr<WriteResult>> writing(engine_->Write(op, "", hurried));
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(writing.answered());
  const absl::Status unknown = writing.result().status();
  ASSERT_THAT(unknown, HasReason(reason::kCommitOutcomeUnknown));
  const std::string id = DetailOf(unknown).facts.at("transaction");
  ASSERT_OK_AND_ASSIGN(TransactionFate fate, Get(id));
  EXPECT_EQ(fate.state, TransactionState::kInDoubt);
  loop_.Advance(absl::Seconds(3));
  ASSERT_OK_AND_ASSIGN(fate, Get(id));
  EXPECT_EQ(fate.state, TransactionState::kCommitted);
}

TEST_F(OutcomeTest, AShardThatHangsHidesNoDecisionOfAnother) {
  const std::string id = ForeignId();
  Decide(2, id, Verdict::kCommit, {"s0", "s1", "s2"});
  Hang(1);
  ctx_.deadline = loop_.Now() + absl::Seconds(10);
  Started<absl::StatusOr<TransactionFate>> asking(engine_->GetTransaction(id, ctx_));
  loop_.Advance(absl::Seconds(10));
  ASSERT_TRUE(asking.answered());
  ASSERT_OK_AND_ASSIGN(const TransactionFate fate, std::move(asking.result()));
  EXPECT_EQ(fate.state, TransactionState::kCommitted);
  EXPECT_THAT(fate.unfinished, ElementsAre("s1"));
}

TEST_F(OutcomeTest, ForcedItIsDecidedAtHomeThoughAnotherShardHangs) {
  const std::string id = ForeignId();
  Prepare(0, id);
  Hang(1);
  ctx_.deadline = loop_.Now() + absl::Seconds(10);
  Started<absl::StatusOr<TransactionFate>> deciding(engine_->OutcomeOf(id, true, ctx_));
  loop_.Advance(absl::Seconds(10));
  ASSERT_TRUE(deciding.answered());
  ASSERT_OK_AND_ASSIGN(const TransactionFate fate, std::move(deciding.result()));
  EXPECT_EQ(fate.state, TransactionState::kRolledBack);
  EXPECT_EQ(at(2).decisions[id].verdict, Verdict::kAbort);
}

// ---- For operators ----

TEST_F(OutcomeTest, ResolvingEndsATransactionWhateverItsAge) {
  const std::string aborted = ForeignId();
  Prepare(0, aborted);
  ASSERT_OK_AND_ASSIGN(Resolution resolution, Resolve(aborted));
  EXPECT_EQ(resolution.fate.state, TransactionState::kRolledBack);
  EXPECT_THAT(resolution.fate.unfinished, IsEmpty());
  EXPECT_THAT(at(0).branches, IsEmpty());

  const std::string committed = ForeignId();
  Prepare(0, committed);
  Decide(2, committed, Verdict::kCommit, {"s0", "s2"});
  ASSERT_OK_AND_ASSIGN(resolution, Resolve(committed));
  EXPECT_EQ(resolution.fate.state, TransactionState::kCommitted);
  EXPECT_THAT(at(0).parts, ElementsAre(committed));
  EXPECT_THAT(resolution.contradicting, IsEmpty());
  // Later, when its parts are forgotten, it is still what it was.
  at(0).parts.clear();
  ASSERT_OK_AND_ASSIGN(resolution, Resolve(committed));
  EXPECT_EQ(resolution.fate.state, TransactionState::kCommitted);
  EXPECT_THAT(resolution.contradicting, IsEmpty());
}

TEST_F(OutcomeTest, ResolvingNamesWhatHindersIt) {
  const std::string id = ForeignId();
  EXPECT_THAT(Resolve(id), HasReason(reason::kTransactionNotFound));
  Prepare(0, id);
  TakeDown(2);
  ASSERT_OK_AND_ASSIGN(Resolution resolution, Resolve(id));
  EXPECT_EQ(resolution.fate.state, TransactionState::kInDoubt);
  EXPECT_THAT(resolution.fate.unfinished, ElementsAre("s0"));
  ASSERT_THAT(resolution.unasked, SizeIs(1));
  EXPECT_EQ(resolution.unasked[0].shard, "s2");
  at(2).fail.clear();
  at(0).fail["Finish"] = ShardDown();
  ASSERT_OK_AND_ASSIGN(resolution, Resolve(id));
  EXPECT_EQ(resolution.fate.state, TransactionState::kRolledBack);
  EXPECT_THAT(resolution.fate.unfinished, ElementsAre("s0"));

  const std::string stranger = ForeignId();
  Prepare(1, stranger, "elsewhere");
  const absl::Status status = Resolve(stranger).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(status, HasReason(reason::kTransactionInDoubt));
  EXPECT_EQ(DetailOf(status).facts.at("home"), "elsewhere");
}

TEST_F(OutcomeTest, ResolvingNamesTheShardThatHangsAndNoOther) {
  const std::string id = ForeignId();
  Prepare(0, id);
  Hang(2);
  ctx_.deadline = loop_.Now() + absl::Seconds(10);
  Started<absl::StatusOr<Resolution>> resolving(engine_->Resolve(id, ctx_));
  loop_.Advance(absl::Seconds(10));
  ASSERT_TRUE(resolving.answered());
  ASSERT_OK_AND_ASSIGN(const Resolution resolution, std::move(resolving.result()));
  EXPECT_EQ(resolution.fate.state, TransactionState::kInDoubt);
  EXPECT_THAT(resolution.fate.unfinished, ElementsAre("s0"));
  ASSERT_THAT(resolution.unasked, SizeIs(1));
  EXPECT_EQ(resolution.unasked[0].shard, "s2");
}

TEST_F(OutcomeTest, ResolvingReportsAPartThatIsNotAsDecided) {
  const std::string id = ForeignId();
  Decide(2, id, Verdict::kCommit, {"s0", "s2"});
  ASSERT_OK_AND_ASSIGN(const Resolution resolution, Resolve(id));
  EXPECT_EQ(resolution.fate.state, TransactionState::kCommitted);
  EXPECT_THAT(resolution.contradicting, ElementsAre("s0"));
}

TEST_F(OutcomeTest, ListsWhatIsOldAndWhoCouldNotBeAsked) {
  const std::string old = ForeignId();
  Prepare(0, old);
  Decide(2, ForeignId(), Verdict::kCommit, {"s0", "s2"});
  TakeDown(1);
  InDoubtList list = RunNow(loop_, engine_->ListInDoubt(std::nullopt, ctx_));
  ASSERT_THAT(list.transactions, SizeIs(1));
  EXPECT_EQ(list.transactions[0].transaction_id, old);
  ASSERT_THAT(list.unasked, SizeIs(1));
  EXPECT_EQ(list.unasked[0].shard, "s1");
  list = RunNow(loop_, engine_->ListInDoubt(absl::ZeroDuration(), ctx_));
  EXPECT_THAT(list.transactions, SizeIs(2));
}

TEST_F(OutcomeTest, InitCreatesAndThenChecksEachShard) {
  at(1).fail["Check"] =
      MakeError(absl::StatusCode::kFailedPrecondition, reason::kTwoPhaseUnavailable, "set max_prepared_transactions");
  TakeDown(2);
  const std::vector<absl::Status> statuses =
      RunNow(loop_, engine_->InitShards({ShardId{0}, ShardId{1}, ShardId{2}}, ctx_));
  ASSERT_THAT(statuses, SizeIs(3));
  EXPECT_THAT(statuses[0], IsOk());
  EXPECT_THAT(statuses[1], HasReason(reason::kTwoPhaseUnavailable));
  EXPECT_EQ(DetailOf(statuses[1]).facts.at("shard"), "s1");
  EXPECT_THAT(statuses[2], HasReason(reason::kShardUnavailable));
  EXPECT_THAT(at(0).log, ElementsAre("Init", "Check"));
}

TEST_F(OutcomeTest, AnEngineThatRecoversEndsWhatAnotherGatewayHasLeft) {
  EXPECT_EQ(engine_->recovery_stats(), nullptr);
  Restart(RecoveryOptions());
  loop_.Settle();
  const std::string id = ForeignId();
  Prepare(0, id);
  loop_.Advance(absl::Seconds(1));
  EXPECT_THAT(at(0).branches, IsEmpty());
  ASSERT_NE(engine_->recovery_stats(), nullptr);
  EXPECT_EQ(engine_->recovery_stats()->rolled_back, 1);
  ASSERT_OK_AND_ASSIGN(const TransactionFate fate, Get(id));
  EXPECT_EQ(fate.state, TransactionState::kRolledBack);
}

}  // namespace
}  // namespace quarry
