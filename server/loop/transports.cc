// The kinds of calls that gRPC knows, as bytes.
#include <algorithm>

#include "absl/strings/escaping.h"
#include "server/loop/call.h"

namespace quarry {
namespace {

grpc::internal::RpcMethod::RpcType TypeOf(MethodKind kind) {
  switch (kind) {
    case MethodKind::kUnary:
      return grpc::internal::RpcMethod::NORMAL_RPC;
    case MethodKind::kServerStream:
      return grpc::internal::RpcMethod::SERVER_STREAMING;
    case MethodKind::kBidi:
      return grpc::internal::RpcMethod::BIDI_STREAMING;
  }
  return grpc::internal::RpcMethod::NORMAL_RPC;
}

constexpr int kOffersMax = 256;

void OfferTaken(LoopSide& home, RawService& service, const Method& method) {
  LoopSide::Offer& offer = home.offers[method.index];
  if (--offer.open == 0) offer.wanted = std::min(kOffersMax, 2 * offer.wanted);
  OfferCalls(home, service, method);
}

class UnaryCall final : public Call {
 public:
  UnaryCall(LoopSide& home, RawService& service, const Method& method)
      : Call(home, &method, context_), service_(service) {
    context_.AsyncNotifyWhenDone(done_.tag());
    grpc::ServerCompletionQueue& queue = home.loop->queue();
    service.RequestAsyncUnary(static_cast<int>(method.index), &context_, &received_, &writer_, &queue, &queue,
                              requested_.tag());
  }

 private:
  void AwaitSuccessor() override { OfferTaken(home_, service_, *method_); }
  void SendStatus(const grpc::Status& status) override { writer_.FinishWithError(status, finished_.tag()); }
  void SendReply(const grpc::ByteBuffer& reply) override { writer_.Finish(reply, grpc::Status::OK, finished_.tag()); }

  RawService& service_;  // Outlives this.
  grpc::ServerContext context_;
  grpc::ServerAsyncResponseWriter<grpc::ByteBuffer> writer_{&context_};
};

class ServerStreamCall final : public Call {
 public:
  ServerStreamCall(LoopSide& home, RawService& service, const Method& method)
      : Call(home, &method, context_), service_(service) {
    context_.AsyncNotifyWhenDone(done_.tag());
    grpc::ServerCompletionQueue& queue = home.loop->queue();
    service.RequestAsyncServerStreaming(static_cast<int>(method.index), &context_, &received_, &writer_, &queue,
                                        &queue, requested_.tag());
  }

 private:
  void AwaitSuccessor() override { OfferTaken(home_, service_, *method_); }
  void SendStatus(const grpc::Status& status) override { writer_.Finish(status, finished_.tag()); }
  void SendMessage(const grpc::ByteBuffer& message) override { writer_.Write(message, written_.tag()); }

  RawService& service_;  // Outlives this.
  grpc::ServerContext context_;
  grpc::ServerAsyncWriter<grpc::ByteBuffer> writer_{&context_};
};

class BidiCall final : public Call {
 public:
  BidiCall(LoopSide& home, RawService& service, const Method& method)
      : Call(home, &method, context_), service_(service) {
    context_.AsyncNotifyWhenDone(done_.tag());
    grpc::ServerCompletionQueue& queue = home.loop->queue();
    service.RequestAsyncBidiStreaming(static_cast<int>(method.index), &context_, &stream_, &queue, &queue,
                                      requested_.tag());
  }

 private:
  void AwaitSuccessor() override { OfferTaken(home_, service_, *method_); }
  void SendStatus(const grpc::Status& status) override { stream_.Finish(status, finished_.tag()); }
  void SendMessage(const grpc::ByteBuffer& message) override { stream_.Write(message, written_.tag()); }
  void ReceiveMessage(grpc::ByteBuffer* message) override { stream_.Read(message, read_.tag()); }

  RawService& service_;  // Outlives this.
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_{&context_};
};

class UnknownCall final : public Call {
 public:
  UnknownCall(LoopSide& home, grpc::AsyncGenericService& service) : Call(home, nullptr, context_), service_(service) {
    context_.AsyncNotifyWhenDone(done_.tag());
    grpc::ServerCompletionQueue& queue = home.loop->queue();
    service.RequestCall(&context_, &stream_, &queue, &queue, requested_.tag());
  }

 private:
  void AwaitSuccessor() override { AwaitUnknownCall(home_, service_); }
  void SendStatus(const grpc::Status& status) override { stream_.Finish(status, finished_.tag()); }
  std::string UnknownPath() const override { return absl::CEscape(context_.method().substr(0, 200)); }

  grpc::AsyncGenericService& service_;  // Outlives this.
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
};

}  // namespace

RawService::RawService(const RpcTable& table) {
  for (const std::unique_ptr<Method>& method : table.methods()) {
    AddMethod(new grpc::internal::RpcServiceMethod(method->path.c_str(), TypeOf(method->kind), nullptr));
    MarkMethodRaw(static_cast<int>(method->index));
  }
}

void OfferCalls(LoopSide& home, RawService& service, const Method& method) {
  LoopSide::Offer& offer = home.offers[method.index];
  if (offer.wanted == 0) offer.wanted = method.offers;
  for (; offer.open < offer.wanted; ++offer.open) {
    // Calls delete themselves: gRPC says when it has let go of one.
    switch (method.kind) {
      case MethodKind::kUnary:
        new UnaryCall(home, service, method);
        break;
      case MethodKind::kServerStream:
        new ServerStreamCall(home, service, method);
        break;
      case MethodKind::kBidi:
        new BidiCall(home, service, method);
        break;
    }
  }
}

void AwaitUnknownCall(LoopSide& home, grpc::AsyncGenericService& service) { new UnknownCall(home, service); }

}  // namespace quarry
