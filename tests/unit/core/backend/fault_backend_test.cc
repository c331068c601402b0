#include "core/backend/fault_backend.h"

#include <algorithm>
#include <memory>
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

class FaultBackendTest : public ::testing::Test {
 protected:
  FaultBackendTest() {
    auto fake = std::make_unique<FakeBackend>();
    fake_ = fake.get();
    faulty_ = std::make_unique<FaultBackend>(std::move(fake), FaultOptions(), random_);
    ctx_.deadline = loop_.Now() + absl::Seconds(10);
  }
  absl::StatusOr<TaskResult> Run(const Task& task) { return RunNow(loop_, faulty_->Execute(task, ctx_)); }

  ManualLoop loop_;
  SeededRandom random_{1};
  CallContext ctx_{loop_};
  FakeBackend* fake_;
  std::unique_ptr<FaultBackend> faulty_;
};

TEST_F(FaultBackendTest, ErrorBeforeReachesNothing) {
  faulty_->Inject(Fault::kErrorBefore);
  EXPECT_THAT(Run(AnyWrite()), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(fake_->applied(), 0);
  EXPECT_THAT(Run(AnyWrite()), IsOk());
  EXPECT_EQ(faulty_->faults(), 1);
}

TEST_F(FaultBackendTest, ErrorAfterHasHappened) {
  faulty_->Inject(Fault::kErrorAfter);
  EXPECT_THAT(Run(AnyWrite()), StatusIs(absl::StatusCode::kUnknown));
  EXPECT_EQ(fake_->applied(), 1);
  faulty_->Inject(Fault::kErrorAfter);
  EXPECT_THAT(Run(AnyRead()), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(FaultBackendTest, DelayIsLateAndHangIsNever) {
  const Task task = AnyWrite();
  faulty_->Inject(Fault::kDelay);
  faulty_->Inject(Fault::kHang);
  Started<absl::StatusOr<TaskResult>> delayed(faulty_->Execute(task, ctx_));
  Started<absl::StatusOr<TaskResult>> hanging(faulty_->Execute(task, ctx_));
  loop_.Settle();
  EXPECT_FALSE(delayed.answered());
  loop_.Advance(FaultOptions().delay_time);
  EXPECT_THAT(delayed.result(), IsOk());
  EXPECT_FALSE(hanging.answered());
  loop_.Advance(absl::Seconds(10));
  EXPECT_THAT(hanging.result(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(fake_->applied(), 1);
}

TEST_F(FaultBackendTest, ALostCommitAnswerIsUnknownAndCommitted) {
  const SessionOptions options;
  absl::StatusOr<std::unique_ptr<Session>> session = RunNow(loop_, faulty_->Lease(options, ctx_));
  ASSERT_THAT(session, IsOk());
  faulty_->Inject(Fault::kErrorAfter);
  EXPECT_THAT(RunNow(loop_, (*session)->Commit(kPlainCommit, ctx_)), HasReason("COMMIT_OUTCOME_UNKNOWN"));
  EXPECT_EQ(fake_->commits(), 1);
}

TEST_F(FaultBackendTest, ASessionRefusedAfterItsLeaseIsGivenBack) {
  const SessionOptions options;
  faulty_->Inject(Fault::kErrorAfter);
  EXPECT_THAT(RunNow(loop_, faulty_->Lease(options, ctx_)), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(fake_->sessions(), 0);
}

TEST_F(FaultBackendTest, TheSameSeedGivesTheSameFaultsInTheAskedShares) {
  const auto codes = [this](uint64_t seed) {
    SeededRandom random(seed);
    FaultOptions mix;
    mix.error_before = 0.2;
    mix.error_after = 0.1;
    FaultBackend backend(std::make_unique<FakeBackend>(), mix, random);
    const Task task = AnyWrite();
    std::vector<absl::StatusCode> seen;
    for (int i = 0; i < 2000; ++i) {
      seen.push_back(RunNow(loop_, backend.Execute(task, ctx_)).status().code());
    }
    return seen;
  };
  const std::vector<absl::StatusCode> seen = codes(5);
  EXPECT_EQ(seen, codes(5));
  EXPECT_NE(seen, codes(6));
  EXPECT_NEAR(std::count(seen.begin(), seen.end(), absl::StatusCode::kUnavailable), 400, 80);
  EXPECT_NEAR(std::count(seen.begin(), seen.end(), absl::StatusCode::kUnknown), 200, 60);
}

}  // namespace
}  // namespace quarry
