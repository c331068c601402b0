#include "server/loop/peer_call.h"

#include <optional>

#include "absl/strings/match.h"
#include "grpc/grpc.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"

namespace quarry {
namespace {

constexpr size_t kChannelsMax = 64;
constexpr int kConnectMs = 1'000;
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 3'000;

}  // namespace

std::shared_ptr<grpc::Channel> PeerChannels::To(const std::string& address) {
  if (const auto found = channels_.find(address); found != channels_.end()) return found->second;
  // Addresses come and go with their gateways; what a call uses stays as long as the call.
  if (channels_.size() >= kChannelsMax) channels_.clear();
  grpc::ChannelArguments arguments;
  // A connection of this loop alone, which no other loop polls.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMs);  // How long connecting may take.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetMaxReceiveMessageSize(-1);  // The owner has kept its limit; ours is checked as the message goes out.
  arguments.SetMaxSendMessageSize(-1);
  std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  channels_.emplace(address, channel);
  return channel;
}

// Deletes itself once its handle and its events are gone. After the handle it starts nothing: the queue may be closing.
class PeerCall::Exchange {
 public:
  Exchange(GrpcLoop& loop, std::shared_ptr<grpc::Channel> channel, PeerRequest request)
      : loop_(loop), channel_(std::move(channel)), unary_(request.unary) {
    if (request.deadline != absl::InfiniteFuture()) context_.set_deadline(absl::ToChronoTime(request.deadline));
    for (const auto& [key, value] : request.metadata) context_.AddMetadata(key, value);
    context_.set_initial_metadata_corked(true);  // Metadata, message and end leave in one operation.
    stream_ = grpc::GenericStub(channel_).PrepareCall(&context_, request.path, &loop.queue());
    stream_->StartCall(nullptr);
    ++outstanding_;
    stream_->WriteLast(request.message, grpc::WriteOptions(), written_.tag());
  }

  Future<bool> Next() {
    Completer<bool> waiter(loop_);
    Future<bool> result = waiter.future();
    if (ended_) {
      waiter.Set(false);
      return result;
    }
    waiter_.emplace(std::move(waiter));
    ++outstanding_;
    stream_->Read(&message_, read_.tag());
    return result;
  }

  void Drop() {
    dropped_ = true;
    waiter_.reset();
    if (!ended_) context_.TryCancel();
    DeleteWhenOver();
  }

  grpc::ByteBuffer& message() { return message_; }
  const grpc::Status& status() const { return status_; }
  // Without a connection gRPC names the address as it was given, without its family.
  bool sent() const {
    if (written_ok_) return true;
    const std::string peer = context_.peer();
    return absl::StartsWith(peer, "ipv4:") || absl::StartsWith(peer, "ipv6:");
  }

 private:
  struct Event final : CqEvent {
    Event(Exchange& owner, void (Exchange::*own_step)(bool)) : exchange(owner), step(own_step) {}
    void Proceed(bool ok) override { (exchange.*step)(ok); }
    void* tag() { return static_cast<CqEvent*>(this); }
    Exchange& exchange;
    void (Exchange::*step)(bool);
  };

  void OnWritten(bool ok) {
    --outstanding_;
    written_ok_ = ok;
    DeleteWhenOver();
  }

  void OnRead(bool ok) {
    --outstanding_;
    if (dropped_) return DeleteWhenOver();
    has_message_ = ok;
    if (ok && !unary_) return Answer(true);
    ++outstanding_;
    stream_->Finish(&status_, finished_.tag());
  }

  void OnFinished(bool) {
    --outstanding_;
    ended_ = true;
    if (dropped_) return DeleteWhenOver();
    Answer(has_message_);
  }

  void Answer(bool more) {
    std::optional<Completer<bool>> waiter = std::exchange(waiter_, std::nullopt);
    waiter->Set(more);
  }

  void DeleteWhenOver() {
    if (dropped_ && outstanding_ == 0) delete this;
  }

  GrpcLoop& loop_;
  const std::shared_ptr<grpc::Channel> channel_;
  const bool unary_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  grpc::ByteBuffer message_;
  grpc::Status status_;
  Event written_{*this, &Exchange::OnWritten};
  Event read_{*this, &Exchange::OnRead};
  Event finished_{*this, &Exchange::OnFinished};
  std::optional<Completer<bool>> waiter_;
  int outstanding_ = 0;
  bool written_ok_ = false;
  bool has_message_ = false;
  bool ended_ = false;
  bool dropped_ = false;
};

PeerCall::PeerCall(GrpcLoop& loop, std::shared_ptr<grpc::Channel> channel, PeerRequest request)
    : exchange_(new Exchange(loop, std::move(channel), std::move(request))) {}
PeerCall::~PeerCall() { exchange_->Drop(); }
Future<bool> PeerCall::Next() { return exchange_->Next(); }
grpc::ByteBuffer& PeerCall::message() { return exchange_->message(); }
const grpc::Status& PeerCall::status() const { return exchange_->status(); }
bool PeerCall::sent() const { return exchange_->sent(); }

}  // namespace quarry
