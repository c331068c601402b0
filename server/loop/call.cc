#include "server/loop/call.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "grpc/support/time.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "server/loop/grpc_status.h"

namespace quarry {
namespace {

google::protobuf::ArenaOptions ArenaOn(char* block, size_t size) {
  google::protobuf::ArenaOptions options;
  options.initial_block = block;
  options.initial_block_size = size;
  return options;
}

absl::Time DeadlineOf(const grpc::ServerContext& context) {
  const gpr_timespec deadline = gpr_convert_clock_type(context.raw_deadline(), GPR_CLOCK_REALTIME);
  if (gpr_time_cmp(deadline, gpr_inf_future(GPR_CLOCK_REALTIME)) == 0) return absl::InfiniteFuture();
  return absl::FromUnixSeconds(deadline.tv_sec) + absl::Nanoseconds(deadline.tv_nsec);
}

bool Parse(grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  grpc::Slice whole;
  if (bytes.TrySingleSlice(&whole).ok()) {
    return message.ParseFromArray(whole.begin(), static_cast<int>(whole.size()));
  }
  // Not gRPC's own, which empties the buffer: a call for another gateway sends it on.
  grpc::ProtoBufferReader reader(&bytes);
  return reader.status().ok() && message.ParseFromZeroCopyStream(&reader);
}

// `first`: fields of the message that are bytes already.
absl::Status Serialize(std::string_view first, const google::protobuf::Message& message, int64_t bytes_max,
                       grpc::ByteBuffer& bytes) {
  const size_t size = first.size() + message.ByteSizeLong();
  if (static_cast<int64_t>(size) > bytes_max) return ReplyTooLarge(static_cast<int64_t>(size), bytes_max);
  grpc::Slice slice(size);
  // It has no other owner yet.
  auto* const begin = const_cast<uint8_t*>(slice.begin());
  message.SerializeWithCachedSizesToArray(std::copy(first.begin(), first.end(), begin));
  bytes = grpc::ByteBuffer(&slice, 1);
  return absl::OkStatus();
}

}  // namespace

Call::Call(LoopSide& home, const Method* method, grpc::ServerContext& context)
    : home_(home),
      method_(method),
      context_(context),
      run_(&home),
      arena_(ArenaOn(arena_block_, sizeof(arena_block_))) {
  home_.core.AddLive();
}

Call::~Call() { home_.core.RemoveLive(); }

void Call::SendReply(const grpc::ByteBuffer&) {}
void Call::SendMessage(const grpc::ByteBuffer&) {}
void Call::ReceiveMessage(grpc::ByteBuffer*) {}

std::optional<std::string> Call::Find(std::string_view key) const {
  const auto& metadata = context_.client_metadata();
  const auto found = metadata.find(grpc::string_ref(key.data(), key.size()));
  if (found == metadata.end()) return std::nullopt;
  return std::string(found->second.data(), found->second.size());
}

void Call::ForEach(const std::function<void(std::string_view key, std::string_view value)>& see) const {
  for (const auto& [key, value] : context_.client_metadata()) {
    see({key.data(), key.size()}, {value.data(), value.size()});
  }
}

std::string Call::peer() const { return context_.peer(); }

void Call::OnRequested(bool ok) {
  if (!ok) {
    delete this;  // The server shuts down; a call that never started has no other event.
    return;
  }
  AwaitSuccessor();
  arrived_ = home_.loop->Now();
  ++home_.in_flight;
  home_.core.AddRunning();
  const std::optional<std::string> given = Find("x-request-id");
  call_id_ = given.has_value() && IsSaneCallId(*given) ? *given : home_.NextCallId();
  if (method_ != nullptr && home_.core.observer != nullptr) home_.core.observer->Started(*method_, home_.index);
  if (absl::Status admitted = Admit(); !admitted.ok()) {
    handler_done_ = true;
    HandlerOver(admitted);
    return;
  }
  if (run_ == &home_) {
    StartHandler();
  } else {
    run_->loop->Post([this] { StartHandler(); });
  }
}

absl::Status Call::Admit() {
  const CallLimits& limits = home_.core.limits;
  if (method_ == nullptr) {
    return MakeError(absl::StatusCode::kUnimplemented, reason::kInvalidField,
                     absl::StrCat("there is no method ", UnknownPath(), "; server reflection lists those that exist"));
  }
  if (home_.core.draining.load(std::memory_order_relaxed) && !method_->while_draining) return DrainingError();
  if (home_.in_flight > limits.calls_in_flight_max) return TooManyCalls(home_);
  deadline_ = DeadlineOf(context_);
  if (deadline_ == absl::InfiniteFuture() && !method_->endless) deadline_ = arrived_ + limits.deadline_default;
  if (deadline_ <= arrived_) return DeadlineError(Stage::kQueue);
  if (method_->kind == MethodKind::kBidi) return absl::OkStatus();
  request_ = method_->request->New(&arena_);
  if (!Parse(received_, *request_)) return BadBytes(*request_);
  if (method_->kind == MethodKind::kUnary) response_ = method_->response->New(&arena_);
  elsewhere_ = OwnerElsewhere(home_.core, *method_, *request_);
  if (elsewhere_.has_value()) return absl::OkStatus();
  received_.Clear();
  run_ = &home_.core.SideFor(*method_, *request_, home_);
  return absl::OkStatus();
}

void Call::StartHandler() {
  if (handler_done_) return;  // Dropped before it began.
  scope_.emplace(*run_->loop, run_->index, run_->engine, *this);
  scope_->ctx.deadline = WorkDeadline(arrived_, deadline_);
  scope_->ctx.call_id = call_id_;
  scope_->reply_bytes = &reply_bytes_;
  const auto done = [this](absl::Status status) { OnHandlerDone(std::move(status)); };
  handler_ = Running(elsewhere_.has_value() ? RunElsewhere() : RunHandler(), done);
  if (handler_done_ || deadline_ == absl::InfiniteFuture()) return;
  deadline_timer_ = Timer(*run_->loop, deadline_ + kDeadlineGrace, [this] { OnDeadline(); });
}

Async<absl::Status> Call::RunHandler() {
  switch (method_->kind) {
    case MethodKind::kUnary:
      return method_->unary(*request_, *response_, *scope_);
    case MethodKind::kServerStream:
      return method_->server_stream(*request_, *scope_, *this);
    case MethodKind::kBidi:
      break;
  }
  return method_->bidi(*scope_, *this, *this);
}

ForwardTask Call::TaskForOther() {
  ForwardTask task;
  task.method = method_;
  task.instance = *elsewhere_;
  task.transaction_id = TransactionIdOf(*method_, *request_);
  task.request.Swap(&received_);
  task.deadline = deadline_;
  task.call_id = call_id_;
  task.metadata = this;
  return task;
}

Async<absl::Status> Call::RunElsewhere() {
  Async<ForwardEnd> forward = Forward(home_, TaskForOther(), *this);
  ForwardEnd end = co_await forward;
  if (!end.run_here) co_return std::move(end.status);
  Async<absl::Status> handler = RunHandler();
  co_return co_await handler;
}

Future<absl::Status> Call::Take(grpc::ByteBuffer message) {
  Completer<absl::Status> waiter(*home_.loop);
  Future<absl::Status> result = waiter.future();
  const auto size = static_cast<int64_t>(message.Length());
  if (size > home_.core.limits.send_bytes_max) {
    waiter.Set(ReplyTooLarge(size, home_.core.limits.send_bytes_max));
  } else if (method_->kind == MethodKind::kUnary) {
    reply_of_other_ = std::move(message);
    waiter.Set(absl::OkStatus());
  } else {
    Send(message, std::move(waiter));
  }
  return result;
}

void Call::OnHandlerDone(absl::Status status) {
  handler_done_ = true;
  deadline_timer_.Cancel();
  if (run_ == &home_) {
    HandlerOver(status);  // The frame goes with the call, which outlives this stack by the finish event.
    return;
  }
  handler_status_ = std::move(status);
  run_->loop->Defer([this] {
    handler_ = Running();
    home_.loop->Post([this] { HandlerOver(handler_status_); });
  });
}

void Call::OnDeadline() { EndHandlerEarly(DeadlineError(scope_->ctx.stage)); }

void Call::EndHandlerEarly(absl::Status status) {
  if (handler_done_) return;
  handler_done_ = true;
  deadline_timer_.Cancel();
  handler_ = Running();
  if (run_ == &home_) {
    HandlerOver(status);
    return;
  }
  handler_status_ = std::move(status);
  home_.loop->Post([this] { HandlerOver(handler_status_); });
}

// Of a caller who has gone before its time; one whose time was up has had to go.
absl::Status Call::Gone() const {
  if (!scope_.has_value() || run_->loop->Now() < scope_->ctx.deadline) return absl::CancelledError("the caller has gone");
  return DeadlineError(scope_->ctx.stage);
}

void Call::DropHandler() {
  if (run_ == &home_) {
    EndHandlerEarly(Gone());
    return;
  }
  drop_posted_ = true;
  run_->loop->Post([this] {
    EndHandlerEarly(Gone());
    home_.loop->Post([this] {
      drop_posted_ = false;
      DeleteWhenOver();
    });
  });
}

void Call::HandlerOver(const absl::Status& status) {
  handler_over_ = true;
  Finish(status);
  DeleteWhenOver();
}

void Call::Finish(const absl::Status& status) {
  absl::Status end = status;
  grpc::ByteBuffer reply;
  if (reply_of_other_.has_value()) {
    reply.Swap(&*reply_of_other_);
  } else if (end.ok() && response_ != nullptr) {
    end = Serialize(reply_bytes_, *response_, home_.core.limits.send_bytes_max, reply);
  }
  Record(end);
  if (done_seen_) return;  // Nobody listens any more.
  if (write_pending_.load(std::memory_order_acquire)) {
    context_.TryCancel();  // A reader that does not read cannot be told.
    return;
  }
  finish_pending_ = true;
  if (end.ok() && response_ != nullptr) {
    SendReply(reply);
  } else {
    SendStatus(ToGrpcStatus(end));
  }
}

void Call::Record(const absl::Status& status) {
  if (std::exchange(recorded_, true)) return;
  --home_.in_flight;
  home_.core.RemoveRunning();
  if (method_ == nullptr || home_.core.observer == nullptr) return;
  const Stage stage = scope_.has_value() ? scope_->ctx.stage : Stage::kQueue;
  home_.core.observer->Ended(
      {*method_, status, home_.loop->Now() - arrived_, stage, std::string_view(call_id_), home_.index});
}

void Call::OnDone(bool) {
  done_seen_ = true;
  if (!handler_over_) {
    DropHandler();
  } else {
    DeleteWhenOver();
  }
}

void Call::OnFinished(bool) {
  finish_pending_ = false;
  DeleteWhenOver();
}

void Call::DeleteWhenOver() {
  if (!handler_over_ || !done_seen_ || finish_pending_ || drop_posted_) return;
  if (operations_.load(std::memory_order_acquire) > 0) return;
  delete this;
}

Future<absl::Status> Call::Write(const google::protobuf::Message& message, std::string_view first) {
  Completer<absl::Status> waiter(*run_->loop);
  Future<absl::Status> result = waiter.future();
  grpc::ByteBuffer bytes;
  if (absl::Status status = Serialize(first, message, home_.core.limits.send_bytes_max, bytes); !status.ok()) {
    waiter.Set(std::move(status));
    return result;
  }
  Send(bytes, std::move(waiter));
  return result;
}

void Call::Send(const grpc::ByteBuffer& bytes, Completer<absl::Status> waiter) {
  write_waiter_ = std::move(waiter);
  operations_.fetch_add(1, std::memory_order_acq_rel);
  write_pending_.store(true, std::memory_order_release);
  SendMessage(bytes);
}

void Call::OnWritten(bool ok) {
  write_pending_.exchange(false, std::memory_order_acq_rel);
  std::optional<Completer<absl::Status>> waiter = std::exchange(write_waiter_, std::nullopt);
  operations_.fetch_sub(1, std::memory_order_acq_rel);
  absl::Status status = ok ? absl::OkStatus() : absl::CancelledError("the caller has gone");
  if (run_ == &home_) {
    waiter->Set(std::move(status));
  } else {
    run_->loop->Post([waiter = *std::move(waiter), status]() mutable { waiter.Set(std::move(status)); });
  }
  DeleteWhenOver();
}

Future<absl::StatusOr<bool>> Call::Read(google::protobuf::Message& message) {
  Completer<absl::StatusOr<bool>> waiter(*home_.loop);
  Future<absl::StatusOr<bool>> result = waiter.future();
  read_waiter_ = waiter;
  read_into_ = &message;
  operations_.fetch_add(1, std::memory_order_acq_rel);
  ReceiveMessage(&received_);
  return result;
}

void Call::OnRead(bool ok) {
  operations_.fetch_sub(1, std::memory_order_acq_rel);
  std::optional<Completer<absl::StatusOr<bool>>> waiter = std::exchange(read_waiter_, std::nullopt);
  // A reader that was dropped took its message with it.
  if (!waiter->abandoned()) {
    if (!ok) {
      waiter->Set(false);
    } else if (Parse(received_, *read_into_)) {
      waiter->Set(true);
    } else {
      waiter->Set(BadBytes(*method_->request));
    }
  }
  received_.Clear();
  DeleteWhenOver();
}

}  // namespace quarry
