#include "loadtest/quarry_load/driver.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"

namespace quarry::load {
namespace {

// Answers a call with its request; by `reply` with an error, or not at all until it is cancelled.
enum class Reply { kEcho, kError, kNever };

class EchoReactor final : public grpc::ServerGenericBidiReactor {
 public:
  explicit EchoReactor(Reply reply) : reply_(reply) { StartRead(&message_); }

  void OnReadDone(bool ok) override {
    if (!ok) {
      if (reply_ != Reply::kNever) Finish(grpc::Status::CANCELLED);
      return;
    }
    if (reply_ == Reply::kEcho)
      StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
    if (reply_ == Reply::kError) Finish(grpc::Status(grpc::StatusCode::ABORTED, "on purpose"));
  }
  void OnCancel() override {
    if (reply_ == Reply::kNever) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  const Reply reply_;
  grpc::ByteBuffer message_;
};

class FakeServer final : public grpc::CallbackGenericService {
 public:
  explicit FakeServer(std::function<Reply(int64_t call)> reply) : reply_(std::move(reply)) {
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(this);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    server_ = builder.BuildAndStart();
  }
  ~FakeServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new EchoReactor(reply_(calls_++));
  }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }
  int64_t calls() const { return calls_; }

 private:
  std::function<Reply(int64_t)> reply_;
  std::atomic<int64_t> calls_{0};
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class DriverTest : public testing::Test {
 protected:
  DriverTest() {
    scenario_.operations = {{Operation::kEcho, 1}};
    scenario_.warmup = absl::ZeroDuration();
    scenario_.concurrency = 4;
    scenario_.seed = 3;
  }

  absl::StatusOr<RunResult> Run(const FakeServer& server) {
    RunOptions options;
    options.address = server.address();
    return RunScenario(scenario_, options, interrupted_);
  }

  Scenario scenario_;
  volatile int interrupted_ = 0;
};

TEST_F(DriverTest, SendsExactlyAsManyCallsAsAsked) {
  FakeServer server([](int64_t) { return Reply::kEcho; });
  scenario_.calls = 103;
  for (const int64_t threads : {1, 3}) {
    scenario_.threads = threads;
    const int64_t before = server.calls();
    const auto run = Run(server);
    ASSERT_TRUE(run.ok()) << run.status();
    const OperationTotals all = run->totals.Sum();
    EXPECT_EQ(all.calls, 103);
    EXPECT_EQ(all.errors, 0);
    EXPECT_EQ(all.items, 103);
    EXPECT_EQ(all.bytes, 103 * 2 * scenario_.request_bytes);
    EXPECT_EQ(server.calls() - before, 103);
    EXPECT_GT(run->seconds, 0);
  }
}

TEST_F(DriverTest, OpenLoopSendsItsWholeSchedule) {
  FakeServer server([](int64_t) { return Reply::kEcho; });
  scenario_.rate = 1000;
  scenario_.threads = 2;
  scenario_.in_flight_max = 2;
  scenario_.duration = absl::Milliseconds(300);
  const auto run = Run(server);
  ASSERT_TRUE(run.ok()) << run.status();
  const OperationTotals all = run->totals.Sum();
  EXPECT_EQ(all.calls, 300);
  EXPECT_EQ(all.latency.count(), 300);
  EXPECT_EQ(all.service.count(), 300);
  EXPECT_GE(all.latency.max(), all.service.max());
  int64_t in_timeline = 0;
  for (const TimelineEntry& entry : run->timeline) in_timeline += entry.calls;
  EXPECT_EQ(in_timeline, 300);
}

TEST_F(DriverTest, CallsThatNeverEndAreCancelledAndHaveFailed) {
  FakeServer server([](int64_t call) { return call < 10 ? Reply::kEcho : Reply::kNever; });
  scenario_.duration = absl::Seconds(1);
  scenario_.drain_timeout = absl::Milliseconds(100);
  const auto run = Run(server);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->cancelled, 4);
  EXPECT_EQ(run->totals.Sum().calls, 14);
  EXPECT_EQ(run->totals.Sum().errors, 4);
  EXPECT_EQ(run->totals.errors.begin()->first.first, "CANCELLED");
}

TEST_F(DriverTest, CallsThatWereDueAndNeverSentHaveFailed) {
  FakeServer server([](int64_t) { return Reply::kNever; });
  scenario_.rate = 100;
  scenario_.in_flight_max = 3;
  scenario_.duration = absl::Milliseconds(200);
  scenario_.drain_timeout = absl::ZeroDuration();
  const auto run = Run(server);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->totals.Sum().errors, 20);
  EXPECT_EQ(run->totals.errors.at({"CANCELLED", "NOT_SENT"}).count, 17);
}

TEST_F(DriverTest, DeadlineEndsACall) {
  FakeServer server([](int64_t) { return Reply::kNever; });
  scenario_.calls = 4;
  scenario_.deadline = absl::Milliseconds(20);
  const auto run = Run(server);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->totals.Sum().errors, 4);
  EXPECT_EQ(run->totals.errors.begin()->first.first, "DEADLINE_EXCEEDED");
}

TEST_F(DriverTest, ErrorsKeepTheirCodeAndFirstMessageAndStayOutOfTheLatencies) {
  FakeServer server([](int64_t call) { return call % 2 == 0 ? Reply::kEcho : Reply::kError; });
  scenario_.calls = 40;
  scenario_.concurrency = 1;
  const auto run = Run(server);
  ASSERT_TRUE(run.ok()) << run.status();
  const OperationTotals all = run->totals.Sum();
  EXPECT_EQ(all.calls, 40);
  EXPECT_EQ(all.errors, 20);
  EXPECT_EQ(all.latency.count(), 20);
  EXPECT_EQ(run->totals.first_error, "ABORTED: on purpose");
}

TEST_F(DriverTest, InterruptEndsTheRunWithWhatWasMeasured) {
  FakeServer server([this](int64_t call) {
    if (call == 100) interrupted_ = 1;
    return Reply::kEcho;
  });
  scenario_.duration = absl::Hours(1);
  for (const double rate : {0.0, 2000.0}) {
    scenario_.rate = rate;
    const auto run = Run(server);
    ASSERT_TRUE(run.ok()) << run.status();
    EXPECT_TRUE(run->interrupted);
    EXPECT_LT(run->seconds, 60);
  }
}

TEST_F(DriverTest, SaysThatNobodyAnswers) {
  RunOptions options;
  options.address = "127.0.0.1:1";
  scenario_.connect_timeout = absl::Milliseconds(50);
  const auto run = RunScenario(scenario_, options, interrupted_);
  EXPECT_EQ(run.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(run.status().message()),
              testing::HasSubstr("cannot connect to 127.0.0.1:1 within 50ms"));
}

}  // namespace
}  // namespace quarry::load
