#include "server/loop/grpc_loop.h"

#include <unistd.h>

#include <array>
#include <atomic>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

class GrpcLoopTest : public testing::Test {
 protected:
  grpc::ServerBuilder builder_;
  GrpcLoop loop_{builder_.AddCompletionQueue()};
};

TEST_F(GrpcLoopTest, RunsPostedWorkOnItsThreadWhileAsleep) {
  bool on_loop = false;
  for (int i = 0; i < 1000; ++i) {
    loop_.RunAndWait([&] { on_loop = loop_.OnLoopThread(); });
    ASSERT_TRUE(on_loop);
  }
  EXPECT_FALSE(loop_.OnLoopThread());
}

TEST_F(GrpcLoopTest, FiresTimersInOrderWithoutOtherWork) {
  absl::Notification done;
  std::string order;
  const absl::Time start = absl::Now();
  loop_.Post([&] {
    loop_.RunAt(start + absl::Milliseconds(30), [&] {
      order += "b";
      done.Notify();
    });
    loop_.RunAt(start + absl::Milliseconds(10), [&] { order += "a"; });
  });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(10)));
  EXPECT_EQ(order, "ab");
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(30));
}

TEST_F(GrpcLoopTest, WakesForASocketWhileAsleep) {
  std::array<int, 2> pipe_fds;
  ASSERT_EQ(pipe(pipe_fds.data()), 0);
  std::atomic<int> seen{0};
  absl::Notification all;
  constexpr int kRounds = 200;
  loop_.RunAndWait([&] {
    loop_.Watch(pipe_fds[0], SocketEvents::kRead, [&](SocketEvents) {
      char byte = 0;
      ASSERT_EQ(read(pipe_fds[0], &byte, 1), 1);
      if (seen.fetch_add(1) + 1 == kRounds) all.Notify();
    });
  });
  for (int i = 0; i < kRounds; ++i) ASSERT_EQ(write(pipe_fds[1], "x", 1), 1);
  EXPECT_TRUE(all.WaitForNotificationWithTimeout(absl::Seconds(10))) << seen.load();
  loop_.RunAndWait([&] { loop_.Unwatch(pipe_fds[0]); });
  close(pipe_fds[0]);
  close(pipe_fds[1]);
}

TEST_F(GrpcLoopTest, UsesNoProcessorTimeWhenIdle) {
  loop_.RunAndWait([] {});
  absl::Notification never;
  const std::clock_t before = std::clock();
  never.WaitForNotificationWithTimeout(absl::Milliseconds(300));
  const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(seconds, 0.1);
}

TEST_F(GrpcLoopTest, DropsWorkThatIsLeftWhenItStops) {
  const auto held = std::make_shared<int>(1);
  loop_.RunAndWait([&] { loop_.RunAt(absl::Now() + absl::Hours(1), [held] {}); });
  EXPECT_EQ(held.use_count(), 2);
  loop_.StopAndJoin();
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace quarry
