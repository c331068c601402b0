#include "server/loop/grpc_server.h"

#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "quarry/v1/transaction.pb.h"
#include "quarry/v1/value.pb.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/server/loop/on_drop.h"
#include "tests/unit/server/rpc_client.h"

namespace quarry {
namespace {

using Text = v1::NativeValue;

constexpr char kEcho[] = "/test.Echo/Say";
constexpr char kHang[] = "/test.Echo/Hang";
constexpr char kUntilDeadline[] = "/test.Echo/UntilDeadline";
constexpr char kCount[] = "/test.Echo/Count";
constexpr char kChat[] = "/test.Echo/Chat";
constexpr char kWhere[] = "/test.Echo/Where";

// What the handlers below saw.
struct Seen {
  std::atomic<int> hanging{0};
  std::atomic<int> dropped{0};
  std::atomic<int> written{0};
};

// How calls ended, as metrics and the access log are told.
class Ends : public CallObserver {
 public:
  void Started(const Method&, uint32_t) override {}
  void Ended(const CallRecord& record) override {
    last.store(record.status.code());
    count.fetch_add(1);
  }

  std::atomic<absl::StatusCode> last{absl::StatusCode::kOk};
  std::atomic<int> count{0};
};

Async<absl::Status> Say(const Text& request, Text& response, CallScope& scope) {
  if (request.text() == "fail") co_return InvalidField("text", "is not welcome");
  if (request.text() == "big") response.set_text(std::string(5 << 20, 'x'));
  if (request.text() != "big") response.set_text(request.text());
  response.set_type(scope.ctx.call_id);
  co_return absl::OkStatus();
}

Async<absl::Status> HangUntil(Seen* seen, absl::Time when, Loop& loop) {
  const OnDrop drop{seen->dropped};
  seen->hanging.fetch_add(1);
  SleepUntil sleep(loop, when);
  co_await sleep;
  co_return absl::OkStatus();
}

Async<absl::Status> UntilDeadline(const Text&, Text&, CallScope& scope) {
  SleepUntil sleep(scope.ctx.loop, scope.ctx.deadline);
  co_await sleep;
  co_return DeadlineError(Stage::kQuery);
}

Async<absl::Status> CountUp(Seen* seen, int count, size_t bytes, StreamWriter<Text> writer) {
  const OnDrop drop{seen->dropped};
  for (int i = 0; i < count; ++i) {
    Text message;
    message.set_type(absl::StrCat(i));
    message.set_text(std::string(bytes, 'x'));
    Future<absl::Status> sent = writer.Write(message);
    const absl::Status status = co_await sent;
    if (!status.ok()) co_return status;
    seen->written.fetch_add(1);
  }
  co_return absl::OkStatus();
}

Async<absl::Status> Chat(CallScope&, StreamReader<Text> reader, StreamWriter<Text> writer) {
  while (true) {
    Text message;
    Future<absl::StatusOr<bool>> next = reader.Read(message);
    const absl::StatusOr<bool> more = co_await next;
    if (!more.ok()) co_return more.status();
    if (!*more) co_return absl::OkStatus();
    Future<absl::Status> sent = writer.Write(message);
    const absl::Status status = co_await sent;
    if (!status.ok()) co_return status;
  }
}

Async<absl::Status> Where(const v1::GetTransactionRequest&, v1::GetTransactionResponse& response, CallScope& scope) {
  EXPECT_TRUE(scope.ctx.loop.OnLoopThread());
  response.add_shards(absl::StrCat(scope.loop_index));
  co_return absl::OkStatus();
}

class GrpcServerTest : public testing::Test {
 protected:
  GrpcServerTest() {
    table_.AddUnary<Text, Text>("test.Echo", "Say", Say);
    table_.AddUnary<Text, Text>("test.Echo", "Hang", [this](const Text& request, Text&, CallScope& scope) {
      const absl::Duration pause = request.text().empty() ? absl::Hours(1) : absl::Milliseconds(50);
      return HangUntil(&seen_, absl::Now() + pause, scope.ctx.loop);
    });
    table_.AddUnary<Text, Text>("test.Echo", "UntilDeadline", UntilDeadline);
    table_.AddServerStream<Text, Text>("test.Echo", "Count",
                                       [this](const Text& request, CallScope&, StreamWriter<Text> writer) {
                                         return CountUp(&seen_, std::stoi(request.text()),
                                                        request.type().empty() ? 10 : std::stoul(request.type()),
                                                        writer);
                                       });
    table_.AddBidi<Text, Text>("test.Echo", "Chat", Chat);
    table_.AddUnary<v1::GetTransactionRequest, v1::GetTransactionResponse>("test.Echo", "Where", Where);
    options_.loops = 2;
    options_.loop_of_transaction = [](const std::string& id) -> absl::StatusOr<uint32_t> {
      if (id.size() != 1) return absl::InvalidArgumentError("no id of ours");
      return static_cast<uint32_t>(id[0] - '0');
    };
  }
  void Start() {
    server_ = std::make_unique<GrpcServer>(options_, table_, &ends_);
    ASSERT_THAT(server_->Start(), IsOk());
    channel_ = ConnectTo(server_->ports()[0], salt_++);
  }
  absl::Status Call(const std::string& path, const std::string& text, Text* response,
                    absl::Duration timeout = absl::Seconds(20)) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    Text request;
    request.set_text(text);
    return CallUnary(*channel_, path, context, request, response);
  }
  void AwaitCount(const std::atomic<int>& count, int wanted) {
    const absl::Time until = absl::Now() + absl::Seconds(20);
    while (count.load() < wanted && absl::Now() < until) std::this_thread::yield();
    ASSERT_EQ(count.load(), wanted);
  }

  static inline int salt_ = 0;
  Seen seen_;
  Ends ends_;
  RpcTable table_;
  GrpcServerOptions options_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(GrpcServerTest, AnswersUnaryCallsOfManyThreads) {
  Start();
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        Text response;
        const std::string text = absl::StrCat(t, "-", i);
        if (Call(kEcho, text, &response).ok() && response.text() == text) good.fetch_add(1);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(good.load(), 1600);
}

TEST_F(GrpcServerTest, SendsReasonAndViolationsWithAnError) {
  Start();
  Text response;
  const absl::Status status = Call(kEcho, "fail", &response);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(status, HasReason(reason::kInvalidField));
  ASSERT_EQ(DetailOf(status).violations.size(), 1u);
  EXPECT_EQ(DetailOf(status).violations[0].field, "text");
}

TEST_F(GrpcServerTest, RefusesAReplyOverTheLimit) {
  Start();
  Text response;
  const absl::Status status = Call(kEcho, "big", &response);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(status, HasReason(reason::kLimitExceeded));
}

TEST_F(GrpcServerTest, RefusesAnUnknownMethodByName) {
  Start();
  Text response;
  const absl::Status status = Call("/test.Echo/Sya", "x", &response);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_TRUE(absl::StrContains(status.message(), "/test.Echo/Sya")) << status;
}

TEST_F(GrpcServerTest, RefusesBytesThatAreNoMessage) {
  Start();
  // No tag, text that is not UTF-8, a length beyond the end.
  for (const std::string bytes : {"\xff\xff\xff\xff", "\x12\x02\xc3\x28", "\x12\x7f"}) {
    grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::ClientContext context;
    EXPECT_THAT(CallUnary(*channel_, kEcho, context, request, &response), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  Text response;
  EXPECT_THAT(Call(kEcho, "still here", &response), IsOk());
}

TEST_F(GrpcServerTest, RefusesAMessageOrMetadataOverTheLimits) {
  Start();
  Text response;
  EXPECT_THAT(Call(kEcho, std::string(5 << 20, 'x'), &response), StatusIs(absl::StatusCode::kResourceExhausted));
  grpc::ClientContext context;
  context.AddMetadata("x-large", std::string(64 << 10, 'x'));
  EXPECT_THAT(CallUnary(*channel_, kEcho, context, Text(), &response),
              StatusIs(absl::StatusCode::kResourceExhausted));
  // gRPC may close a connection that sent too much metadata; the server serves on.
  channel_ = ConnectTo(server_->ports()[0], salt_++);
  EXPECT_THAT(Call(kEcho, "still here", &response), IsOk());
}

TEST_F(GrpcServerTest, TakesTheCallersIdOnlyWhenItIsSane) {
  Start();
  for (const auto& [id, kept] : {std::pair<std::string, bool>{"order-17/a", true}, {"two words", false}}) {
    grpc::ClientContext context;
    context.AddMetadata("x-request-id", id);
    Text response;
    ASSERT_THAT(CallUnary(*channel_, kEcho, context, Text(), &response), IsOk());
    EXPECT_EQ(response.type() == id, kept);
    EXPECT_FALSE(response.type().empty());
  }
}

TEST_F(GrpcServerTest, DropsTheHandlerWhenTheCallerCancels) {
  Start();
  grpc::ClientContext context;
  std::thread caller([&] {
    Text response;
    EXPECT_THAT(CallUnary(*channel_, kHang, context, Text(), &response), StatusIs(absl::StatusCode::kCancelled));
  });
  AwaitCount(seen_.hanging, 1);
  context.TryCancel();
  caller.join();
  AwaitCount(seen_.dropped, 1);
}

TEST_F(GrpcServerTest, EndsACallAtTheDefaultDeadlineNamingTheStage) {
  options_.limits.deadline_default = absl::Milliseconds(50);
  Start();
  grpc::ClientContext context;
  Text response;
  const absl::Status status = CallUnary(*channel_, kHang, context, Text(), &response);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(DetailOf(status).facts["stage"], "queue");
  AwaitCount(seen_.dropped, 1);
}

TEST_F(GrpcServerTest, AnswersBeforeItsCallerLeaves) {
  Start();
  ASSERT_TRUE(channel_->WaitForConnected(absl::ToChronoTime(absl::Now() + absl::Seconds(20))));
  Text response;
  absl::Status status;
  // The margin is a twentieth of its time: a machine that stands still for so long loses one of them.
  for (int tries = 0; tries < 5 && ReasonOf(status) != reason::kDeadline; ++tries) {
    status = Call(kUntilDeadline, "", &response, absl::Milliseconds(600));
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
  EXPECT_THAT(status, HasReason(reason::kDeadline)) << "the caller's own clock gives no reason";
}

TEST_F(GrpcServerTest, ACallerWhoseTimeWasUpHasNotCancelled) {
  Start();
  ASSERT_TRUE(channel_->WaitForConnected(absl::ToChronoTime(absl::Now() + absl::Seconds(20))));
  Text response;
  EXPECT_THAT(Call(kHang, "", &response, absl::Seconds(1)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  AwaitCount(ends_.count, 1);
  EXPECT_EQ(ends_.last, absl::StatusCode::kDeadlineExceeded);
  grpc::ClientContext context;
  std::thread caller([&] { CallUnary(*channel_, kHang, context, Text(), &response).IgnoreError(); });
  AwaitCount(seen_.hanging, 2);
  context.TryCancel();
  caller.join();
  AwaitCount(ends_.count, 2);
  EXPECT_EQ(ends_.last, absl::StatusCode::kCancelled);
}

TEST_F(GrpcServerTest, RefusesCallsOverTheLimitAtOnce) {
  options_.loops = 1;
  options_.limits.calls_in_flight_max = 2;
  Start();
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    callers.emplace_back([this, context = contexts.back().get()] {
      Text response;
      CallUnary(*channel_, kHang, *context, Text(), &response).IgnoreError();
    });
  }
  AwaitCount(seen_.hanging, 2);
  Text response;
  const absl::Status status = Call(kEcho, "third", &response);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(status, HasReason(reason::kLimitExceeded));
  EXPECT_TRUE(DetailOf(status).retry_after.has_value());
  for (const auto& context : contexts) context->TryCancel();
  for (std::thread& caller : callers) caller.join();
  AwaitCount(seen_.dropped, 2);
  EXPECT_THAT(Call(kEcho, "again", &response), IsOk());
}

TEST_F(GrpcServerTest, StreamsInOrderToTheEnd) {
  Start();
  grpc::ClientContext context;
  Text request;
  request.set_text("500");
  const auto stream = CallServerStream<Text>(*channel_, kCount, context, request);
  Text message;
  int count = 0;
  while (stream->Read(&message)) EXPECT_EQ(message.type(), absl::StrCat(count++));
  EXPECT_THAT(ToAbsl(stream->Finish()), IsOk());
  EXPECT_EQ(count, 500);
}

TEST_F(GrpcServerTest, AStreamWaitsForASlowReaderAndEndsWhenItLeaves) {
  Start();
  grpc::ClientContext context;
  Text request;
  request.set_text("100000");
  request.set_type("1000000");
  auto stream = CallServerStream<Text>(*channel_, kCount, context, request);
  Text message;
  ASSERT_TRUE(stream->Read(&message));
  context.TryCancel();
  while (stream->Read(&message)) {
  }
  EXPECT_THAT(ToAbsl(stream->Finish()), StatusIs(absl::StatusCode::kCancelled));
  AwaitCount(seen_.dropped, 1);
  EXPECT_LT(seen_.written.load(), 100);
}

TEST_F(GrpcServerTest, ChatsInBothDirections) {
  Start();
  grpc::ClientContext context;
  const auto stream = CallBidi<Text, Text>(*channel_, kChat, context);
  for (int i = 0; i < 50; ++i) {
    Text message;
    message.set_text(absl::StrCat(i));
    ASSERT_TRUE(stream->Write(message));
    Text answer;
    ASSERT_TRUE(stream->Read(&answer));
    EXPECT_EQ(answer.text(), message.text());
  }
  stream->WritesDone();
  EXPECT_THAT(ToAbsl(stream->Finish()), IsOk());
}

TEST_F(GrpcServerTest, RunsACallOnTheLoopOfItsTransaction) {
  Start();
  for (int round = 0; round < 50; ++round) {
    for (const std::string id : {"0", "1"}) {
      grpc::ClientContext context;
      v1::GetTransactionRequest request;
      request.set_transaction_id(id);
      v1::GetTransactionResponse response;
      ASSERT_THAT(CallUnary(*channel_, kWhere, context, request, &response), IsOk());
      EXPECT_EQ(response.shards(0), id);
    }
  }
  grpc::ClientContext context;
  v1::GetTransactionRequest request;
  request.set_transaction_id("foreign");
  v1::GetTransactionResponse response;
  EXPECT_THAT(CallUnary(*channel_, kWhere, context, request, &response), IsOk());
}

TEST_F(GrpcServerTest, RunsLocalCallsWithTheSameLimits) {
  Start();
  const auto call = [this](const char* path, const std::string& text, absl::Time deadline) {
    auto message = std::make_unique<Text>();
    message->set_text(text);
    LocalRequest request;
    request.method = table_.Find(path);
    request.message = std::move(message);
    request.deadline = deadline;
    request.metadata["x-request-id"] = "local-1";
    return server_->CallUnary(std::move(request));
  };
  ASSERT_OK_AND_ASSIGN(const auto response, call(kEcho, "hello", absl::InfiniteFuture()));
  EXPECT_EQ(static_cast<const Text&>(*response).text(), "hello");
  EXPECT_EQ(static_cast<const Text&>(*response).type(), "local-1");
  EXPECT_THAT(call(kEcho, "big", absl::InfiniteFuture()), HasReason(reason::kLimitExceeded));
  EXPECT_THAT(call(kHang, "", absl::Now() + absl::Milliseconds(20)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  AwaitCount(seen_.dropped, seen_.hanging.load());  // On a slow machine its deadline ends before it begins.
}

TEST_F(GrpcServerTest, DrainLetsCallsInFlightEnd) {
  Start();
  absl::Status status;
  std::thread caller([&] {
    Text response;
    status = Call(kHang, "a little", &response);
  });
  AwaitCount(seen_.hanging, 1);
  server_->Drain(absl::Now() + absl::Seconds(20));
  caller.join();
  EXPECT_THAT(status, IsOk());
}

TEST_F(GrpcServerTest, DrainDropsWhatOutlivesItsDeadline) {
  Start();
  absl::Status status;
  std::thread caller([&] {
    Text response;
    status = Call(kHang, "", &response);
  });
  AwaitCount(seen_.hanging, 1);
  server_->Drain(absl::Now() + absl::Milliseconds(50));
  caller.join();
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(seen_.dropped.load(), 1);
}

TEST_F(GrpcServerTest, RefusesAPortThatIsTaken) {
  Start();
  GrpcServerOptions second = options_;
  second.addresses = {absl::StrCat("127.0.0.1:", server_->ports()[0])};
  GrpcServer other(second, table_, nullptr);
  EXPECT_THAT(other.Start(), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace quarry
