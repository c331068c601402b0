#include "core/base/loop.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "core/base/epoll_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Async<int> Wait(Future<int> future) {
  const int value = co_await future;
  co_return value;
}

Async<int> SleepThenReturn(Loop& loop, absl::Duration time, int value) {
  SleepUntil pause(loop, loop.Now() + time);
  co_await pause;
  co_return value;
}

TEST(LoopTest, TimersFireInOrderOfTimeThenOfCreation) {
  ManualLoop loop;
  std::vector<std::string> fired;
  const absl::Time now = loop.Now();
  loop.RunAt(now + absl::Seconds(2), [&fired] { fired.push_back("late"); });
  loop.RunAt(now + absl::Seconds(1), [&fired] { fired.push_back("first"); });
  loop.RunAt(now + absl::Seconds(1), [&fired] { fired.push_back("second"); });
  loop.RunAt(absl::InfiniteFuture(), [&fired] { fired.push_back("never"); });
  loop.Settle();
  EXPECT_THAT(fired, IsEmpty());
  loop.Advance(absl::Seconds(1));
  EXPECT_THAT(fired, ElementsAre("first", "second"));
  loop.Advance(absl::Hours(1000));
  EXPECT_THAT(fired, ElementsAre("first", "second", "late"));
}

TEST(LoopTest, CancelledTimersDoNotFireAndUnknownIdsAreIgnored) {
  ManualLoop loop;
  int fired = 0;
  const Loop::TimerId id = loop.RunAt(loop.Now() + absl::Seconds(1), [&fired] { ++fired; });
  { const Timer dropped(loop, loop.Now() + absl::Seconds(1), [&fired] { ++fired; }); }
  loop.CancelTimer(id);
  loop.CancelTimer(id);
  loop.CancelTimer(Loop::TimerId());
  loop.Advance(absl::Seconds(2));
  EXPECT_EQ(fired, 0);
}

TEST(LoopTest, ATimerMayCancelAnotherThatIsDueAtTheSameTime) {
  ManualLoop loop;
  int fired = 0;
  Loop::TimerId second;
  loop.RunAt(loop.Now() + absl::Seconds(1), [&] {
    ++fired;
    loop.CancelTimer(second);
  });
  second = loop.RunAt(loop.Now() + absl::Seconds(1), [&fired] { ++fired; });
  loop.Advance(absl::Seconds(2));
  EXPECT_EQ(fired, 1);
}

TEST(LoopTest, AMovedTimerStaysArmed) {
  ManualLoop loop;
  int fired = 0;
  Timer timer;
  timer = Timer(loop, loop.Now() + absl::Seconds(1), [&fired] { ++fired; });
  Timer other = std::move(timer);
  loop.Advance(absl::Seconds(1));
  EXPECT_EQ(fired, 1);
}

TEST(LoopTest, DeferredWorkRunsLaterAndInOrder) {
  ManualLoop loop;
  std::vector<int> ran;
  loop.Defer([&] {
    ran.push_back(1);
    loop.Defer([&] { ran.push_back(3); });
  });
  loop.Defer([&] { ran.push_back(2); });
  EXPECT_THAT(ran, IsEmpty());
  EXPECT_TRUE(loop.RunOnce(absl::ZeroDuration()));
  EXPECT_THAT(ran, ElementsAre(1, 2, 3));
  EXPECT_FALSE(loop.RunOnce(absl::ZeroDuration()));
}

TEST(LoopTest, WorkThatDefersWithoutEndHoldsUpNoTimer) {
  ManualLoop loop;
  int steps = 0;
  std::function<void()> again = [&] {
    ++steps;
    loop.Defer(again);
  };
  bool fired = false;
  loop.Defer(again);
  EXPECT_TRUE(loop.RunOnce(absl::ZeroDuration()));
  loop.RunAt(loop.Now(), [&fired] { fired = true; });
  EXPECT_TRUE(loop.RunOnce(absl::ZeroDuration()));
  EXPECT_TRUE(fired);
  EXPECT_LT(steps, 100);
}

TEST(LoopTest, TimeStandsStillWithinOnePieceOfWorkAndGoesOnInTheNext) {
  EpollLoop loop;
  absl::Time first, second, next;
  loop.Defer([&] {
    first = loop.Now();
    while (absl::Now() <= first) {
    }
    second = loop.Now();
    loop.Defer([&] { next = loop.Now(); });
  });
  while (next == absl::Time()) loop.RunOnce(absl::ZeroDuration());
  EXPECT_EQ(second, first);
  EXPECT_GT(next, first);
  EXPECT_GE(loop.Now(), next);
}

TEST(LoopTest, PostFromAnotherThreadWakesASleepingLoop) {
  EpollLoop loop;
  Completer<int> completer(loop);
  std::thread other([&loop, completer]() mutable { loop.Post([completer]() mutable { completer.Set(42); }); });
  EXPECT_EQ(RunOn(loop, Wait(completer.future())), 42);
  other.join();
}

TEST(LoopTest, RunEndsWithStopFromAnotherThread) {
  EpollLoop loop;
  bool on_thread = false;
  std::thread runner([&loop, &on_thread] {
    loop.Post([&loop, &on_thread] { on_thread = loop.OnLoopThread(); });
    loop.Post([&loop] { loop.Stop(); });
    loop.Run();
  });
  runner.join();
  EXPECT_TRUE(on_thread);
  EXPECT_FALSE(loop.OnLoopThread());
}

TEST(LoopTest, WatchesSocketsUntilUnwatched) {
  ManualLoop loop;
  std::array<int, 2> pair{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
  int readable = 0;
  loop.Watch(pair[0], SocketEvents::kRead, [&](SocketEvents ready) {
    EXPECT_EQ(ready, SocketEvents::kRead);
    ++readable;
    char byte;
    EXPECT_EQ(read(pair[0], &byte, 1), 1);
  });
  loop.Settle();
  EXPECT_EQ(readable, 0);
  ASSERT_EQ(write(pair[1], "x", 1), 1);
  loop.Settle();
  EXPECT_EQ(readable, 1);
  loop.Unwatch(pair[0]);
  ASSERT_EQ(write(pair[1], "x", 1), 1);
  loop.Settle();
  EXPECT_EQ(readable, 1);
  close(pair[0]);
  close(pair[1]);
}

TEST(LoopTest, AWatchMayRemoveItself) {
  ManualLoop loop;
  std::array<int, 2> pair{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
  const auto owned = std::make_shared<int>(0);
  loop.Watch(pair[0], SocketEvents::kReadWrite, [&loop, &pair, owned](SocketEvents) {
    loop.Unwatch(pair[0]);
    ++*owned;  // Still alive although its own entry is gone.
  });
  loop.Settle();
  EXPECT_EQ(*owned, 1);
  EXPECT_EQ(owned.use_count(), 1);
  close(pair[0]);
  close(pair[1]);
}

TEST(LoopTest, DropAllWorkDestroysWhatItNeverRan) {
  ManualLoop loop;
  const auto owned = std::make_shared<int>(0);
  loop.Defer([owned] { ++*owned; });
  loop.Post([owned] { ++*owned; });
  loop.RunAt(loop.Now(), [owned] { ++*owned; });
  EXPECT_EQ(owned.use_count(), 4);
  loop.DropAllWork();
  EXPECT_EQ(owned.use_count(), 1);
  EXPECT_EQ(*owned, 0);
}

TEST(CompleterTest, TheFirstSetOfAnyCopyWins) {
  ManualLoop loop;
  Completer<int> completer(loop);
  Completer<int> copy = completer;
  Started<int> call(Wait(completer.future()));
  completer.Set(1);
  copy.Set(2);
  completer.Set(3);
  loop.Settle();
  ASSERT_TRUE(call.answered());
  EXPECT_EQ(call.result(), 1);
}

TEST(CompleterTest, ASetBeforeTheWaitAnswersAtOnce) {
  ManualLoop loop;
  Completer<int> completer(loop);
  Future<int> future = completer.future();
  completer.Set(9);
  Started<int> call(Wait(std::move(future)));
  EXPECT_TRUE(call.answered());
  EXPECT_EQ(call.result(), 9);
}

TEST(CompleterTest, MayGoAwayBeforeItsFuture) {
  ManualLoop loop;
  auto completer = std::make_unique<Completer<int>>(loop);
  Started<int> call(Wait(completer->future()));
  completer.reset();
  loop.Settle();
  EXPECT_FALSE(call.answered());
}

TEST(SleepUntilTest, LetsItsTimePassAndIsCancelledByADrop) {
  ManualLoop loop;
  Started<int> kept(SleepThenReturn(loop, absl::Seconds(5), 1));
  Started<int> dropped(SleepThenReturn(loop, absl::Seconds(5), 2));
  loop.Advance(absl::Seconds(4));
  EXPECT_FALSE(kept.answered());
  dropped.Drop();
  loop.Advance(absl::Seconds(1));
  EXPECT_TRUE(kept.answered());
  EXPECT_FALSE(dropped.answered());
}

}  // namespace
}  // namespace quarry
