// Two or three servers whose tables of peers are written by hand.
#include "server/loop/forwarding.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/txn/transaction_id.h"
#include "gtest/gtest.h"
#include "quarry/v1/transaction.pb.h"
#include "server/loop/grpc_server.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/server/loop/on_drop.h"
#include "tests/unit/server/rpc_client.h"

namespace quarry {
namespace {

using Request = v1::SavepointRequest;  // transaction_id, name: what the handler shall do.
using Reply = v1::GetTransactionResponse;

constexpr char kRun[] = "/test.Txn/Run";
constexpr char kLook[] = "/test.Txn/Look";
constexpr char kCommit[] = "/test.Txn/Commit";
constexpr char kCountUp[] = "/test.Txn/Count";

// A server that knows others as instances at addresses.
struct Node {
  explicit Node(uint64_t instance, uint32_t loops = 2) : peers({{instance, "test", "1"}, absl::Milliseconds(200)}) {
    const auto run = [this](const Request& request, Reply& reply, CallScope& scope) {
      return Handle(request, reply, scope);
    };
    table.AddUnary<Request, Reply>("test.Txn", "Run", run);
    table.AddUnary<Request, Reply>("test.Txn", "Look", run, Method::kFewOffers, TransactionRole::kLook);
    table.AddUnary<Request, Reply>("test.Txn", "Commit", run, Method::kFewOffers, TransactionRole::kCommit);
    table.AddServerStream<Request, Reply>("test.Txn", "Count",
                                          [this](const Request& request, CallScope&, StreamWriter<Reply> writer) {
                                            return Count(request, writer);
                                          });
    GrpcServerOptions options;
    options.loops = loops;
    options.peers = &peers;
    options.loop_of_transaction = [](const std::string& id) -> absl::StatusOr<uint32_t> {
      QUARRY_ASSIGN_OR_RETURN(const TransactionOwner owner, ParseTransactionId(id));
      return owner.loop;
    };
    options.poll_peers = [this](absl::AnyInvocable<void()> done) {
      polls.fetch_add(1);
      if (on_poll) on_poll();
      done();
    };
    server = std::make_unique<GrpcServer>(options, table, nullptr);
    EXPECT_THAT(server->Start(), IsOk());
    address = absl::StrCat("127.0.0.1:", server->ports()[0]);
    channel = ConnectTo(server->ports()[0]);
  }

  void Knows(const std::string& where, uint64_t instance) {
    peers.SetAddresses({where});
    peers.Answered(where, {instance, "test", "1"}, absl::Now());
  }
  void Knows(const Node& other) { Knows(other.address, other.peers.self().instance); }
  std::string NewId(uint32_t loop = 0) const {
    SystemRandom random;
    return MakeTransactionId({peers.self().instance, loop}, random);
  }
  uint64_t forwarded(ForwardResult result) const { return peers.forwarded(result); }

  Async<absl::Status> Handle(const Request& request, Reply& reply, CallScope& scope) {
    reply.add_shards(absl::StrCat(peers.self().instance, "/", scope.loop_index));
    reply.add_shards(scope.ctx.call_id);
    handled.fetch_add(1);
    if (request.name() == "fail") {
      ErrorDetail detail;
      detail.reason = reason::kShardUnavailable;
      detail.facts = {{"strange", "\xc3\xa4\n\"%"}};  // One: the order of several is not kept anywhere.
      detail.retry_after = absl::Milliseconds(1234);
      co_return MakeError(absl::StatusCode::kUnavailable, std::string(1500, 'm') + "\xe2\x82\xac", detail);
    }
    if (request.name() == "metadata") {
      scope.metadata.ForEach([&reply](std::string_view key, std::string_view value) {
        const bool binary = absl::EndsWith(std::string(key), "-bin");
        reply.add_shards(absl::StrCat(std::string(key), "=", binary ? absl::BytesToHexString(std::string(value)) : std::string(value)));
      });
    }
    if (absl::StartsWith(request.name(), "big ")) reply.add_shards(std::string(std::stoul(request.name().substr(4)), 'x'));
    if (request.name() == "hang") {
      const OnDrop drop{dropped};
      hanging.fetch_add(1);
      SleepUntil sleep(scope.ctx.loop, absl::Now() + absl::Hours(1));
      co_await sleep;
    }
    co_return absl::OkStatus();
  }

  // "count bytes"
  Async<absl::Status> Count(const Request& request, StreamWriter<Reply> writer) {
    const OnDrop drop{dropped};
    const std::vector<std::string> parts = absl::StrSplit(request.name(), ' ');
    const int count = std::stoi(parts[0]);
    for (int i = 0; i < count; ++i) {
      Reply message;
      message.add_shards(absl::StrCat(i));
      message.add_shards(std::string(std::stoul(parts[1]), 'x'));
      Future<absl::Status> sent = writer.Write(message);
      const absl::Status status = co_await sent;
      if (!status.ok()) co_return status;
      written.fetch_add(1);
    }
    if (parts.size() > 2) co_return InvalidField("name", "ends badly");
    co_return absl::OkStatus();
  }

  RpcTable table;
  PeerTable peers;
  std::function<void()> on_poll;
  std::atomic<int> polls{0};
  std::atomic<int> handled{0};
  std::atomic<int> hanging{0};
  std::atomic<int> dropped{0};
  std::atomic<int> written{0};
  std::unique_ptr<GrpcServer> server;
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
};

Request Ask(const std::string& id, const std::string& name = "") {
  Request request;
  request.set_transaction_id(id);
  request.set_name(name);
  return request;
}

absl::Status CallOn(const Node& node, const char* path, const Request& request, Reply* reply,
                    absl::Duration timeout = absl::Seconds(20)) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  return CallUnary(*node.channel, path, context, request, reply);
}

void AwaitCount(const std::atomic<int>& count, int wanted) {
  const absl::Time until = absl::Now() + absl::Seconds(20);
  while (count.load() < wanted && absl::Now() < until) std::this_thread::yield();
  ASSERT_EQ(count.load(), wanted);
}

// A port where nobody listens.
std::string DeadAddress() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(place);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&place), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&place), &size), 0);
  close(fd);
  return absl::StrCat("127.0.0.1:", ntohs(place.sin_port));
}

class ForwardingTest : public testing::Test {
 protected:
  ForwardingTest() { asked_.Knows(owner_); }
  Node owner_{7};
  Node asked_{5};
};

TEST_F(ForwardingTest, ACallRunsOnTheLoopOfItsOwner) {
  for (uint32_t loop : {0u, 1u, 0u, 1u}) {
    Reply reply;
    ASSERT_THAT(CallOn(asked_, kRun, Ask(owner_.NewId(loop)), &reply), IsOk());
    EXPECT_EQ(reply.shards(0), absl::StrCat("7/", loop));
  }
  EXPECT_EQ(asked_.handled.load(), 0);
  EXPECT_EQ(asked_.forwarded(ForwardResult::kOk), 4u);
  EXPECT_EQ(asked_.polls.load(), 0) << "a known owner needs no asking around";
}

TEST_F(ForwardingTest, CallsOfItsOwnTransactionsAndWithoutOneStay) {
  Reply reply;
  ASSERT_THAT(CallOn(asked_, kRun, Ask(asked_.NewId(1)), &reply), IsOk());
  EXPECT_EQ(reply.shards(0), "5/1");
  ASSERT_THAT(CallOn(asked_, kRun, Ask(""), &reply), IsOk());
  ASSERT_THAT(CallOn(asked_, kRun, Ask("no id at all"), &reply), IsOk());
  EXPECT_EQ(asked_.handled.load(), 3);
  EXPECT_EQ(owner_.handled.load(), 0);
}

TEST_F(ForwardingTest, AnErrorComesBackByteForByte) {
  grpc::Status direct, forwarded;
  for (const auto& [node, status] : {std::pair<Node*, grpc::Status*>{&owner_, &direct}, {&asked_, &forwarded}}) {
    grpc::ClientContext context;
    Reply reply;
    const grpc::internal::RpcMethod method(kRun, grpc::internal::RpcMethod::NORMAL_RPC);
    *status = grpc::internal::BlockingUnaryCall<Request, Reply>(node->channel.get(), method, &context,
                                                                Ask(owner_.NewId(), "fail"), &reply);
  }
  EXPECT_EQ(forwarded.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(forwarded.error_code(), direct.error_code());
  EXPECT_EQ(forwarded.error_message(), direct.error_message());
  EXPECT_EQ(ToAbsl(forwarded), ToAbsl(direct));
  EXPECT_EQ(forwarded.error_details().size(), direct.error_details().size());
  EXPECT_THAT(ToAbsl(forwarded), HasReason(reason::kShardUnavailable));
  EXPECT_EQ(DetailOf(ToAbsl(forwarded)).retry_after, absl::Milliseconds(1234));
  EXPECT_EQ(asked_.forwarded(ForwardResult::kError), 1u);
}

TEST_F(ForwardingTest, TheOwnerSeesWhatTheCallerSent) {
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer abc");
  context.AddMetadata("x-request-id", "order-17");
  context.AddMetadata("tag", "one");
  context.AddMetadata("tag", "two");
  context.AddMetadata("blob-bin", std::string("\0\xff", 2));
  Reply reply;
  ASSERT_THAT(CallUnary(*asked_.channel, kRun, context, Ask(owner_.NewId(), "metadata"), &reply), IsOk());
  EXPECT_EQ(reply.shards(1), "order-17");
  const std::vector<std::string> seen(reply.shards().begin(), reply.shards().end());
  for (const std::string& wanted : {std::string("authorization=Bearer abc"), std::string("tag=one"), std::string("tag=two"), std::string("blob-bin=00ff"),
                                    std::string("x-request-id=order-17"), std::string("quarry-forwarded=0000000000000005")}) {
    EXPECT_EQ(std::count(seen.begin(), seen.end(), wanted), 1) << wanted;
  }
}

TEST_F(ForwardingTest, BothGatewaysUseOneCallId) {
  Reply reply;
  ASSERT_THAT(CallOn(asked_, kRun, Ask(owner_.NewId(), "metadata"), &reply), IsOk());
  const std::vector<std::string> seen(reply.shards().begin(), reply.shards().end());
  EXPECT_EQ(std::count(seen.begin(), seen.end(), "x-request-id=" + reply.shards(1)), 1);
}

TEST_F(ForwardingTest, AReplyJustUnderTheLimitComesThroughAndOneOverItIsTheOwnersRefusal) {
  const int64_t limit = CallLimits().send_bytes_max;
  Reply reply;
  ASSERT_THAT(CallOn(asked_, kRun, Ask(owner_.NewId(), absl::StrCat("big ", limit - 100)), &reply), IsOk());
  EXPECT_EQ(reply.shards(2).size(), static_cast<size_t>(limit - 100));
  const absl::Status over = CallOn(asked_, kRun, Ask(owner_.NewId(), absl::StrCat("big ", limit)), &reply);
  EXPECT_THAT(over, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(over, HasReason(reason::kLimitExceeded));
}

TEST_F(ForwardingTest, ALargeRequestComesThroughWhole) {
  Request request = Ask(owner_.NewId(), "");
  request.set_name(std::string(3 << 20, 'n'));  // Of many pieces as it arrives.
  Reply reply;
  EXPECT_THAT(CallOn(asked_, kRun, request, &reply), IsOk());
  EXPECT_EQ(owner_.handled.load(), 1);
}

TEST_F(ForwardingTest, AStreamComesThroughInOrderWithItsEnd) {
  for (const char* end : {"", " badly"}) {
    grpc::ClientContext context;
    const auto stream =
        CallServerStream<Reply>(*asked_.channel, kCountUp, context, Ask(owner_.NewId(1), absl::StrCat("300 2000", end)));
    Reply message;
    int count = 0;
    while (stream->Read(&message)) EXPECT_EQ(message.shards(0), absl::StrCat(count++));
    EXPECT_EQ(count, 300);
    const absl::Status status = ToAbsl(stream->Finish());
    if (*end == '\0') {
      EXPECT_THAT(status, IsOk());
    } else {
      EXPECT_THAT(status, HasReason(reason::kInvalidField));
    }
  }
}

TEST_F(ForwardingTest, AStreamWaitsForItsReaderAndEndsWhenTheReaderLeaves) {
  grpc::ClientContext context;
  auto stream = CallServerStream<Reply>(*asked_.channel, kCountUp, context, Ask(owner_.NewId(), "100000 1000000"));
  Reply message;
  ASSERT_TRUE(stream->Read(&message));
  context.TryCancel();
  while (stream->Read(&message)) {
  }
  EXPECT_THAT(ToAbsl(stream->Finish()), StatusIs(absl::StatusCode::kCancelled));
  AwaitCount(owner_.dropped, 1);
  EXPECT_LT(owner_.written.load(), 200);
}

TEST_F(ForwardingTest, ACallersCancelDropsTheOwnersHandler) {
  grpc::ClientContext context;
  std::thread caller([&] {
    Reply reply;
    EXPECT_THAT(CallUnary(*asked_.channel, kRun, context, Ask(owner_.NewId(), "hang"), &reply),
                StatusIs(absl::StatusCode::kCancelled));
  });
  AwaitCount(owner_.hanging, 1);
  context.TryCancel();
  caller.join();
  AwaitCount(owner_.dropped, 1);
}

TEST_F(ForwardingTest, TheDeadlineGoesWithTheCall) {
  Reply reply;
  EXPECT_THAT(CallOn(asked_, kRun, Ask(owner_.NewId(), "hang"), &reply, absl::Milliseconds(300)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  AwaitCount(owner_.dropped, 1);
}

TEST_F(ForwardingTest, AGatewayThatNobodyKnowsIsGone) {
  const std::string id = Node(99, 1).NewId();
  Reply reply;
  const absl::Status status = CallOn(asked_, kRun, Ask(id), &reply);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(status, HasReason(reason::kTransactionEnded));
  EXPECT_TRUE(absl::StrContains(status.message(), id)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "its gateway is gone: what was not decided is rolled back; run it again"))
      << status;
  EXPECT_EQ(asked_.polls.load(), 1) << "the peers are asked once before that is believed";
  EXPECT_EQ(asked_.forwarded(ForwardResult::kGone), 1u);
  // What the shards' decisions can answer is answered here.
  for (const char* path : {kLook, kCommit}) {
    ASSERT_THAT(CallOn(asked_, path, Ask(id), &reply), IsOk()) << path;
    EXPECT_TRUE(absl::StartsWith(reply.shards(0), "5/")) << path;
  }
}

TEST_F(ForwardingTest, AnOwnerThatHasJustComeIsFoundByAskingAround) {
  Node late(11);
  asked_.on_poll = [&] { asked_.Knows(late); };
  Reply reply;
  ASSERT_THAT(CallOn(asked_, kRun, Ask(late.NewId(1)), &reply), IsOk());
  EXPECT_EQ(reply.shards(0), "11/1");
  EXPECT_EQ(asked_.polls.load(), 1);
}

TEST_F(ForwardingTest, AnOwnerThatCannotBeReachedIsUnavailableAndThenGone) {
  const std::string dead = DeadAddress();
  asked_.Knows(dead, 13);
  asked_.on_poll = [&] { asked_.peers.Failed(dead, absl::UnavailableError("connection refused"), absl::Now()); };
  SystemRandom random;
  const std::string id = MakeTransactionId({13, 0}, random);
  Reply reply;
  const absl::Status first = CallOn(asked_, kRun, Ask(id), &reply);
  EXPECT_THAT(first, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(first, HasReason(reason::kPeerUnavailable));
  EXPECT_EQ(DetailOf(first).facts["gateway"], dead);
  EXPECT_TRUE(DetailOf(first).retry_after.has_value());
  absl::Status status = first;
  const absl::Time until = absl::Now() + absl::Seconds(20);
  while (absl::IsUnavailable(status) && absl::Now() < until) status = CallOn(asked_, kRun, Ask(id), &reply);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(status, HasReason(reason::kTransactionEnded));
}

TEST_F(ForwardingTest, ACallThatAGatewaySentGoesNoFurther) {
  // Each believes that the other has the transactions of a third.
  owner_.Knows(asked_.address, 17);
  asked_.Knows(owner_.address, 17);
  SystemRandom random;
  Reply reply;
  const absl::Status status = CallOn(asked_, kRun, Ask(MakeTransactionId({17, 0}, random)), &reply);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(status, HasReason(reason::kPeerUnavailable));
  EXPECT_EQ(owner_.forwarded(ForwardResult::kRefused), 2u) << "asked again once, in case the peers have changed";
  EXPECT_EQ(asked_.forwarded(ForwardResult::kRefused), 0u) << "nothing came back";
  EXPECT_EQ(owner_.handled.load() + asked_.handled.load(), 0);
}

TEST_F(ForwardingTest, ACallThatMissedItsOwnerFindsItAtItsNewAddress) {
  Node moved(19);
  asked_.Knows(owner_.address, 19);
  asked_.on_poll = [&] {
    asked_.Knows(moved);
    asked_.peers.Answered(owner_.address, {7, "test", "1"}, absl::Now());
  };
  Reply reply;
  ASSERT_THAT(CallOn(asked_, kRun, Ask(moved.NewId()), &reply), IsOk());
  EXPECT_EQ(reply.shards(0), "19/0");
  EXPECT_EQ(owner_.forwarded(ForwardResult::kRefused), 1u);
}

TEST_F(ForwardingTest, AnAnswerThatIsLostSaysWhatTheCallerMayDo) {
  uint64_t instance = 23;
  for (const auto& [path, code, reason] :
       {std::tuple<const char*, absl::StatusCode, const char*>{kRun, absl::StatusCode::kAborted, reason::kTransactionEnded},
        {kCommit, absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown},
        {kLook, absl::StatusCode::kUnavailable, reason::kPeerUnavailable}}) {
    Node dying(instance++);
    asked_.Knows(dying);
    absl::Status status;
    std::thread caller([&, path = path] {
      Reply reply;
      status = CallOn(asked_, path, Ask(dying.NewId(), "hang"), &reply);
    });
    AwaitCount(dying.hanging, 1);
    dying.server->Drain(absl::Now());
    caller.join();
    EXPECT_THAT(status, StatusIs(code)) << path;
    EXPECT_THAT(status, HasReason(reason)) << path;
    EXPECT_EQ(DetailOf(status).facts["gateway"], dying.address) << path;
  }
  EXPECT_EQ(asked_.forwarded(ForwardResult::kLost), 3u);
}

TEST_F(ForwardingTest, CallsOfTheHttpPortAreForwardedToo) {
  const auto call = [this](const std::string& name, absl::Duration timeout = absl::Seconds(20)) {
    LocalRequest request;
    request.method = asked_.table.Find(kRun);
    request.message = std::make_unique<Request>(Ask(owner_.NewId(1), name));
    request.metadata["x-request-id"] = "local-1";
    request.deadline = absl::Now() + timeout;
    return asked_.server->CallUnary(std::move(request));
  };
  ASSERT_OK_AND_ASSIGN(const auto reply, call(""));
  EXPECT_EQ(static_cast<const Reply&>(*reply).shards(0), "7/1");
  EXPECT_EQ(static_cast<const Reply&>(*reply).shards(1), "local-1");
  EXPECT_THAT(call("fail"), HasReason(reason::kShardUnavailable));
  EXPECT_THAT(call("hang", absl::Milliseconds(200)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  AwaitCount(owner_.dropped, 1);
}

TEST_F(ForwardingTest, ManyAtOnceKeepApart) {
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([&, t] {
      const std::string id = owner_.NewId(static_cast<uint32_t>(t % 2));
      for (int i = 0; i < 100; ++i) {
        Reply reply;
        const std::string name = absl::StrCat("big ", 100 * t + i);
        const absl::Status status = CallOn(asked_, kRun, Ask(id, name), &reply);
        EXPECT_THAT(status, IsOk());
        if (status.ok() && reply.shards(2).size() == static_cast<size_t>(100 * t + i)) good.fetch_add(1);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(good.load(), 800);
}

}  // namespace
}  // namespace quarry
