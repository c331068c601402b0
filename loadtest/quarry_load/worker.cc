#include "loadtest/quarry_load/worker.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "loadtest/quarry_load/clock.h"
#include "loadtest/quarry_load/reply_reader.h"

namespace quarry::load {
namespace {

// The seeds of threads are far apart, and none is 0.
uint64_t SeedOf(uint64_t seed, int thread, int use) {
  return seed * 0x9e3779b97f4a7c15 + static_cast<uint64_t>(thread) * 2 +
         static_cast<uint64_t>(use) + 1;
}

int64_t ShareOf(int64_t all, int thread, int64_t threads) {
  return all / threads + (thread < all % threads ? 1 : 0);
}

double ThreadCpuSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

Worker::Worker(const Scenario& scenario, int thread, const Channels& channels,
               const KeysByShard& commit_keys)
    : scenario_(scenario),
      thread_index_(thread),
      random_(SeedOf(scenario.seed, thread, 0)),
      arrivals_random_(SeedOf(scenario.seed, thread, 1)),
      builder_(scenario, thread, random_, commit_keys),
      recorder_(scenario.open_loop()),
      calls_(static_cast<size_t>(
          ShareOf(scenario.open_loop() ? scenario.in_flight_max : scenario.concurrency, thread,
                  scenario.threads))) {
  double sum = 0;
  for (const WeightedOperation& each : scenario.operations) weights_.push_back(sum += each.weight);
  for (const auto& channel : channels) {
    stubs_.push_back(std::make_unique<grpc::GenericStub>(channel));
  }
}

Worker::~Worker() {
  pacer_.reset();
  if (thread_.joinable()) thread_.join();
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) continue;
}

void Worker::Start(const RunWindow& window) {
  window_ = window;
  to_count_ = window.calls;
  end_ns_.store(window.end_ns);
  if (scenario_.open_loop()) {
    const double rate = scenario_.rate / static_cast<double>(scenario_.threads);
    // Threads take turns: together their fixed schedules are one.
    const double turn = 1e9 * thread_index_ / scenario_.rate;
    arrivals_.emplace(ArrivalOptions{.arrivals = scenario_.arrivals,
                                     .rate = rate,
                                     .start_ns = window.start_ns + static_cast<int64_t>(turn),
                                     .end_ns = window.end_ns,
                                     .in_flight_max = static_cast<int64_t>(calls_.size())},
                      arrivals_random_);
    const bool even = scenario_.arrivals == Arrivals::kFixed;
    pacer_.emplace(even ? static_cast<int64_t>(1e9 / rate) : 0, [this] { Wake(); });
  }
  thread_ = std::thread([this] { Run(); });
}

void Worker::Stop() {
  const int64_t now = NowNanoseconds();
  int64_t end = end_ns_.load();
  while (now < end && !end_ns_.compare_exchange_weak(end, now)) continue;
  stopped_.store(true);
  Wake();
}

void Worker::Abort() {
  aborted_.store(true);
  Stop();
}

void Worker::Wake() {
  // A deadline of now would be rounded up to the next millisecond.
  if (!alarm_set_.exchange(true)) alarm_.Set(&queue_, gpr_inf_past(GPR_CLOCK_REALTIME), nullptr);
}

void Worker::Run() {
  SendFirst();
  bool counting = false;
  double cpu_before = 0;
  int64_t counted_from = 0;
  void* tag = nullptr;
  bool ok = false;
  while (!Finished() && queue_.Next(&tag, &ok)) {
    if (tag == nullptr) {
      OnWake();
    } else {
      OnEvent(*static_cast<Call*>(tag), ok);
    }
    if (arrivals_.has_value()) SendDue();
    if (!counting && NowNanoseconds() >= window_.counted_from_ns) {
      counting = true;
      cpu_before = ThreadCpuSeconds();
      counted_from = NowNanoseconds();
    }
  }
  if (counting) {
    report_.cpu_seconds = ThreadCpuSeconds() - cpu_before;
    report_.seconds = static_cast<double>(NowNanoseconds() - counted_from) * 1e-9;
  }
  if (arrivals_.has_value()) report_.waited = arrivals_->waited();
  done_.store(true);
}

void Worker::SendFirst() {
  for (Call& call : calls_) {
    if (arrivals_.has_value()) {
      idle_.push_back(&call);
    } else if (MaySend(NowNanoseconds())) {
      Send(call, std::nullopt);
    }
  }
  if (arrivals_.has_value()) SendDue();
}

void Worker::SendDue() {
  while (true) {
    if (window_.calls > 0 && to_count_ == 0) arrivals_->EndAt(0);
    const std::optional<int64_t> intended = arrivals_->Take(NowNanoseconds());
    if (!intended.has_value()) break;
    Call& call = *idle_.back();
    idle_.pop_back();
    Send(call, *intended);
  }
  pacer_->SetNext(arrivals_->next_ns().value_or(kNever));
}

Operation Worker::Pick() {
  if (weights_.size() == 1) return scenario_.operations.front().operation;
  const double at = random_.NextUnit() * weights_.back();
  const auto picked = std::upper_bound(weights_.begin(), weights_.end() - 1, at);
  return scenario_.operations[static_cast<size_t>(picked - weights_.begin())].operation;
}

grpc::GenericStub& Worker::StubOf(const Call& call) {
  return *stubs_[static_cast<size_t>(&call - calls_.data()) % stubs_.size()];
}

void Worker::Send(Call& call, std::optional<int64_t> intended_ns) {
  call.busy = true;
  in_flight_.store(in_flight_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  call.measured = {.operation = Pick()};
  call.request = builder_.Build(call.measured.operation, call.key);
  call.measured.sent_ns = NowNanoseconds();
  call.measured.intended_ns = intended_ns.value_or(call.measured.sent_ns);
  call.counted = (intended_ns.has_value() || window_.calls > 0) &&
                 call.measured.intended_ns >= window_.counted_from_ns;
  if (call.counted && window_.calls > 0) --to_count_;
  if (call.counted && intended_ns.has_value()) {
    report_.send_lag.Record(call.measured.sent_ns - *intended_ns);
  }
  const std::string& method = MethodOf(scenario_, call.measured.operation);
  if (!IsStream(call.measured.operation)) {
    call.step = IsPair(call.measured.operation) ? Step::kFirstOfTwo : Step::kUnary;
    return StartUnary(call, method);
  }
  RenewContext(call);
  call.step = Step::kOpenStream;
  call.stream = StubOf(call).PrepareCall(&*call.context, method, &queue_);
  call.stream->StartCall(&call);
}

// A reader lives in memory of its context's call: it goes first.
void Worker::RenewContext(Call& call) {
  call.unary.reset();
  call.stream.reset();
  call.context.emplace();
  if (scenario_.deadline <= absl::ZeroDuration()) return;
  call.context->set_deadline(std::chrono::system_clock::now() +
                             absl::ToChronoNanoseconds(scenario_.deadline));
}

void Worker::StartUnary(Call& call, const std::string& method) {
  RenewContext(call);
  call.measured.bytes += static_cast<int64_t>(call.request.Length());
  call.unary = StubOf(call).PrepareUnaryCall(&*call.context, method, call.request, &queue_);
  call.unary->StartCall();
  call.unary->Finish(&call.reply, &call.status, &call);
}

void Worker::OnEvent(Call& call, bool ok) {
  switch (call.step) {
    case Step::kUnary:
      return OnEnd(call);
    case Step::kFirstOfTwo:
      if (!call.status.ok() || aborted_.load(std::memory_order_relaxed)) return OnEnd(call);
      if (call.measured.operation == Operation::kBeginSnapshot) {
        call.measured.ended_ns = NowNanoseconds();
      }
      call.measured.bytes += static_cast<int64_t>(call.reply.Length());
      call.step = Step::kUnary;
      call.request = builder_.BuildSecond(call.measured.operation, call.key, call.reply);
      return StartUnary(call, SecondMethodOf(call.measured.operation));
    default:
      return OnStreamEvent(call, ok);
  }
}

void Worker::OnStreamEvent(Call& call, bool ok) {
  if (call.step == Step::kEndStream) return OnEnd(call);
  if (!ok) {
    call.step = Step::kEndStream;
    return call.stream->Finish(&call.status, &call);
  }
  if (call.step == Step::kOpenStream) {
    call.step = Step::kAskStream;
    return call.stream->WriteLast(call.request, grpc::WriteOptions(), &call);
  }
  if (call.step == Step::kReadStream && InWindow(NowNanoseconds())) {
    const int64_t bytes = static_cast<int64_t>(call.reply.Length());
    recorder_.Progress(call.measured.operation, CountRows(call.measured.operation, call.reply), bytes);
  }
  call.step = Step::kReadStream;
  call.stream->Read(&call.reply, &call);
}

void Worker::OnEnd(Call& call) {
  const int64_t now = NowNanoseconds();
  // Only the Begin of a begin_snapshot is measured.
  if (call.measured.ended_ns == 0) call.measured.ended_ns = now;
  Record(call);
  if (call.measured.operation == Operation::kInsert) builder_.Inserted(call.key);
  call.reply.Clear();
  call.busy = false;
  in_flight_.store(in_flight_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  if (arrivals_.has_value()) {
    arrivals_->Finished();
    idle_.push_back(&call);
  } else if (MaySend(now)) {
    Send(call, std::nullopt);
  }
}

bool Worker::MaySend(int64_t now_ns) const {
  if (now_ns >= end_ns_.load(std::memory_order_relaxed)) return false;
  return window_.calls == 0 || to_count_ > 0;
}

bool Worker::InWindow(int64_t now_ns) const {
  return now_ns >= window_.counted_from_ns && now_ns < end_ns_.load(std::memory_order_relaxed);
}

// A closed loop of some duration counts the calls that end within it; otherwise it was decided when
// the call was sent. A call that had to be cancelled always counts: it has failed.
bool Worker::Counts(const Call& call) const {
  const bool by_end = !arrivals_.has_value() && window_.calls == 0;
  if (!by_end) return call.counted;
  return InWindow(call.measured.ended_ns) || aborted_.load(std::memory_order_relaxed);
}

void Worker::Record(Call& call) {
  if (!Counts(call)) return;
  if (!call.status.ok()) {
    const bool gone = call.status.error_code() == grpc::StatusCode::NOT_FOUND &&
                      scenario_.has(Operation::kDelete);
    CallError error = ErrorOf(call.status);
    if (!gone || error.reason != "ROW_NOT_FOUND") return recorder_.Failure(call.measured, error);
    call.measured.missing = true;
    return recorder_.Success(call.measured);
  }
  if (!IsStream(call.measured.operation)) {
    call.measured.bytes += static_cast<int64_t>(call.reply.Length());
    const ReplyContent content = ReadReply(scenario_, call.measured.operation, call.reply);
    call.measured.items = content.items;
    if (content.failed) return recorder_.Failure(call.measured, content.error);
  }
  recorder_.Success(call.measured);
}

void Worker::OnWake() {
  alarm_set_.store(false);
  if (stopped_.load() && arrivals_.has_value()) {
    if (aborted_.load()) {
      const int64_t unsent = arrivals_->CountUnsent(window_.counted_from_ns,
                                                    std::min(window_.end_ns, NowNanoseconds()));
      const CallError error = {"CANCELLED", "NOT_SENT",
                               "was due and still waited for calls in flight when the run ended"};
      const FinishedCall none = {.operation = scenario_.operations.front().operation,
                                 .ended_ns = NowNanoseconds()};
      if (unsent > 0) recorder_.Failure(none, error, unsent);
    }
    arrivals_->EndAt(0);
  }
  if (aborted_.load()) CancelAll();
}

void Worker::CancelAll() {
  for (Call& call : calls_) {
    if (call.busy) call.context->TryCancel();
  }
}

bool Worker::Finished() const {
  if (in_flight_.load(std::memory_order_relaxed) > 0) return false;
  return !arrivals_.has_value() || !arrivals_->next_ns().has_value();
}

}  // namespace quarry::load
