#include "core/base/async.h"

#include <memory>
#include <string>
#include <utility>

#include "core/base/loop.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"

namespace quarry {
namespace {

// Counts the frames that hold one.
struct Token {
  explicit Token(int& count) : alive(&count) { ++*alive; }
  Token(Token&& other) noexcept : alive(std::exchange(other.alive, nullptr)) {}
  ~Token() {
    if (alive != nullptr) --*alive;
  }
  int* alive;
};

Async<int> Return(int value) { co_return value; }

Async<int> Sum(int depth) {
  if (depth == 0) co_return 0;
  const int rest = co_await Sum(depth - 1);
  co_return rest + 1;
}

Async<std::unique_ptr<int>> ReturnMoveOnly() { co_return std::make_unique<int>(7); }

Async<int> Wait(Future<int> future, [[maybe_unused]] Token token) {
  const int value = co_await future;
  co_return value;
}

Async<int> WaitBelow(Future<int> future, int& alive) {
  const Token token(alive);
  Token inner(alive);
  const int value = co_await Wait(std::move(future), std::move(inner));
  co_return value;
}

Async<void> Note(bool& noted) {
  noted = true;
  co_return;
}

TEST(AsyncTest, StartsOnlyWhenAwaited) {
  bool noted = false;
  Async<void> work = Note(noted);
  EXPECT_FALSE(noted);
  const Running running(std::move(work), [] {});
  EXPECT_TRUE(noted);
  EXPECT_TRUE(running.finished());
}

TEST(AsyncTest, YieldsValuesThroughDeepChains) {
  ManualLoop loop;
  EXPECT_EQ(RunNow(loop, Return(3)), 3);
  EXPECT_EQ(RunNow(loop, Sum(1000)), 1000);
  EXPECT_EQ(*RunNow(loop, ReturnMoveOnly()), 7);
}

TEST(AsyncTest, DroppingDestroysTheWholeChainAndTellsTheProducer) {
  ManualLoop loop;
  int alive = 0;
  Completer<int> completer(loop);
  Started<int> call(WaitBelow(completer.future(), alive));
  EXPECT_EQ(alive, 2);
  EXPECT_FALSE(completer.abandoned());
  call.Drop();
  EXPECT_EQ(alive, 0);
  EXPECT_TRUE(completer.abandoned());
  completer.Set(1);
  loop.Settle();
  EXPECT_FALSE(call.answered());
}

TEST(AsyncTest, DroppingBetweenSetAndResumeCancelsToo) {
  ManualLoop loop;
  int alive = 0;
  Completer<int> completer(loop);
  Started<int> call(WaitBelow(completer.future(), alive));
  completer.Set(1);
  EXPECT_FALSE(call.answered());  // Never inside of the call that produced the result.
  call.Drop();
  loop.Settle();
  EXPECT_EQ(alive, 0);
  EXPECT_FALSE(call.answered());
}

TEST(AsyncTest, DroppingBeforeTheStartRunsNothing) {
  bool noted = false;
  { const Async<void> work = Note(noted); }
  EXPECT_FALSE(noted);
}

TEST(RunningTest, MoveAssignmentDropsWhatRan) {
  ManualLoop loop;
  int alive = 0;
  Completer<int> first(loop);
  Completer<int> second(loop);
  int result = 0;
  Running running(WaitBelow(first.future(), alive), [&result](int value) { result = value; });
  running = Running(WaitBelow(second.future(), alive), [&result](int value) { result = value; });
  EXPECT_TRUE(first.abandoned());
  EXPECT_EQ(alive, 2);
  second.Set(5);
  loop.Settle();
  EXPECT_EQ(result, 5);
  EXPECT_EQ(alive, 0);
  EXPECT_TRUE(running.finished());
}

}  // namespace
}  // namespace quarry
