#include "server/loop/local_call.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "server/loop/forwarding.h"

namespace quarry {
namespace {

// After the loop has dropped the call, its caller leaves.
constexpr absl::Duration kLoopGrace = absl::Seconds(1);

// Shared by the waiting thread and the loop. Its coroutine is started, ended and dropped on the loop.
class LocalCall final : public CallMetadata, public ReplySink, public std::enable_shared_from_this<LocalCall> {
 public:
  // `elsewhere`: the gateway that has the transaction.
  LocalCall(LoopSide& side, LocalRequest request, std::optional<uint64_t> elsewhere)
      : side_(side),
        request_(std::move(request)),
        elsewhere_(elsewhere),
        response_(request_.method->response->New()) {
    side_.core.AddLive();
  }
  ~LocalCall() override { side_.core.RemoveLive(); }

  std::optional<std::string> Find(std::string_view key) const override {
    const auto found = request_.metadata.find(key);
    if (found == request_.metadata.end()) return std::nullopt;
    return found->second;
  }
  void ForEach(const std::function<void(std::string_view key, std::string_view value)>& see) const override {
    for (const auto& [key, value] : request_.metadata) see(key, value);
  }
  std::string peer() const override { return request_.peer; }
  Future<absl::Status> Take(grpc::ByteBuffer message) override;

  void Start();
  void EndEarly(absl::Status status);
  bool Await(absl::Time until) { return ended_.WaitForNotificationWithDeadline(until); }
  const absl::Status& status() const { return status_; }
  std::unique_ptr<google::protobuf::Message> TakeResponse() { return std::move(response_); }

 private:
  absl::Status Admit() const;
  Async<absl::Status> RunElsewhere();
  void End(absl::Status status);

  LoopSide& side_;
  LocalRequest request_;
  const std::optional<uint64_t> elsewhere_;
  std::unique_ptr<google::protobuf::Message> response_;
  absl::Time started_;
  std::optional<CallScope> scope_;
  bool over_ = false;
  absl::Status status_;
  Timer deadline_timer_;
  Running handler_;
  absl::Notification ended_;
};

absl::Status LocalCall::Admit() const {
  if (side_.core.draining.load(std::memory_order_relaxed) && !request_.method->while_draining) return DrainingError();
  if (side_.in_flight > side_.core.limits.calls_in_flight_max) return TooManyCalls(side_);
  if (request_.deadline <= started_) return DeadlineError(Stage::kQueue);
  return absl::OkStatus();
}

Async<absl::Status> LocalCall::RunElsewhere() {
  ForwardTask task;
  task.method = request_.method;
  task.instance = *elsewhere_;
  task.transaction_id = TransactionIdOf(*request_.method, *request_.message);
  grpc::Slice bytes(request_.message->SerializeAsString());
  task.request = grpc::ByteBuffer(&bytes, 1);
  task.deadline = request_.deadline;
  task.call_id = scope_->ctx.call_id;
  task.metadata = this;
  Async<ForwardEnd> forward = Forward(side_, std::move(task), *this);
  ForwardEnd end = co_await forward;
  if (!end.run_here) co_return std::move(end.status);
  Async<absl::Status> handler = request_.method->unary(*request_.message, *response_, *scope_);
  co_return co_await handler;
}

Future<absl::Status> LocalCall::Take(grpc::ByteBuffer message) {
  Completer<absl::Status> waiter(*side_.loop);
  grpc::ProtoBufferReader reader(&message);
  waiter.Set(response_->ParseFromZeroCopyStream(&reader) ? absl::OkStatus() : BadBytes(*response_));
  return waiter.future();
}

void LocalCall::Start() {
  started_ = absl::Now();
  ++side_.in_flight;
  side_.core.AddRunning();
  scope_.emplace(*side_.loop, side_.index, side_.engine, *this);
  const std::optional<std::string> given = Find("x-request-id");
  scope_->ctx.call_id = given.has_value() && IsSaneCallId(*given) ? *given : side_.NextCallId();
  scope_->ctx.deadline = WorkDeadline(started_, request_.deadline);
  if (side_.core.observer != nullptr) side_.core.observer->Started(*request_.method, side_.index);
  if (absl::Status admitted = Admit(); !admitted.ok()) {
    End(std::move(admitted));
    return;
  }
  Async<absl::Status> work = elsewhere_.has_value()
                                 ? RunElsewhere()
                                 : request_.method->unary(*request_.message, *response_, *scope_);
  handler_ = Running(std::move(work), [this](absl::Status status) {
    // Its frame still runs: it goes, and the waiter is told, from the loop's queue.
    deadline_timer_.Cancel();
    side_.loop->Defer([self = shared_from_this(), status = std::move(status)]() mutable {
      self->EndEarly(std::move(status));
    });
  });
  if (handler_.finished()) return;
  deadline_timer_ = Timer(*side_.loop, request_.deadline + kDeadlineGrace,
                          [this] { EndEarly(DeadlineError(scope_->ctx.stage)); });
}

void LocalCall::EndEarly(absl::Status status) {
  if (over_) return;
  deadline_timer_.Cancel();
  handler_ = Running();
  End(std::move(status));
}

void LocalCall::End(absl::Status status) {
  over_ = true;
  const auto size = static_cast<int64_t>(response_->ByteSizeLong());
  if (status.ok() && size > side_.core.limits.send_bytes_max) {
    status = ReplyTooLarge(size, side_.core.limits.send_bytes_max);
  }
  status_ = std::move(status);
  --side_.in_flight;
  side_.core.RemoveRunning();
  if (side_.core.observer != nullptr) {
    side_.core.observer->Ended({*request_.method, status_, absl::Now() - started_, scope_->ctx.stage,
                                std::string_view(scope_->ctx.call_id), side_.index});
  }
  ended_.Notify();
}

}  // namespace

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> RunLocalCall(LoopSide& home, LocalRequest request) {
  const std::optional<uint64_t> elsewhere = OwnerElsewhere(home.core, *request.method, *request.message);
  LoopSide& side = elsewhere.has_value() ? home : home.core.SideFor(*request.method, *request.message, home);
  if (request.deadline == absl::InfiniteFuture()) request.deadline = absl::Now() + home.core.limits.deadline_default;
  const absl::Time until = std::max(request.deadline, absl::Now()) + kDeadlineGrace + kLoopGrace;
  const auto call = std::make_shared<LocalCall>(side, std::move(request), elsewhere);
  side.loop->Post([call] { call->Start(); });
  if (!call->Await(until)) {
    side.loop->Post([call] { call->EndEarly(DeadlineError(Stage::kQueue)); });
    return DeadlineError(Stage::kQueue);
  }
  if (!call->status().ok()) return call->status();
  return call->TakeResponse();
}

}  // namespace quarry
