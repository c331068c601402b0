#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "server/service/services.h"

namespace quarry {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

constexpr int kNotFound = 5;
constexpr int kInvalidArgument = 3;

// v1 and v1alpha are the same messages in two packages.
template <typename Request, typename Response>
class Reflector {
 public:
  explicit Reflector(const RpcTable& table) : table_(table) {}

  void Answer(const Request& request, Response& response) const {
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    const DescriptorPool& pool = *DescriptorPool::generated_pool();
    switch (request.message_request_case()) {
      case Request::kFileByFilename:
        AnswerFile(pool.FindFileByName(request.file_by_filename()), response);
        break;
      case Request::kFileContainingSymbol:
        AnswerFile(pool.FindFileContainingSymbol(request.file_containing_symbol()), response);
        break;
      case Request::kFileContainingExtension:
        AnswerExtension(request, response);
        break;
      case Request::kAllExtensionNumbersOfType:
        AnswerExtensionNumbers(request.all_extension_numbers_of_type(), response);
        break;
      case Request::kListServices:
        for (const std::string& name : table_.services()) {
          response.mutable_list_services_response()->add_service()->set_name(name);
        }
        break;
      case Request::MESSAGE_REQUEST_NOT_SET:
        Fail(kInvalidArgument, "the request asks nothing", response);
        break;
    }
  }

 private:
  static void Fail(int code, const std::string& message, Response& response) {
    response.mutable_error_response()->set_error_code(code);
    response.mutable_error_response()->set_error_message(message);
  }
  // The file and all that it imports, each once, so that a client needs no second question.
  static void AnswerFile(const FileDescriptor* file, Response& response) {
    if (file == nullptr) {
      Fail(kNotFound, "not found", response);
      return;
    }
    std::vector<const FileDescriptor*> waiting = {file};
    absl::flat_hash_set<const FileDescriptor*> seen = {file};
    while (!waiting.empty()) {
      const FileDescriptor* next = waiting.back();
      waiting.pop_back();
      google::protobuf::FileDescriptorProto proto;
      next->CopyTo(&proto);
      response.mutable_file_descriptor_response()->add_file_descriptor_proto(proto.SerializeAsString());
      for (int i = 0; i < next->dependency_count(); ++i) {
        if (seen.insert(next->dependency(i)).second) waiting.push_back(next->dependency(i));
      }
    }
  }
  static void AnswerExtension(const Request& request, Response& response) {
    const DescriptorPool& pool = *DescriptorPool::generated_pool();
    const auto& asked = request.file_containing_extension();
    const auto* type = pool.FindMessageTypeByName(asked.containing_type());
    const FieldDescriptor* extension =
        type == nullptr ? nullptr : pool.FindExtensionByNumber(type, asked.extension_number());
    AnswerFile(extension == nullptr ? nullptr : extension->file(), response);
  }
  static void AnswerExtensionNumbers(const std::string& type_name, Response& response) {
    const DescriptorPool& pool = *DescriptorPool::generated_pool();
    const auto* type = pool.FindMessageTypeByName(type_name);
    if (type == nullptr) {
      Fail(kNotFound, "not found", response);
      return;
    }
    response.mutable_all_extension_numbers_response()->set_base_type_name(type_name);
    std::vector<const FieldDescriptor*> extensions;
    pool.FindAllExtensions(type, &extensions);
    for (const FieldDescriptor* extension : extensions) {
      response.mutable_all_extension_numbers_response()->add_extension_number(extension->number());
    }
  }

  const RpcTable& table_;  // Outlives this.
};

template <typename Request, typename Response>
Async<absl::Status> Serve(const RpcTable* table, StreamReader<Request> reader, StreamWriter<Response> writer) {
  const Reflector<Request, Response> reflector(*table);
  while (true) {
    Request request;
    Future<absl::StatusOr<bool>> next = reader.Read(request);
    const absl::StatusOr<bool> more = co_await next;
    if (!more.ok()) co_return more.status();
    if (!*more) co_return absl::OkStatus();
    Response response;
    reflector.Answer(request, response);
    Future<absl::Status> sent = writer.Write(response);
    const absl::Status status = co_await sent;
    if (!status.ok()) co_return status;
  }
}

template <typename Request, typename Response>
void Add(RpcTable& table, const char* service) {
  const RpcTable* methods = &table;
  table.AddBidi<Request, Response>(
      service, "ServerReflectionInfo",
      [methods](CallScope&, StreamReader<Request> reader, StreamWriter<Response> writer) {
        return Serve<Request, Response>(methods, reader, writer);
      });
}

}  // namespace

void AddReflection(RpcTable& table) {
  namespace v1 = grpc::reflection::v1;
  namespace v1alpha = grpc::reflection::v1alpha;
  Add<v1::ServerReflectionRequest, v1::ServerReflectionResponse>(table, "grpc.reflection.v1.ServerReflection");
  Add<v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse>(
      table, "grpc.reflection.v1alpha.ServerReflection");
}

}  // namespace quarry
