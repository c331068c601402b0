#include "server/loop/gathered_sends.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "absl/base/config.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "server/loop/grpc_loop.h"

namespace quarry {
namespace {

// A TCP connection of the machine with itself, without delay, as gRPC sets its own up.
class GatheredSendsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(listen(listener, 1), 0);
    ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    client_ = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(connect(client_, reinterpret_cast<sockaddr*>(&address), size), 0);
    server_ = accept(listener, nullptr, nullptr);
    const int on = 1;
    ASSERT_EQ(setsockopt(server_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    close(listener);
  }
  void TearDown() override {
    close(client_);
    close(server_);
  }

  void Send(std::string text) const {
    iovec part{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    ASSERT_EQ(sendmsg(server_, &message, MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // What one read of the other side gives; "" when nothing is there and `flags` say not to wait.
  std::string Receive(int flags) const {
    std::array<char, 64> bytes;
    const ssize_t got = recv(client_, bytes.data(), bytes.size(), flags);
    return got < 0 ? "" : std::string(bytes.data(), static_cast<size_t>(got));
  }

  int client_ = -1;
  int server_ = -1;
};

#ifndef ABSL_HAVE_THREAD_SANITIZER  // Under which nothing is gathered.
TEST_F(GatheredSendsTest, WhatIsSentLeavesTogetherAtTheEnd) {
  {
    const GatheredSends together(true);
    Send("one ");
    Send("two");
    EXPECT_EQ(Receive(MSG_DONTWAIT), "");
  }
  EXPECT_EQ(Receive(0), "one two");
}

TEST_F(GatheredSendsTest, WhatALoopFindsReadyTogetherLeavesTogether) {
  grpc::ServerBuilder builder;
  GrpcLoop loop(builder.AddCompletionQueue());
  std::string before_the_last = "nothing was received";
  loop.RunAndWait([&] {
    for (int piece = 0; piece < 8; ++piece) loop.Defer([this] { Send("x"); });
    loop.Defer([&] { before_the_last = Receive(MSG_DONTWAIT); });
  });
  EXPECT_EQ(Receive(0), "xxxxxxxx");
  loop.StopAndJoin();
  EXPECT_EQ(before_the_last, "");
}
#endif

TEST_F(GatheredSendsTest, WithoutItEachGoesAtOnce) {
  Send("one");
  EXPECT_EQ(Receive(0), "one");
  const GatheredSends each(false);
  Send("two");
  EXPECT_EQ(Receive(0), "two");
}

TEST_F(GatheredSendsTest, SocketsBeyondItsBoundGoAtOnce) {
  GatheredSends together(true);
  for (int fd = 1'000'000; together.Add(fd); ++fd) {
  }
  Send("one");
  EXPECT_EQ(Receive(0), "one");
}

}  // namespace
}  // namespace quarry
