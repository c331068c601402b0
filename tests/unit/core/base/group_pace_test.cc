#include "core/base/group_pace.h"

#include "gtest/gtest.h"

namespace quarry {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);
constexpr absl::Duration kTook = absl::Milliseconds(1);

TEST(GroupPaceTest, WaitsUntilThoseWhoWereAnsweredAreBack) {
  GroupPace pace;
  EXPECT_FALSE(pace.Holds(1, kStart)) << "nobody was answered yet";
  pace.Answered(8, 4, kTook, kStart);
  EXPECT_TRUE(pace.Holds(4, kStart));
  EXPECT_TRUE(pace.Holds(11, kStart));
  EXPECT_FALSE(pace.Holds(12, kStart));
}

TEST(GroupPaceTest, WaitsHalfAsLongAsTheGroupTookAndTwoMillisecondsAtMost) {
  GroupPace pace;
  pace.Answered(8, 4, kTook, kStart);
  EXPECT_EQ(pace.until(), kStart + kTook / 2);
  EXPECT_FALSE(pace.Holds(4, pace.until()));
  pace.Answered(8, 4, absl::Seconds(1), kStart);
  EXPECT_EQ(pace.until(), kStart + absl::Milliseconds(2));
}

TEST(GroupPaceTest, OneCallerThatIsAnsweredAndComesBackNeverWaits) {
  GroupPace pace;
  for (int i = 0; i < 100; ++i) {
    pace.Answered(1, 0, kTook, kStart);
    EXPECT_FALSE(pace.Holds(1, kStart));
    pace.Started(1);
  }
}

// How many of `groups` wait when nobody comes back.
int WaitsInVain(GroupPace& pace, int groups) {
  int waits = 0;
  for (int i = 0; i < groups; ++i) {
    pace.Answered(8, 8, kTook, kStart);
    waits += pace.Holds(8, kStart) ? 1 : 0;
    pace.Started(8);
  }
  return waits;
}

TEST(GroupPaceTest, WaitsSeldomWhereNobodyComesBackAndAlwaysAgainOnceSomeDo) {
  GroupPace pace;
  EXPECT_LT(WaitsInVain(pace, 640), 20);
  bool held = false;
  while (!held) {
    pace.Answered(8, 8, kTook, kStart);
    held = pace.Holds(8, kStart);
    pace.Started(16);
  }
  pace.Answered(8, 8, kTook, kStart);
  EXPECT_TRUE(pace.Holds(8, kStart));
}

TEST(GroupPaceTest, AWaitPaysWhenHalfOfThemCameBack) {
  GroupPace pace;
  for (int i = 0; i < 3; ++i) {
    pace.Answered(8, 8, kTook, kStart);
    EXPECT_TRUE(pace.Holds(8, kStart)) << i;
    pace.Started(12);
  }
}

}  // namespace
}  // namespace quarry
