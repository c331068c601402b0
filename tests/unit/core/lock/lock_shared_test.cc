#include "core/lock/lock_shared.h"

#include <memory>
#include <optional>
#include <string>

#include "gtest/gtest.h"

namespace quarry {
namespace {

TEST(LockSharedTest, RingsForTheOneWhoHasWaitedLongestUnderTheName) {
  LockShared shared;
  std::string woken;
  std::optional<LockShared::Watch> first(std::in_place, shared, "a", [&woken] { woken += "1"; });
  const LockShared::Watch second(shared, "a", [&woken] { woken += "2"; });
  const LockShared::Watch other(shared, "b", [&woken] { woken += "b"; });
  EXPECT_EQ(shared.waiting(), 3);
  shared.Ring("a");
  EXPECT_EQ(woken, "1");
  first.reset();
  shared.Ring("a");
  shared.Ring("nobody waits for it");
  EXPECT_EQ(woken, "12");
  EXPECT_EQ(shared.waiting(), 2);
}

TEST(LockSharedTest, CountsLeasesUntilTheyEnd) {
  LockShared shared;
  const absl::Time now = absl::Now();
  shared.NoteLease("x", now + absl::Seconds(10));
  shared.NoteLease("y", now + absl::Seconds(20));
  shared.NoteLease("x", now + absl::Seconds(15));
  shared.NoteLease("z", now + absl::Seconds(30));
  shared.ForgetLease("z");
  EXPECT_EQ(shared.held(now), 2);
  EXPECT_EQ(shared.held(now + absl::Seconds(15)), 1);
  EXPECT_EQ(shared.held(now + absl::Seconds(20)), 0);
}

TEST(LockSharedTest, CountsWaitsByTheirLength) {
  LockShared shared;
  shared.NoteWait(absl::Milliseconds(1));
  shared.NoteWait(absl::Milliseconds(2));
  shared.NoteWait(absl::Hours(1));
  const LockShared::Waits waits = shared.waits();
  EXPECT_EQ(waits.buckets[0], 1u);
  EXPECT_EQ(waits.buckets[1], 1u);
  EXPECT_EQ(waits.buckets.back(), 1u);
  EXPECT_DOUBLE_EQ(waits.seconds, 3600.003);
}

}  // namespace
}  // namespace quarry
