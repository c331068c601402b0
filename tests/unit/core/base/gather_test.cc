#include "core/base/gather.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using Results = std::vector<absl::StatusOr<int>>;

// How many parts run, and how many ever ran at once.
struct Census {
  int now = 0;
  int most = 0;
};

struct Present {
  explicit Present(Census& where) : census(where) { census.most = std::max(census.most, ++census.now); }
  ~Present() { --census.now; }
  Census& census;
};

Async<absl::StatusOr<int>> After(Loop& loop, Census& census, absl::Duration time, absl::StatusOr<int> answer) {
  const Present present(census);
  if (time > absl::ZeroDuration()) {
    SleepUntil pause(loop, loop.Now() + time);
    co_await pause;
  }
  co_return answer;
}

class GatherTest : public ::testing::Test {
 protected:
  void Add(absl::Duration time, absl::StatusOr<int> answer) {
    work_.push_back(After(loop_, census_, time, std::move(answer)));
  }
  Async<Results> All(GatherOptions options = {}) { return Gather(loop_, std::move(work_), options); }

  ManualLoop loop_;
  Census census_;
  std::vector<Async<absl::StatusOr<int>>> work_;
};

TEST_F(GatherTest, KeepsTheOrderWhateverEndsFirst) {
  Add(absl::Seconds(3), 1);
  Add(absl::Seconds(1), 2);
  Add(absl::ZeroDuration(), 3);
  Started<Results> call(All());
  loop_.Advance(absl::Seconds(2));
  EXPECT_FALSE(call.answered());
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(call.answered());
  ASSERT_EQ(call.result().size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(call.result()[static_cast<size_t>(i)].value(), i + 1);
  EXPECT_EQ(census_.now, 0);
}

TEST_F(GatherTest, OfNothingAndOfOne) {
  EXPECT_TRUE(RunNow(loop_, All()).empty());
  Add(absl::ZeroDuration(), 5);
  const Results one = RunNow(loop_, All());
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].value(), 5);
}

TEST_F(GatherTest, RunsAtMostWidthAtOnce) {
  for (int i = 0; i < 10; ++i) Add(absl::Seconds(1), i);
  GatherOptions options;
  options.width = 3;
  Started<Results> call(All(options));
  loop_.Advance(absl::Seconds(4));
  ASSERT_TRUE(call.answered());
  EXPECT_EQ(census_.most, 3);
}

TEST_F(GatherTest, ThousandsThatAnswerAtOnceDoNotPileUp) {
  for (int i = 0; i < 5000; ++i) Add(absl::ZeroDuration(), i);
  GatherOptions options;
  options.width = 1;
  const Results results = RunNow(loop_, All(options));
  EXPECT_EQ(results.size(), 5000u);
  EXPECT_EQ(results.back().value(), 4999);
}

TEST_F(GatherTest, TheFirstErrorDropsTheOthers) {
  Add(absl::Seconds(1), absl::NotFoundError("no"));
  Add(absl::Seconds(2), 2);
  Add(absl::ZeroDuration(), 3);
  Started<Results> call(All());
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(call.answered());
  EXPECT_THAT(call.result()[0], StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(call.result()[1], StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(call.result()[2], IsOk());
  EXPECT_EQ(census_.now, 0);
}

TEST_F(GatherTest, AnErrorAtOnceStartsNoMore) {
  Add(absl::ZeroDuration(), absl::NotFoundError("no"));
  Add(absl::ZeroDuration(), 2);
  const Results results = RunNow(loop_, All());
  EXPECT_THAT(results[1], StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(census_.most, 1);
}

TEST_F(GatherTest, CollectsEverythingWhenToldNotToStop) {
  Add(absl::Seconds(1), absl::NotFoundError("no"));
  Add(absl::Seconds(2), 2);
  GatherOptions options;
  options.stop_at_first_error = false;
  Started<Results> call(All(options));
  loop_.Advance(absl::Seconds(2));
  ASSERT_TRUE(call.answered());
  EXPECT_THAT(call.result()[0], StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(call.result()[1].value(), 2);
}

TEST_F(GatherTest, DroppedInTheMiddleItDropsAllParts) {
  for (int i = 0; i < 5; ++i) Add(absl::Seconds(i), i);
  Started<Results> call(All());
  loop_.Advance(absl::Seconds(2));
  EXPECT_GT(census_.now, 0);
  call.Drop();
  EXPECT_EQ(census_.now, 0);
  loop_.Advance(absl::Seconds(10));
  EXPECT_FALSE(call.answered());
}

}  // namespace
}  // namespace quarry
