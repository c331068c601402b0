// Renewals whose answers come at the very moment at which they are waited for no longer.
#include "client/internal/lock_stream.h"

#include <atomic>
#include <chrono>
#include <iostream>
#include <memory>
#include <random>
#include <string>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "quarry/v1/lock.grpc.pb.h"

namespace quarry::client::internal {
namespace {

constexpr int kRenewals = 400;
constexpr absl::Duration kPatience = absl::Milliseconds(10);

// Answers each renewal after `delay_micros`.
class SlowLocks final : public v1::LockService::Service {
 public:
  grpc::Status KeepAlive(grpc::ServerContext* /*context*/,
                         grpc::ServerReaderWriter<v1::KeepAliveResponse, v1::KeepAliveRequest>* stream) override {
    v1::KeepAliveRequest request;
    const absl::Notification never;
    while (stream->Read(&request)) {
      never.WaitForNotificationWithTimeout(absl::Microseconds(delay_micros.load()));
      stream->Write(v1::KeepAliveResponse());
    }
    return grpc::Status::OK;
  }

  std::atomic<int64_t> delay_micros{0};
};

TEST(LockStreamTest, AnAnswerAtTheMomentOfTheTimeoutIsNotWaitedForForEver) {
  const uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << std::endl;
  std::mt19937_64 random(seed);
  SlowLocks locks;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&locks);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  const std::unique_ptr<v1::LockService::Stub> stub = v1::LockService::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  std::unique_ptr<LockStream> stream;
  int answered = 0;
  for (int renewal = 0; renewal < kRenewals; ++renewal) {
    if (stream == nullptr) stream = OpenLockStream(*stub);
    // An answer takes a part of a millisecond itself.
    locks.delay_micros = absl::ToInt64Microseconds(kPatience) - 1'000 + static_cast<int64_t>(random() % 1'500);
    const absl::StatusOr<v1::KeepAliveResponse> renewed = stream->Renew(v1::KeepAliveRequest(), kPatience);
    if (renewed.ok()) {
      ++answered;
    } else {
      EXPECT_EQ(renewed.status().code(), absl::StatusCode::kDeadlineExceeded) << renewed.status();
      stream.reset();
    }
  }
  EXPECT_GT(answered, 0);
  EXPECT_LT(answered, kRenewals);
  stream.reset();
  server->Shutdown(std::chrono::system_clock::now());
}

}  // namespace
}  // namespace quarry::client::internal
