// One gRPC call from its arrival until gRPC has let go of it. Internal to server/loop.
//
// A call belongs to its home loop, whose queue carries its events. Its handler runs there too, or on the loop that owns
// the transaction it names (the run loop); then start, end and drop travel between the two as posted work, and each
// member below is touched by one of them only.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/async.h"
#include "core/base/frame_pool.h"
#include "core/base/loop.h"
#include "google/protobuf/arena.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/impl/service_type.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/async_stream.h"
#include "grpcpp/support/async_unary_call.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/loop/forwarding.h"
#include "server/loop/rpc_table.h"
#include "server/loop/server_core.h"

namespace quarry {

// The table's methods as a service of raw bytes.
class RawService final : public grpc::Service {
 public:
  // `table` outlives this.
  explicit RawService(const RpcTable& table);
  using grpc::Service::RequestAsyncBidiStreaming;
  using grpc::Service::RequestAsyncServerStreaming;
  using grpc::Service::RequestAsyncUnary;
};

// Asks gRPC for calls of `method`, which it hands over without asking; more than at first where a burst took them all. When
// none is left gRPC hands a call to another loop than the one that reads its connection, and from then on both loops poll
// that connection. Home loop's thread.
void OfferCalls(LoopSide& home, RawService& service, const Method& method);
// The same for a call of any path that is not in the table, to refuse it.
void AwaitUnknownCall(LoopSide& home, grpc::AsyncGenericService& service);

class Call : public PooledFrame, public CallMetadata, public MessageWriter, public MessageReader, public ReplySink {
 public:
  std::optional<std::string> Find(std::string_view key) const override;
  void ForEach(const std::function<void(std::string_view key, std::string_view value)>& see) const override;
  std::string peer() const override;
  Future<absl::Status> Write(const google::protobuf::Message& message, std::string_view first) override;
  Future<absl::StatusOr<bool>> Read(google::protobuf::Message& message) override;
  Future<absl::Status> Take(grpc::ByteBuffer message) override;

 protected:
  struct Event final : CqEvent {
    Event(Call& owner, void (Call::*own_step)(bool)) : call(owner), step(own_step) {}
    void Proceed(bool ok) override { (call.*step)(ok); }
    void* tag() { return static_cast<CqEvent*>(this); }
    Call& call;
    void (Call::*step)(bool);
  };

  // `method` is null for a path that is not in the table.
  Call(LoopSide& home, const Method* method, grpc::ServerContext& context);
  ~Call() override;

  // The transport.
  virtual void AwaitSuccessor() = 0;
  virtual void SendStatus(const grpc::Status& status) = 0;
  virtual void SendReply(const grpc::ByteBuffer& reply);
  virtual void SendMessage(const grpc::ByteBuffer& message);
  virtual void ReceiveMessage(grpc::ByteBuffer* message);
  virtual std::string UnknownPath() const { return ""; }

  LoopSide& home_;
  const Method* const method_;
  grpc::ServerContext& context_;
  grpc::ByteBuffer received_;
  Event requested_{*this, &Call::OnRequested};
  Event done_{*this, &Call::OnDone};
  Event finished_{*this, &Call::OnFinished};
  Event written_{*this, &Call::OnWritten};
  Event read_{*this, &Call::OnRead};

 private:
  void OnRequested(bool ok);
  void OnDone(bool ok);
  void OnFinished(bool ok);
  void OnWritten(bool ok);
  void OnRead(bool ok);

  // Home loop.
  absl::Status Admit();
  void Finish(const absl::Status& status);
  void Record(const absl::Status& status);
  void DropHandler();
  void HandlerOver(const absl::Status& status);
  void DeleteWhenOver();
  // Run loop.
  void StartHandler();
  Async<absl::Status> RunHandler();
  Async<absl::Status> RunElsewhere();
  ForwardTask TaskForOther();
  void Send(const grpc::ByteBuffer& bytes, Completer<absl::Status> waiter);
  void OnHandlerDone(absl::Status status);
  void OnDeadline();
  absl::Status Gone() const;
  void EndHandlerEarly(absl::Status status);

  // Home loop's.
  absl::Time arrived_;
  std::string call_id_;
  bool recorded_ = false;
  bool handler_over_ = false;
  bool done_seen_ = false;
  bool finish_pending_ = false;
  bool drop_posted_ = false;

  // Set before the handler starts.
  absl::Time deadline_;
  LoopSide* run_;
  alignas(8) char arena_block_[2048];
  google::protobuf::Arena arena_;
  google::protobuf::Message* request_ = nullptr;
  google::protobuf::Message* response_ = nullptr;
  std::string reply_bytes_;  // Fields of the response that the handler wrote itself.
  std::optional<uint64_t> elsewhere_;  // The gateway that has the transaction.
  std::optional<grpc::ByteBuffer> reply_of_other_;

  // Run loop's.
  std::optional<CallScope> scope_;
  bool handler_done_ = false;
  absl::Status handler_status_;
  Timer deadline_timer_;
  Running handler_;

  // Pass between the loops with the events of the queue.
  std::optional<Completer<absl::Status>> write_waiter_;
  std::optional<Completer<absl::StatusOr<bool>>> read_waiter_;
  google::protobuf::Message* read_into_ = nullptr;
  std::atomic<int> operations_{0};  // Reads and writes that the queue still owes.
  std::atomic<bool> write_pending_{false};
};

}  // namespace quarry
