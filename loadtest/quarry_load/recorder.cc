#include "loadtest/quarry_load/recorder.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace quarry::load {
namespace {

void Add(OperationTotals& to, const OperationTotals& from) {
  to.calls += from.calls;
  to.errors += from.errors;
  to.missing += from.missing;
  to.items += from.items;
  to.bytes += from.bytes;
  to.latency.Merge(from.latency);
  to.service.Merge(from.service);
}

std::string Describe(const CallError& error) {
  return absl::StrCat(error.code, error.reason.empty() ? "" : " ", error.reason, ": ",
                      error.message);
}

}  // namespace

void Totals::Merge(const Totals& other) {
  for (size_t i = 0; i < operations.size(); ++i) Add(operations[i], other.operations[i]);
  for (const auto& [kind, error] : other.errors) {
    ErrorTotals& mine = errors[kind];
    mine.count += error.count;
    if (mine.first_message.empty()) mine.first_message = error.first_message;
  }
  if (first_error.empty()) first_error = other.first_error;
  last_ended_ns = std::max(last_ended_ns, other.last_ended_ns);
}

OperationTotals Totals::Sum() const {
  OperationTotals sum;
  for (const OperationTotals& each : operations) Add(sum, each);
  return sum;
}

void Recorder::Success(const FinishedCall& call) {
  const absl::MutexLock lock(&mutex_);
  OperationTotals& totals = totals_.operations[static_cast<size_t>(call.operation)];
  ++totals.calls;
  totals.items += call.items;
  totals.bytes += call.bytes;
  if (call.missing) ++totals.missing;
  totals.latency.Record(call.ended_ns - call.intended_ns);
  if (keep_service_times_) totals.service.Record(call.ended_ns - call.sent_ns);
  totals_.last_ended_ns = call.ended_ns;
  ++interval_.calls;
  interval_.latency.Record(call.ended_ns - call.intended_ns);
}

void Recorder::Failure(const FinishedCall& call, const CallError& error, int64_t count) {
  const absl::MutexLock lock(&mutex_);
  OperationTotals& totals = totals_.operations[static_cast<size_t>(call.operation)];
  totals.calls += count;
  totals.errors += count;
  totals.bytes += call.bytes;
  if (totals_.first_error.empty()) totals_.first_error = Describe(error);
  ErrorTotals& kind = totals_.errors[{error.code, error.reason}];
  kind.count += count;
  if (kind.first_message.empty()) kind.first_message = error.message;
  totals_.last_ended_ns = call.ended_ns;
  interval_.calls += count;
  interval_.errors += count;
}

void Recorder::Progress(Operation operation, int64_t items, int64_t bytes) {
  const absl::MutexLock lock(&mutex_);
  OperationTotals& totals = totals_.operations[static_cast<size_t>(operation)];
  totals.items += items;
  totals.bytes += bytes;
}

void Recorder::TakeInterval(Interval& interval) {
  const absl::MutexLock lock(&mutex_);
  interval.calls += interval_.calls;
  interval.errors += interval_.errors;
  interval.latency.Merge(interval_.latency);
  interval_.calls = 0;
  interval_.errors = 0;
  interval_.latency.Clear();
}

void Recorder::AddTotals(Totals& totals) const {
  const absl::MutexLock lock(&mutex_);
  totals.Merge(totals_);
}

}  // namespace quarry::load
