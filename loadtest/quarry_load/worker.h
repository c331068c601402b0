// One thread that sends calls and waits for their replies, on a completion queue and channels of
// its own.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "core/base/random.h"
#include "loadtest/quarry_load/arrivals.h"
#include "loadtest/quarry_load/pacer.h"
#include "loadtest/quarry_load/recorder.h"
#include "loadtest/quarry_load/request_builder.h"
#include "loadtest/quarry_load/scenario.h"

namespace quarry::load {

using Channels = std::vector<std::shared_ptr<grpc::Channel>>;

inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// Times are nanoseconds of NowNanoseconds.
struct RunWindow {
  int64_t start_ns = 0;
  int64_t counted_from_ns = 0;
  int64_t end_ns = kNever;
  int64_t calls = 0;  // The thread's share of the calls to count; 0: any number until end_ns.
};

// What a thread says about itself when it has ended.
struct WorkerReport {
  int64_t waited = 0;      // Open loop: calls that had to wait for others in flight.
  double cpu_seconds = 0;  // Of its own, over `seconds`.
  double seconds = 0;
  Histogram send_lag;  // Open loop: from when a call was meant to go until it went.
};

class Worker {
 public:
  // For thread `thread` of the scenario's. `scenario` and `commit_keys` outlive this.
  Worker(const Scenario& scenario, int thread, const Channels& channels,
         const KeysByShard& commit_keys);
  // Joins. The thread must have been started and must end: done(), or after Abort.
  ~Worker();

  void Start(const RunWindow& window);

  // The rest is for any thread while it runs.
  bool done() const { return done_.load(); }
  int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  const Recorder& recorder() const { return recorder_; }
  Recorder& recorder() { return recorder_; }
  // Sends nothing more, not even what is late; waits for the calls in flight.
  void Stop();
  // As Stop, and cancels the calls in flight. They, and those that were due and not sent, have
  // failed.
  void Abort();

  // Once done.
  const WorkerReport& report() const { return report_; }

 private:
  enum class Step : uint8_t {
    kUnary,
    kFirstOfTwo,
    kOpenStream,
    kAskStream,
    kReadStream,
    kEndStream
  };

  struct Call {
    std::optional<grpc::ClientContext> context;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> unary;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream;
    grpc::ByteBuffer request;
    grpc::ByteBuffer reply;
    grpc::Status status;
    FinishedCall measured;
    int64_t key = 0;
    Step step = Step::kUnary;
    bool busy = false;
    bool counted = false;  // Decided when it is sent: open loops, and runs of so many calls.
  };

  void Run();
  void SendFirst();
  void SendDue();
  void Send(Call& call, std::optional<int64_t> intended_ns);
  void RenewContext(Call& call);
  void StartUnary(Call& call, const std::string& method);
  void OnEvent(Call& call, bool ok);
  void OnStreamEvent(Call& call, bool ok);
  void OnEnd(Call& call);
  void Record(Call& call);
  bool Counts(const Call& call) const;
  void Wake();
  void OnWake();
  void CancelAll();
  bool MaySend(int64_t now_ns) const;
  bool Finished() const;
  bool InWindow(int64_t now_ns) const;
  Operation Pick();
  grpc::GenericStub& StubOf(const Call& call);

  const Scenario& scenario_;
  const int thread_index_;
  SeededRandom random_;
  SeededRandom arrivals_random_;
  RequestBuilder builder_;
  Recorder recorder_;
  std::vector<double> weights_;  // Running sums.
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  RunWindow window_;
  std::optional<ArrivalQueue> arrivals_;
  std::vector<Call> calls_;
  std::vector<Call*> idle_;  // Open loop.
  int64_t to_count_ = 0;     // Calls that may still be sent; for runs of so many calls.
  WorkerReport report_;

  grpc::CompletionQueue queue_;
  grpc::Alarm alarm_;
  // True from the setting of the alarm until its tag has come out of the queue: one alarm at a
  // time.
  std::atomic<bool> alarm_set_{false};
  std::atomic<int64_t> end_ns_{kNever};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> aborted_{false};
  std::atomic<int64_t> in_flight_{0};
  std::atomic<bool> done_{false};
  std::optional<Pacer> pacer_;
  std::thread thread_;
};

}  // namespace quarry::load
