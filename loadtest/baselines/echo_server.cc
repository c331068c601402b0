// The baseline of every call: a bare gRPC server on the completion-queue API, one queue and one thread, that
// answers any method. Prints its port.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"

namespace {

// One call from its arrival to its end, then again.
class EchoCall {
 public:
  // An empty `reply` means that the request is sent back. Outlives this.
  EchoCall(grpc::AsyncGenericService& service, grpc::ServerCompletionQueue& queue, const grpc::Slice& reply)
      : service_(service), queue_(queue), reply_(reply) {
    service_.RequestCall(&context_, &stream_, &queue_, &queue_, this);
  }

  void Proceed(bool ok) {
    switch (step_) {
      case Step::kArrive:
        if (!ok) return delete this;
        new EchoCall(service_, queue_, reply_);
        step_ = Step::kRead;
        stream_.Read(&message_, this);
        break;
      case Step::kRead:
        step_ = Step::kFinish;
        if (reply_.size() > 0) message_ = grpc::ByteBuffer(&reply_, 1);
        stream_.WriteAndFinish(message_, grpc::WriteOptions(), grpc::Status::OK, this);
        break;
      case Step::kFinish:
        delete this;
        break;
    }
  }

 private:
  enum class Step { kArrive, kRead, kFinish };

  grpc::AsyncGenericService& service_;
  grpc::ServerCompletionQueue& queue_;
  const grpc::Slice& reply_;
  Step step_ = Step::kArrive;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  grpc::ByteBuffer message_;
};

}  // namespace

int main(int argc, char** argv) {
  size_t response_bytes = 0;
  CLI::App app("A bare gRPC server that answers any method; prints its port on 127.0.0.1.");
  app.add_option("--response-bytes", response_bytes, "Size of each reply; 0 sends the request back");
  CLI11_PARSE(app, argc, argv);
  int port = 0;
  grpc::ServerBuilder builder;
  grpc::AsyncGenericService service;
  builder.RegisterAsyncGenericService(&service);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::printf("%d\n", port);
  std::fflush(stdout);
  const grpc::Slice reply(std::string(response_bytes, 'e'));
  for (int i = 0; i < 128; ++i) new EchoCall(service, *queue, reply);
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<EchoCall*>(tag)->Proceed(ok);
  return 0;
}
