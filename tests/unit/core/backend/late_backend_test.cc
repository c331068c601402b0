#include "core/backend/late_backend.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/fake_backend.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tasks.h"

namespace quarry {
namespace {

class LateBackendTest : public testing::Test {
 protected:
  LateBackendTest() {
    LateBackend::Source source = [this]() -> absl::StatusOr<std::unique_ptr<Backend>> {
      ++asked_;
      if (!why_.ok()) return why_;
      auto backend = std::make_unique<FakeBackend>();
      fake_ = backend.get();
      return backend;
    };
    late_ = std::make_unique<LateBackend>(std::move(source));
    ctx_.deadline = loop_.Now() + absl::Seconds(10);
  }
  absl::Status Execute() { return RunNow(loop_, late_->Execute(task_, ctx_)).status(); }
  absl::Status Lease() { return RunNow(loop_, late_->Lease(session_, ctx_)).status(); }
  absl::Status Ping() { return RunNow(loop_, late_->Ping(ctx_)); }
  // Everything that recovery, commits and snapshots ask.
  std::vector<absl::Status> AskTwoPhase() {
    TwoPhase& shard = late_->two_phase();
    return {RunNow(loop_, shard.Init(ctx_)),
            RunNow(loop_, shard.Check(ctx_)),
            RunNow(loop_, shard.Finish(transaction_, Verdict::kAbort, ctx_)).status(),
            RunNow(loop_, shard.ListBranches(ctx_)).status(),
            RunNow(loop_, shard.FindParts(ids_, ctx_)).status(),
            RunNow(loop_, shard.ListParts(absl::ZeroDuration(), 10, ctx_)).status(),
            RunNow(loop_, shard.FindDecision(ids_[0], ctx_)).status(),
            RunNow(loop_, shard.DecideAbort(ids_[0], ctx_)).status(),
            RunNow(loop_, shard.ListDecisions(filter_, ctx_)).status(),
            RunNow(loop_, shard.MarkFinished(ids_, ctx_)),
            RunNow(loop_, shard.ForgetParts(ids_, ctx_)),
            RunNow(loop_, shard.ForgetDecisions(ids_, ctx_)),
            RunNow(loop_, shard.CloseGate(GateWait::kTry, ctx_)).status()};
  }

  const Task task_ = AnyWrite();
  const SessionOptions session_;
  const std::vector<std::string> ids_ = {"t1"};
  const GlobalTransaction transaction_{"t1", "s0"};
  const DecisionFilter filter_;
  ManualLoop loop_;
  CallContext ctx_{loop_};
  absl::Status why_ = absl::DataLossError("damaged");
  int asked_ = 0;
  FakeBackend* fake_ = nullptr;  // Null until it is there.
  std::unique_ptr<LateBackend> late_;
};

TEST_F(LateBackendTest, AnswersEveryCallWithTheReasonAsLongAsThereIsNoBackend) {
  for (const absl::Status& status : {Execute(), Lease(), Ping()}) EXPECT_EQ(status, why_);
  for (const absl::Status& status : AskTwoPhase()) EXPECT_EQ(status, why_);
  EXPECT_EQ(late_->stats().statements, 0);
  why_ = absl::UnavailableError("gone");
  EXPECT_EQ(Ping(), why_) << "the reason of now";
  for (const absl::Status& status : AskTwoPhase()) EXPECT_EQ(status, why_);
}

TEST_F(LateBackendTest, TheFirstCallAfterItsArrivalReachesItAndNobodyAsksAgain) {
  EXPECT_FALSE(Ping().ok());
  why_ = absl::OkStatus();
  EXPECT_THAT(Execute(), IsOk());
  ASSERT_NE(fake_, nullptr);
  EXPECT_EQ(fake_->applied(), 1);
  why_ = absl::DataLossError("nobody asks for this any more");
  const int asked = asked_;
  EXPECT_THAT(Ping(), IsOk());
  EXPECT_THAT(Lease(), IsOk());
  EXPECT_EQ(fake_->pings(), 1);
  EXPECT_EQ(fake_->leases(), 1);
  EXPECT_EQ(&late_->two_phase(), &fake_->two_phase());
  EXPECT_EQ(late_->stats().statements, 1);
  EXPECT_EQ(asked_, asked);
}

TEST_F(LateBackendTest, APingAloneFindsIt) {
  EXPECT_FALSE(Ping().ok());
  why_ = absl::OkStatus();
  EXPECT_THAT(Ping(), IsOk());
  for (const absl::Status& status : AskTwoPhase()) EXPECT_THAT(status, IsOk());
}

}  // namespace
}  // namespace quarry
