// Blocking calls without generated stubs, for tests of the server.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/rpc_status.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/impl/client_unary_call.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "grpcpp/impl/rpc_method.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/sync_stream.h"

namespace quarry {

// A connection of its own, whatever others the process has.
inline std::shared_ptr<grpc::Channel> ConnectTo(int port, int salt = 0) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("quarry.test.salt", salt);
  return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials(), arguments);
}

// With the details of grpc-status-details-bin.
inline absl::Status ToAbsl(const grpc::Status& status) {
  google::rpc::Status full;
  if (full.ParseFromString(status.error_details()) && full.code() != 0) return FromRpcStatus(full);
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

template <typename Request, typename Response>
absl::Status CallUnary(grpc::Channel& channel, const std::string& path, grpc::ClientContext& context,
                       const Request& request, Response* response) {
  const grpc::internal::RpcMethod method(path.c_str(), grpc::internal::RpcMethod::NORMAL_RPC);
  return ToAbsl(grpc::internal::BlockingUnaryCall<Request, Response>(&channel, method, &context, request, response));
}

template <typename Response, typename Request>
std::unique_ptr<grpc::ClientReader<Response>> CallServerStream(grpc::Channel& channel, const std::string& path,
                                                               grpc::ClientContext& context, const Request& request) {
  const grpc::internal::RpcMethod method(path.c_str(), grpc::internal::RpcMethod::SERVER_STREAMING);
  return std::unique_ptr<grpc::ClientReader<Response>>(
      grpc::internal::ClientReaderFactory<Response>::Create(&channel, method, &context, request));
}

template <typename Request, typename Response>
std::unique_ptr<grpc::ClientReaderWriter<Request, Response>> CallBidi(grpc::Channel& channel, const std::string& path,
                                                                      grpc::ClientContext& context) {
  const grpc::internal::RpcMethod method(path.c_str(), grpc::internal::RpcMethod::BIDI_STREAMING);
  return std::unique_ptr<grpc::ClientReaderWriter<Request, Response>>(
      grpc::internal::ClientReaderWriterFactory<Request, Response>::Create(&channel, method, &context));
}

}  // namespace quarry
