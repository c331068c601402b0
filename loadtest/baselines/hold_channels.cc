// Opens connections to a gateway, one Get through each, and keeps them open: what a client that is connected
// and idle costs. Prints "ready" once all are open; ends when its standard input ends.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "quarry/v1/data.pb.h"

namespace {

grpc::Status Get(const std::shared_ptr<grpc::Channel>& channel, const quarry::v1::GetRequest& request) {
  const grpc::Slice slice(request.SerializeAsString());
  const grpc::ByteBuffer message(&slice, 1);
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  grpc::ByteBuffer reply;
  grpc::Status status;
  const auto reader = stub.PrepareUnaryCall(&context, "/quarry.v1.DataService/Get", message, &queue);
  reader->StartCall();
  reader->Finish(&reply, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  std::string address;
  std::string table = "accounts";
  int count = 1;
  CLI::App app("Opens connections, reads row 1 through each, and keeps them until its input ends.");
  app.add_option("address", address, "host:port of the gateway")->required();
  app.add_option("--table", table, "Table with an int64 key");
  app.add_option("--channels", count, "How many connections")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  quarry::v1::GetRequest request;
  request.set_table(table);
  request.mutable_key()->add_values()->set_int64_value(1);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // Else all channels share one connection.
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < count; ++i) {
    channels.push_back(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
    const grpc::Status status = Get(channels.back(), request);
    if (!status.ok()) {
      std::fprintf(stderr, "hold_channels: %s\n", status.error_message().c_str());
      return 1;
    }
  }
  std::printf("ready\n");
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}
