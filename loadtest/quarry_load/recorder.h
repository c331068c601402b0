// What one thread of a run has measured. The thread records; another one may take the latest
// interval or the totals at any time.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "loadtest/quarry_load/histogram.h"
#include "loadtest/quarry_load/scenario.h"

namespace quarry::load {

// One call that has ended, in nanoseconds of one clock.
struct FinishedCall {
  Operation operation = Operation::kGet;
  int64_t intended_ns = 0;  // When it was meant to be sent; sent_ns in a closed loop.
  int64_t sent_ns = 0;
  int64_t ended_ns = 0;
  int64_t items = 0;  // Keys or rows.
  int64_t bytes = 0;  // Of the messages, both ways.
  bool missing = false;
};

struct CallError {
  std::string code;    // "UNAVAILABLE"
  std::string reason;  // Of google.rpc.ErrorInfo; "" when there is none.
  std::string message;
};

struct OperationTotals {
  int64_t calls = 0;  // Those that failed included.
  int64_t errors = 0;
  int64_t missing = 0;  // Rows that were gone already where the run itself deletes.
  int64_t items = 0;
  int64_t bytes = 0;
  // Of calls that succeeded. From the intended time; from the time of sending.
  Histogram latency;
  Histogram service;
};

struct ErrorTotals {
  int64_t count = 0;
  std::string first_message;
};

struct Totals {
  std::array<OperationTotals, kOperations> operations;
  // By code and reason.
  std::map<std::pair<std::string, std::string>, ErrorTotals> errors;
  std::string first_error;
  int64_t last_ended_ns = 0;

  void Merge(const Totals& other);
  // All operations in one.
  OperationTotals Sum() const;
};

struct Interval {
  int64_t calls = 0;
  int64_t errors = 0;
  Histogram latency;
};

class Recorder {
 public:
  // Service times are kept only where they differ from latencies: in an open loop.
  explicit Recorder(bool keep_service_times) : keep_service_times_(keep_service_times) {}

  void Success(const FinishedCall& call);
  void Failure(const FinishedCall& call, const CallError& error, int64_t count = 1);
  // Rows of a stream that has not ended.
  void Progress(Operation operation, int64_t items, int64_t bytes);

  // Adds what was recorded since the last time to `interval`.
  void TakeInterval(Interval& interval);
  void AddTotals(Totals& totals) const;

 private:
  const bool keep_service_times_;
  mutable absl::Mutex mutex_;
  Totals totals_ ABSL_GUARDED_BY(mutex_);
  Interval interval_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quarry::load
