#include "core/engine/merged_reads.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

struct Asked {
  int id = 0;
};
struct Got {
  int value = 0;
};

// A store that reads what it holds when it is asked, and answers later: what is written meanwhile is not in the answer.
class MergedReadsTest : public ::testing::Test {
 protected:
  MergedReadsTest() { Make(MergeLimits()); }
  void Make(MergeLimits limits) {
    reads_ = std::make_unique<Reads>(
        loop_, [this](const Asked& op, const CallContext& ctx) { return Ask(op, ctx); }, merged_, limits);
  }
  Async<absl::StatusOr<Got>> Ask(const Asked& op, const CallContext& ctx) {
    ++asked_;
    deadlines_.push_back(ctx.deadline);
    const Under under(running_);
    Got got;
    got.value = value_;
    if (ctx.shard_costs != nullptr) ctx.shard_costs->Of(ShardId{3}).rows += 5;
    SleepUntil pause(loop_, loop_.Now() + takes_);
    co_await pause;
    last_id_ = op.id;
    if (!status_.ok()) co_return status_;
    co_return got;
  }
  struct Call {
    explicit Call(Loop& loop) : ctx(loop) {}
    Asked op;
    CallContext ctx;
    ShardCosts costs;
    std::optional<Started<absl::StatusOr<Got>>> started;
    bool answered() const { return started->answered(); }
    absl::StatusOr<Got>& result() { return started->result(); }
    int value() { return result().ok() ? result()->value : -1; }
    void Drop() { started->Drop(); }
  };
  std::unique_ptr<Call> Start(absl::Duration timeout = absl::InfiniteDuration(), const std::string& question = "q") {
    auto call = std::make_unique<Call>(loop_);
    call->op.id = ++ids_;
    call->ctx.deadline = loop_.Now() + timeout;
    call->ctx.shard_costs = &call->costs;
    call->started.emplace(reads_->Run(question, call->op, call->ctx));
    loop_.Settle();
    return call;
  }

  using Reads = MergedReads<Asked, Got>;
  struct Under {
    explicit Under(int& count) : count_(count) { ++count_; }
    ~Under() { --count_; }
    int& count_;
  };
  ManualLoop loop_;
  Counter merged_;
  int value_ = 1;
  int asked_ = 0;
  int running_ = 0;
  int ids_ = 0;
  int last_id_ = 0;
  absl::Duration takes_ = absl::Milliseconds(10);
  absl::Status status_;
  std::vector<absl::Time> deadlines_;
  std::unique_ptr<Reads> reads_;
};

TEST_F(MergedReadsTest, ACallAloneIsAskedAtOnceInItsOwnContext) {
  const auto call = Start(absl::Seconds(7));
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(deadlines_[0], call->ctx.deadline);
  loop_.Advance(absl::Milliseconds(10));
  ASSERT_TRUE(call->answered());
  EXPECT_EQ(call->value(), 1);
  EXPECT_EQ(merged_.value(), 0u);
  EXPECT_EQ(reads_->questions(), 0u);
}

TEST_F(MergedReadsTest, WhatWasWrittenAfterAFlightBeganIsSeenByWhoComesLater) {
  const auto first = Start();
  loop_.Advance(absl::Milliseconds(2));
  value_ = 2;  // Acknowledged: who asks from now on must see it.
  const auto second = Start();
  const auto third = Start();
  EXPECT_EQ(asked_, 1);
  loop_.Advance(absl::Milliseconds(2));
  value_ = 3;
  const auto fourth = Start();
  loop_.Advance(absl::Milliseconds(6));
  ASSERT_TRUE(first->answered());
  EXPECT_EQ(first->value(), 1);
  EXPECT_EQ(asked_, 2);
  value_ = 4;
  const auto fifth = Start();
  loop_.Advance(absl::Milliseconds(10));
  ASSERT_TRUE(second->answered() && third->answered() && fourth->answered());
  EXPECT_EQ(second->value(), 3);
  EXPECT_EQ(third->value(), 3);
  EXPECT_EQ(fourth->value(), 3);
  EXPECT_FALSE(fifth->answered());
  loop_.Advance(absl::Milliseconds(10));
  ASSERT_TRUE(fifth->answered());
  EXPECT_EQ(fifth->value(), 4);
  EXPECT_EQ(asked_, 3);
  EXPECT_EQ(merged_.value(), 2u);
  EXPECT_EQ(reads_->questions(), 0u);
}

TEST_F(MergedReadsTest, DifferentQuestionsDoNotWaitForEachOther) {
  const auto one = Start(absl::InfiniteDuration(), "one");
  const auto two = Start(absl::InfiniteDuration(), "two");
  EXPECT_EQ(asked_, 2);
}

TEST_F(MergedReadsTest, AQuestionThatIsTooLongIsAskedAlone) {
  MergeLimits limits;
  limits.question_bytes_max = 3;
  Make(limits);
  const auto one = Start(absl::InfiniteDuration(), "long");
  const auto two = Start(absl::InfiniteDuration(), "long");
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(reads_->questions(), 0u);
}

TEST_F(MergedReadsTest, ACallThatGoesTakesNoOtherWithIt) {
  auto first = Start();
  auto second = Start();
  auto third = Start();
  auto fourth = Start();
  second->Drop();  // Waits.
  second.reset();
  loop_.Advance(absl::Milliseconds(10));
  EXPECT_EQ(asked_, 2);
  third->Drop();  // Its flight runs, with its operation first.
  third.reset();
  loop_.Advance(absl::Milliseconds(10));
  ASSERT_TRUE(fourth->answered());
  EXPECT_EQ(fourth->value(), 1);
  EXPECT_EQ(last_id_, 3);
  EXPECT_EQ(reads_->questions(), 0u);
}

TEST_F(MergedReadsTest, AFlightEndsWithItsLastCallAndTheNextBegins) {
  auto first = Start();
  auto second = Start();
  auto third = Start();
  loop_.Advance(absl::Milliseconds(10));
  EXPECT_EQ(running_, 1);
  auto fourth = Start();
  second->Drop();
  EXPECT_EQ(running_, 1);
  third->Drop();
  EXPECT_EQ(running_, 0);
  loop_.Settle();
  EXPECT_EQ(running_, 1);
  fourth->Drop();
  loop_.Settle();
  EXPECT_EQ(running_, 0);
  EXPECT_EQ(reads_->questions(), 0u);
}

TEST_F(MergedReadsTest, WhoRunsAndGoesLetsTheNextBegin) {
  auto first = Start();
  auto second = Start();
  auto third = Start();
  first->Drop();
  loop_.Settle();
  EXPECT_EQ(asked_, 2);
  loop_.Advance(absl::Milliseconds(10));
  EXPECT_TRUE(second->answered() && third->answered());
  // All that wait have gone: nothing is left to begin.
  first = Start();
  second = Start();
  second->Drop();
  loop_.Advance(absl::Milliseconds(10));
  EXPECT_TRUE(first->answered());
  EXPECT_EQ(asked_, 3);
  EXPECT_EQ(reads_->questions(), 0u);
}

TEST_F(MergedReadsTest, EachCallKeepsItsDeadline) {
  takes_ = absl::Milliseconds(100);
  const auto first = Start();
  const auto hasty = Start(absl::Milliseconds(20));
  const auto patient = Start(absl::Seconds(10));
  loop_.Advance(absl::Milliseconds(20));
  ASSERT_TRUE(hasty->answered());
  EXPECT_THAT(hasty->result(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  const auto late = Start(absl::Milliseconds(150));  // Ends while its flight runs.
  loop_.Advance(absl::Milliseconds(80));
  ASSERT_EQ(asked_, 2);
  EXPECT_EQ(deadlines_[1], patient->ctx.deadline) << "the last of those that fly";
  loop_.Advance(absl::Milliseconds(70));
  ASSERT_TRUE(late->answered());
  EXPECT_THAT(late->result(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  loop_.Advance(absl::Milliseconds(30));
  ASSERT_TRUE(patient->answered());
  EXPECT_EQ(patient->value(), 1);
}

TEST_F(MergedReadsTest, AnErrorIsSharedButNotAnEndThatIsAnothers) {
  auto first = Start();
  auto second = Start();
  auto third = Start();
  status_ = absl::UnavailableError("shard s1: down");
  loop_.Advance(absl::Milliseconds(20));
  EXPECT_THAT(second->result(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(third->result(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(asked_, 2);
  first = Start();
  second = Start();
  third = Start();
  loop_.Advance(absl::Milliseconds(10));
  status_ = absl::DeadlineExceededError("deadline ended while the statement ran");
  loop_.Advance(absl::Milliseconds(10));
  EXPECT_FALSE(second->answered());
  status_ = absl::OkStatus();
  loop_.Advance(absl::Milliseconds(10));
  ASSERT_TRUE(second->answered() && third->answered());
  EXPECT_EQ(second->value(), 1) << "it has asked for itself";
  EXPECT_EQ(asked_, 6);
}

TEST_F(MergedReadsTest, AFlightThatHangsHoldsNobodyUpForLong) {
  takes_ = absl::Hours(1);
  const auto hangs = Start();
  takes_ = absl::Milliseconds(10);
  const auto second = Start();
  const auto third = Start();
  loop_.Advance(absl::Milliseconds(249));
  EXPECT_EQ(asked_, 1);
  loop_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(asked_, 2);
  const auto fourth = Start();
  EXPECT_EQ(asked_, 2) << "it waits for the one that runs";
  loop_.Advance(absl::Milliseconds(10));
  EXPECT_TRUE(second->answered() && third->answered());
  EXPECT_EQ(asked_, 3);
  loop_.Advance(absl::Milliseconds(10));
  EXPECT_TRUE(fourth->answered());
  EXPECT_EQ(reads_->questions(), 0u);
  const auto fifth = Start();
  EXPECT_EQ(asked_, 4);
  loop_.Advance(absl::Hours(1));
  EXPECT_TRUE(hangs->answered() && fifth->answered());
  EXPECT_EQ(reads_->questions(), 0u);
}

TEST_F(MergedReadsTest, AnEarlierFlightsPatienceDoesNotHurryALaterOne) {
  takes_ = absl::Milliseconds(200);
  const auto first = Start();
  const auto second = Start();
  loop_.Advance(absl::Milliseconds(200));  // The second begins; at 250 its patience would have ended.
  const auto third = Start();
  loop_.Advance(absl::Milliseconds(100));
  EXPECT_EQ(asked_, 2);
  loop_.Advance(absl::Milliseconds(100));
  EXPECT_EQ(asked_, 3);
  loop_.Advance(absl::Milliseconds(200));
  EXPECT_TRUE(first->answered() && second->answered() && third->answered());
}

TEST_F(MergedReadsTest, TheShardsCountForOneOfTheCallsThatShare) {
  const auto first = Start();
  const auto second = Start();
  const auto third = Start();
  loop_.Advance(absl::Milliseconds(20));
  EXPECT_EQ(first->costs.Of(ShardId{3}).rows, 5);
  EXPECT_EQ(second->costs.Of(ShardId{3}).rows, 5);
  EXPECT_TRUE(third->costs.empty());
}

}  // namespace
}  // namespace quarry
