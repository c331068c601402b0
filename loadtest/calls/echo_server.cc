// The baseline: a bare gRPC server on the completion-queue API, one queue and one thread, that sends each request back.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>

namespace {

// One call from its arrival to its end, then again.
class EchoCall {
 public:
  EchoCall(grpc::AsyncGenericService& service, grpc::ServerCompletionQueue& queue) : service_(service), queue_(queue) {
    Wait();
  }

  void Proceed(bool ok) {
    switch (step_) {
      case Step::kArrive:
        if (!ok) return delete this;
        new EchoCall(service_, queue_);
        step_ = Step::kRead;
        stream_.Read(&message_, this);
        break;
      case Step::kRead:
        step_ = Step::kFinish;
        stream_.WriteAndFinish(message_, grpc::WriteOptions(), grpc::Status::OK, this);
        break;
      case Step::kFinish:
        delete this;
        break;
    }
  }

 private:
  enum class Step { kArrive, kRead, kFinish };
  void Wait() { service_.RequestCall(&context_, &stream_, &queue_, &queue_, this); }

  grpc::AsyncGenericService& service_;
  grpc::ServerCompletionQueue& queue_;
  Step step_ = Step::kArrive;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  grpc::ByteBuffer message_;
};

}  // namespace

int main() {
  int port = 0;
  grpc::ServerBuilder builder;
  grpc::AsyncGenericService service;
  builder.RegisterAsyncGenericService(&service);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::printf("%d\n", port);
  std::fflush(stdout);
  for (int i = 0; i < 128; ++i) new EchoCall(service, *queue);
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<EchoCall*>(tag)->Proceed(ok);
  return 0;
}
