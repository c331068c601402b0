#include "core/txn/snapshot_cuts.h"

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

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr ShardId kA{0};
constexpr ShardId kB{1};

class SnapshotCutsTest : public ::testing::Test {
 protected:
  using Opened = absl::StatusOr<CutSessions>;

  ~SnapshotCutsTest() override {
    EXPECT_FALSE(first_.two_phase.state().gate_closed);
    EXPECT_FALSE(second_.two_phase.state().gate_closed);
    EXPECT_EQ(first_.sessions, 0);
    EXPECT_EQ(second_.sessions, 0);
  }
  std::vector<ShardParty> Parties() {
    return {{&first_backend_, "s0", Dialect::kSqlite},
            {&second_backend_, "s1", Dialect::kPostgres}};
  }
  CallContext Within(absl::Duration time) {
    CallContext ctx(loop_);
    ctx.deadline = loop_.Now() + time;
    return ctx;
  }
  Async<Opened> Open(std::vector<ShardId> shards, const CallContext& ctx) {
    return cuts_.Open(std::move(shards), Parties(), ctx);
  }

  ManualLoop loop_;
  SeededRandom random_{1};
  ShardScript first_;
  ScriptedBackend first_backend_{first_};
  ShardScript second_;
  ScriptedBackend second_backend_{second_};
  SnapshotCutOptions options_;
  SnapshotCuts cuts_{loop_, random_, options_};
};

TEST_F(SnapshotCutsTest, FixesItsSessionsWhileAllGatesAreClosed) {
  int closed = 0;
  first_.step = second_.step = [this, &closed](const Step&) {
    if (first_.two_phase.state().gate_closed && second_.two_phase.state().gate_closed) ++closed;
    return RowsResult({{Value::Int64(1)}});
  };
  const CallContext ctx = Within(absl::Seconds(5));
  ASSERT_OK_AND_ASSIGN(const CutSessions sessions, RunNow(loop_, Open({kA, kB}, ctx)));
  EXPECT_EQ(sessions.size(), 2u);
  EXPECT_EQ(closed, 2);
  EXPECT_EQ(cuts_.stats().cycles, 1);
  EXPECT_EQ(cuts_.stats().readers, 1);
}

TEST_F(SnapshotCutsTest, TakesTheCutAgainWhenAGateWasLost) {
  second_.two_phase.state().lose["Release"] = Down();
  const CallContext ctx = Within(absl::Seconds(5));
  Started<Opened> cut(Open({kA, kB}, ctx));
  loop_.Settle();
  EXPECT_FALSE(cut.answered());
  EXPECT_EQ(cuts_.stats().retries, 1);
  // What its sessions have seen is no cut: it leases others.
  EXPECT_THAT(first_.leased, SizeIs(2));
  EXPECT_THAT(second_.leased, SizeIs(2));
  second_.two_phase.state().lose.clear();
  loop_.Advance(options_.backoff_first);
  ASSERT_TRUE(cut.answered());
  EXPECT_THAT(cut.result(), IsOk());
  EXPECT_EQ(cuts_.stats().cycles, 1);
}

TEST_F(SnapshotCutsTest, SaysThatAGateWasLostWhenNoTimeIsLeftForAnotherTry) {
  second_.two_phase.state().lose["Release"] = Down();
  const CallContext ctx = Within(options_.gate_timeout);
  const absl::Status lost = RunNow(loop_, Open({kA, kB}, ctx)).status();
  EXPECT_THAT(lost, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(lost, HasReason(reason::kShardUnavailable));
  EXPECT_THAT(std::string(lost.message()),
              HasSubstr("a gate was lost while the snapshot was taken"));
  EXPECT_EQ(DetailOf(lost).retry_after, absl::Milliseconds(100));
  EXPECT_EQ(cuts_.stats().cycles, 0);
}

TEST_F(SnapshotCutsTest, AReaderIsAnsweredAtItsDeadlineThoughTheCycleGoesOnForAnother) {
  second_.hold = {CallKind::kStep};
  const CallContext hurried = Within(options_.closed_max / 2);
  const CallContext patient = Within(absl::Seconds(10));
  Started<Opened> first(Open({kA, kB}, hurried));
  Started<Opened> second(Open({kA, kB}, patient));
  loop_.Advance(options_.closed_max / 2);
  ASSERT_TRUE(first.answered());
  const absl::Status late = first.result().status();
  EXPECT_THAT(late, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(late, HasReason(reason::kDeadline));
  EXPECT_EQ(DetailOf(late).facts.at("stage"), "snapshot");
  EXPECT_FALSE(second.answered());
  second_.Release();
  loop_.Settle();
  ASSERT_TRUE(second.answered());
  EXPECT_THAT(second.result(), IsOk());
  EXPECT_EQ(cuts_.stats().cycles, 1);
}

TEST_F(SnapshotCutsTest, ASessionThatDoesNotAnswerLetsGoOfTheGatesLongBeforeTheDeadline) {
  second_.hold = {CallKind::kStep};
  const CallContext ctx = Within(absl::Seconds(10));
  Started<Opened> cut(Open({kA, kB}, ctx));
  loop_.Settle();
  EXPECT_TRUE(first_.two_phase.state().gate_closed);
  loop_.Advance(options_.closed_max);
  EXPECT_FALSE(first_.two_phase.state().gate_closed);
  EXPECT_FALSE(second_.two_phase.state().gate_closed);
  EXPECT_FALSE(cut.answered());
  second_.Release();
  loop_.Advance(options_.backoff_first);
  ASSERT_TRUE(cut.answered());
  EXPECT_THAT(cut.result(), IsOk());
}

TEST_F(SnapshotCutsTest, AReaderThatWaitsForASessionAgainDoesNotHoldUpThoseThatHaveTheirs) {
  second_.hold = {CallKind::kStep};
  const CallContext ctx = Within(absl::Seconds(10));
  Started<Opened> failed(Open({kA, kB}, ctx));
  loop_.Settle();
  Started<Opened> complete(Open({kA, kB}, ctx));  // For the next cycle.
  loop_.Settle();
  first_.hold = {CallKind::kLease};
  second_.two_phase.state().lose["Release"] = Down();
  second_.Release();
  loop_.Settle();
  ASSERT_EQ(cuts_.stats().retries, 1);
  second_.two_phase.state().lose.clear();
  loop_.Advance(options_.backoff_first);
  EXPECT_TRUE(complete.answered());
  EXPECT_FALSE(failed.answered());
  first_.Release();
  loop_.Settle();
  ASSERT_TRUE(failed.answered());
  EXPECT_THAT(failed.result(), IsOk());
}

TEST_F(SnapshotCutsTest, AShardThatIsAwayForAMomentIsTriedAgain) {
  second_.hold = {CallKind::kStep};
  const CallContext ctx = Within(absl::Seconds(10));
  Started<Opened> cut(Open({kA, kB}, ctx));
  loop_.Settle();
  second_.fail = {{CallKind::kLease, Down()}, {CallKind::kStep, Down()}};
  second_.Release();
  loop_.Settle();
  ASSERT_EQ(cuts_.stats().retries, 1);
  loop_.Advance(absl::Seconds(2));
  EXPECT_FALSE(cut.answered());
  second_.fail.clear();
  loop_.Advance(options_.backoff_max);
  loop_.Advance(options_.backoff_max);
  ASSERT_TRUE(cut.answered());
  EXPECT_THAT(cut.result(), IsOk());
}

TEST_F(SnapshotCutsTest, SaysWhatItWaitedForWhenTheLastTryIsCutShort) {
  second_.two_phase.state().lose["Release"] = Down();
  const CallContext ctx = Within(options_.closed_max);
  Started<Opened> cut(Open({kA, kB}, ctx));
  loop_.Settle();
  ASSERT_EQ(cuts_.stats().retries, 1);
  second_.hold = {CallKind::kStep};
  loop_.Advance(options_.closed_max);
  ASSERT_TRUE(cut.answered());
  EXPECT_THAT(cut.result().status(), StatusIs(absl::StatusCode::kUnavailable));
  second_.Release();
  loop_.Settle();
}

}  // namespace
}  // namespace quarry
