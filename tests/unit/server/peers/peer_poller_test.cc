#include "server/peers/peer_poller.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "core/txn/transaction_id.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "quarry/v1/peer.pb.h"
#include "server/loop/grpc_server.h"
#include "server/peers/dns.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

// What a gateway is to its peers.
class Other {
 public:
  explicit Other(std::string instance, std::string deployment = "shop", int port = 0) {
    table_.AddUnary<v1::IdentifyRequest, v1::IdentifyResponse>(
        "quarry.v1.PeerService", "Identify",
        [instance = std::move(instance), deployment = std::move(deployment)](
            const v1::IdentifyRequest&, v1::IdentifyResponse& response, CallScope&) -> Async<absl::Status> {
          response.set_instance(instance);
          response.set_deployment(deployment);
          response.set_version("1.0");
          co_return absl::OkStatus();
        });
    GrpcServerOptions options;
    options.addresses = {absl::StrCat("127.0.0.1:", port)};
    server_ = std::make_unique<GrpcServer>(options, table_, nullptr);
    EXPECT_THAT(server_->Start(), IsOk());
  }
  int port() const { return server_->ports()[0]; }
  std::string address() const { return absl::StrCat("127.0.0.1:", port()); }

 private:
  RpcTable table_;
  std::unique_ptr<GrpcServer> server_;
};

class PeerPollerTest : public testing::Test {
 protected:
  void Start(PeerPollerOptions options) {
    if (options.interval == absl::Seconds(2)) options.interval = absl::Hours(1);  // Rounds come when asked for.
    poller_ = std::make_unique<PeerPoller>(std::move(options), table_);
    poller_->Start();
    Poll();
  }
  void Poll() {
    absl::Notification done;
    poller_->PollNow([&done] { done.Notify(); });
    done.WaitForNotification();
  }
  PeerState StateOf(const std::string& address) const {
    for (const Peer& peer : table_.peers()) {
      if (peer.address == address) return peer.state;
    }
    return PeerState::kUnasked;
  }
  PeerTable::Place Find(uint64_t instance) const { return table_.Find(instance, absl::Now()); }

  PeerTable table_{{{0xa, "shop", "1.0"}, absl::Seconds(1)}};
  std::unique_ptr<PeerPoller> poller_;
};

TEST_F(PeerPollerTest, LearnsWhoIsWhere) {
  Other self(InstanceText(0xa)), other(InstanceText(0xb)), stranger(InstanceText(0xc), "warehouse"), rude("not an instance");
  PeerPollerOptions options;
  options.addresses = {self.address(), other.address(), stranger.address(), rude.address()};
  Start(options);
  EXPECT_EQ(StateOf(self.address()), PeerState::kSelf);
  EXPECT_EQ(StateOf(other.address()), PeerState::kServing);
  EXPECT_EQ(StateOf(stranger.address()), PeerState::kOtherDeployment);
  EXPECT_EQ(StateOf(rude.address()), PeerState::kSilent);
  EXPECT_EQ(Find(0xb).address, other.address());
}

TEST_F(PeerPollerTest, SeesAnEndAndARestartAtOnce) {
  auto other = std::make_unique<Other>(InstanceText(0xb));
  const int port = other->port();
  const std::string address = other->address();
  PeerPollerOptions options;
  options.addresses = {address};
  Start(options);
  EXPECT_EQ(Find(0xb).reach, PeerTable::Reach::kServing);
  other.reset();
  Poll();
  EXPECT_EQ(Find(0xb).reach, PeerTable::Reach::kSilent);
  other = std::make_unique<Other>(InstanceText(0xbb), "shop", port);
  Poll();
  EXPECT_EQ(Find(0xbb).reach, PeerTable::Reach::kServing);
  EXPECT_EQ(Find(0xb).reach, PeerTable::Reach::kGone);
}

TEST_F(PeerPollerTest, AsksByItselfAtItsInterval) {
  Other other(InstanceText(0xb));
  std::atomic<int> rounds{0};
  absl::Notification fourth;
  PeerPollerOptions options;
  options.interval = absl::Milliseconds(100);
  options.dns = "gateways:1";
  options.resolve = [&](const std::string&) -> absl::StatusOr<std::vector<std::string>> {
    if (rounds.fetch_add(1) == 3) fourth.Notify();
    return std::vector<std::string>{other.address()};
  };
  Start(options);
  EXPECT_TRUE(fourth.WaitForNotificationWithTimeout(absl::Seconds(20))) << rounds.load();
  poller_.reset();  // Before what its resolver uses.
}

TEST_F(PeerPollerTest, FollowsANameAndKeepsWhatItKnewWhenTheNameCannotBeAsked) {
  Other first(InstanceText(0xb)), second(InstanceText(0xc));
  std::atomic<int> round{0};
  PeerPollerOptions options;
  options.dns = "gateways:7400";
  options.resolve = [&](const std::string& name) -> absl::StatusOr<std::vector<std::string>> {
    EXPECT_EQ(name, "gateways:7400");
    if (round.load() == 1) return absl::UnavailableError("no answer from the name server");
    if (round.load() == 2) return std::vector<std::string>{second.address()};
    return std::vector<std::string>{first.address(), second.address()};
  };
  Start(options);
  EXPECT_EQ(Find(0xb).reach, PeerTable::Reach::kServing);
  EXPECT_EQ(Find(0xc).reach, PeerTable::Reach::kServing);
  round = 1;
  Poll();
  EXPECT_EQ(Find(0xb).reach, PeerTable::Reach::kServing);
  round = 2;
  Poll();
  EXPECT_EQ(Find(0xb).reach, PeerTable::Reach::kServing) << "it has left the name, and still answers";
}

TEST_F(PeerPollerTest, OneThatAcceptsAndNeverAnswersDoesNotHoldTheOthersUp) {
  Other other(InstanceText(0xb));
  // The system takes connections for it, and nobody reads them.
  const int mute = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(place);
  ASSERT_EQ(bind(mute, reinterpret_cast<sockaddr*>(&place), size), 0);
  ASSERT_EQ(listen(mute, 8), 0);
  ASSERT_EQ(getsockname(mute, reinterpret_cast<sockaddr*>(&place), &size), 0);
  const std::string address = absl::StrCat("127.0.0.1:", ntohs(place.sin_port));
  PeerPollerOptions options;
  options.answer_max = absl::Seconds(1);
  options.addresses = {other.address(), address};
  const absl::Time began = absl::Now();
  Start(options);
  EXPECT_EQ(Find(0xb).reach, PeerTable::Reach::kServing);
  EXPECT_EQ(StateOf(address), PeerState::kSilent);
  EXPECT_LT(absl::Now() - began, absl::Seconds(10));
  poller_.reset();
  close(mute);
}

TEST(ResolveAddressesTest, GivesEveryAddressWithThePort) {
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> addresses, ResolveAddresses("127.0.0.1:7400"));
  EXPECT_THAT(addresses, testing::ElementsAre("127.0.0.1:7400"));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> local, ResolveAddresses("localhost:7400"));
  EXPECT_THAT(local, testing::Contains(testing::AnyOf("127.0.0.1:7400", "[::1]:7400")));
  EXPECT_THAT(ResolveAddresses("no-such-name.invalid:7400"), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace quarry
