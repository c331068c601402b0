#include "core/topology/peer_table.h"

#include "core/base/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

using testing::ElementsAre;

constexpr uint64_t kOther = 0xb0b;

class PeerTableTest : public testing::Test {
 protected:
  PeerTableTest() { table_.SetAddresses({"a:1", "b:2"}); }
  static PeerTable::Options Self() { return {{0xa, "shop", "1.0"}, absl::Seconds(1)}; }
  bool Answers(const std::string& address, uint64_t instance, const std::string& deployment = "shop") {
    return table_.Answered(address, {instance, deployment, "1.0"}, clock_.Now());
  }
  bool Fails(const std::string& address) {
    return table_.Failed(address, absl::UnavailableError("connection refused"), clock_.Now());
  }
  PeerTable::Reach ReachOf(uint64_t instance) { return table_.Find(instance, clock_.Now()).reach; }
  PeerState StateOf(const std::string& address) {
    for (const Peer& peer : table_.peers()) {
      if (peer.address == address) return peer.state;
    }
    ADD_FAILURE() << address << " is not in the table";
    return PeerState::kUnasked;
  }

  FakeClock clock_;
  PeerTable table_{Self()};
};

TEST_F(PeerTableTest, FindsAnInstanceWhereItAnswers) {
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kGone);
  EXPECT_TRUE(Answers("b:2", kOther));
  EXPECT_FALSE(Answers("b:2", kOther)) << "nothing has changed";
  EXPECT_EQ(table_.Find(kOther, clock_.Now()).address, "b:2");
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kServing);
}

TEST_F(PeerTableTest, KnowsItself) {
  EXPECT_TRUE(Answers("a:1", 0xa));
  EXPECT_EQ(StateOf("a:1"), PeerState::kSelf);
}

TEST_F(PeerTableTest, ASilentOneIsGoneAfterAWhileCountedFromTheFirstFailure) {
  Answers("b:2", kOther);
  EXPECT_TRUE(Fails("b:2"));
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kSilent);
  clock_.Advance(absl::Milliseconds(900));
  EXPECT_FALSE(Fails("b:2"));
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kSilent);
  EXPECT_EQ(table_.Find(kOther, clock_.Now()).address, "b:2");
  clock_.Advance(absl::Milliseconds(100));
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kGone);
}

TEST_F(PeerTableTest, OneThatComesBackHasItsTransactionsStill) {
  Answers("b:2", kOther);
  Fails("b:2");
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kGone);
  EXPECT_TRUE(Answers("b:2", kOther));
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kServing);
}

TEST_F(PeerTableTest, ARestartIsAnotherInstance) {
  Answers("b:2", kOther);
  EXPECT_TRUE(Answers("b:2", 0xcafe)) << "that is news";
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kGone);
  EXPECT_EQ(ReachOf(0xcafe), PeerTable::Reach::kServing);
}

TEST_F(PeerTableTest, AnotherDeploymentIsLeftAlone) {
  EXPECT_TRUE(Answers("b:2", kOther, "warehouse"));
  EXPECT_EQ(StateOf("b:2"), PeerState::kOtherDeployment);
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kGone);
  const std::string error(table_.peers()[1].last_error.message());
  EXPECT_THAT(error, testing::AllOf(testing::HasSubstr("b:2"), testing::HasSubstr("warehouse"), testing::HasSubstr("shop")));
  Fails("b:2");
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kGone) << "it never had a transaction of ours";
}

TEST_F(PeerTableTest, AnAddressThatLeftTheListStaysWhileItAnswers) {
  Answers("b:2", kOther);
  table_.SetAddresses({"a:1"});
  EXPECT_THAT(table_.addresses(), ElementsAre("a:1", "b:2"));
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kServing);
  Fails("b:2");
  table_.SetAddresses({"a:1"});
  EXPECT_THAT(table_.addresses(), ElementsAre("a:1"));
  EXPECT_EQ(ReachOf(kOther), PeerTable::Reach::kGone);
  EXPECT_FALSE(Answers("b:2", kOther)) << "an address that is not in the table is ignored";
}

TEST_F(PeerTableTest, PrefersTheAddressThatAnswersWhereOneInstanceHasTwo) {
  Answers("a:1", kOther);
  Answers("b:2", kOther);
  Fails("a:1");
  EXPECT_EQ(table_.Find(kOther, clock_.Now()).address, "b:2");
}

TEST_F(PeerTableTest, CountsForwardedCallsByResult) {
  table_.Count(ForwardResult::kOk);
  table_.Count(ForwardResult::kOk);
  table_.Count(ForwardResult::kLost);
  EXPECT_EQ(table_.forwarded(ForwardResult::kOk), 2u);
  EXPECT_EQ(table_.forwarded(ForwardResult::kLost), 1u);
  EXPECT_EQ(table_.forwarded(ForwardResult::kGone), 0u);
}

}  // namespace
}  // namespace quarry
