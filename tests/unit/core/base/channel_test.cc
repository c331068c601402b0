#include "core/base/channel.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_loop.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;

Async<int> PushAll(Channel<int>& channel, int first, int count) {
  for (int i = 0; i < count; ++i) co_await channel.Push(first + i);
  co_return count;
}

Async<std::vector<int>> PopAll(Channel<int>& channel) {
  std::vector<int> items;
  while (true) {
    const std::optional<int> item = co_await channel.Pop();
    if (!item.has_value()) co_return items;
    items.push_back(*item);
  }
}

TEST(ChannelTest, AFullChannelMakesTheProducerWait) {
  ManualLoop loop;
  Channel<int> channel(loop, 2);
  Started<int> producer(PushAll(channel, 0, 3));
  loop.Settle();
  EXPECT_FALSE(producer.answered());
  EXPECT_EQ(RunNow(loop, channel.Pop()), 0);
  EXPECT_TRUE(producer.answered());
}

TEST(ChannelTest, TheConsumerGetsWhatIsQueuedAndThenTheEnd) {
  ManualLoop loop;
  Channel<int> channel(loop, 2);
  Started<std::vector<int>> consumer(PopAll(channel));
  Started<int> producer(PushAll(channel, 0, 5));
  loop.Settle();
  EXPECT_TRUE(producer.answered());
  EXPECT_FALSE(consumer.answered());
  channel.Close();
  loop.Settle();
  ASSERT_TRUE(consumer.answered());
  EXPECT_THAT(consumer.result(), ElementsAre(0, 1, 2, 3, 4));
}

TEST(ChannelTest, ADroppedProducerPassesItsTurnOn) {
  ManualLoop loop;
  Channel<int> channel(loop, 1);
  Started<int> filler(PushAll(channel, 0, 1));
  Started<int> dropped(PushAll(channel, 10, 1));
  Started<int> waiting(PushAll(channel, 20, 1));
  dropped.Drop();
  EXPECT_EQ(RunNow(loop, channel.Pop()), 0);
  EXPECT_EQ(RunNow(loop, channel.Pop()), 20);
}

TEST(ChannelTest, AProducerDroppedAfterItWasWokenPassesItsTurnOn) {
  ManualLoop loop;
  Channel<int> channel(loop, 1);
  Started<int> filler(PushAll(channel, 0, 1));
  Started<int> dropped(PushAll(channel, 10, 1));
  Started<int> waiting(PushAll(channel, 20, 1));
  Started<std::optional<int>> first(channel.Pop());  // Wakes `dropped`, which has not run yet.
  ASSERT_TRUE(first.answered());
  dropped.Drop();
  EXPECT_EQ(RunNow(loop, channel.Pop()), 20);
}

TEST(ChannelTest, ADroppedConsumerLeavesTheItemsToTheNext) {
  ManualLoop loop;
  Channel<int> channel(loop, 1);
  Started<std::optional<int>> dropped(channel.Pop());
  dropped.Drop();
  Started<int> producer(PushAll(channel, 5, 1));
  loop.Settle();
  EXPECT_EQ(RunNow(loop, channel.Pop()), 5);
}

}  // namespace
}  // namespace quarry
