#include "server/loop/rpc_table.h"

#include <set>

#include "absl/strings/str_cat.h"

namespace quarry {

const char* MethodKindName(MethodKind kind) {
  switch (kind) {
    case MethodKind::kUnary:
      return "unary";
    case MethodKind::kServerStream:
      return "server_stream";
    case MethodKind::kBidi:
      return "bidi_stream";
  }
  return "unknown";
}

const Method* RpcTable::Find(std::string_view path) const {
  const auto found = by_path_.find(path);
  return found == by_path_.end() ? nullptr : found->second;
}

std::vector<std::string> RpcTable::services() const {
  std::set<std::string> names;
  for (const std::unique_ptr<Method>& method : methods_) names.insert(method->service);
  return std::vector<std::string>(names.begin(), names.end());
}

Method& RpcTable::Add(std::string service, std::string name, MethodKind kind, const google::protobuf::Message& request,
                      const google::protobuf::Message& response) {
  auto method = std::make_unique<Method>();
  method->path = absl::StrCat("/", service, "/", name);
  method->service = std::move(service);
  method->name = std::move(name);
  method->kind = kind;
  method->index = methods_.size();
  method->request = &request;
  method->response = &response;
  const google::protobuf::FieldDescriptor* field = request.GetDescriptor()->FindFieldByName("transaction_id");
  if (field != nullptr && field->type() == google::protobuf::FieldDescriptor::TYPE_STRING && !field->is_repeated()) {
    method->transaction_id = field;
  }
  by_path_[method->path] = method.get();
  methods_.push_back(std::move(method));
  return *methods_.back();
}

}  // namespace quarry
