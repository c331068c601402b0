#include "core/base/rpc_status.h"

#include <string>

#include "absl/strings/cord.h"

namespace quarry {

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status result;
  result.set_code(static_cast<int>(status.code()));
  result.set_message(std::string(status.message()));
  status.ForEachPayload([&result](absl::string_view url, const absl::Cord& payload) {
    google::protobuf::Any* detail = result.add_details();
    detail->set_type_url(std::string(url));
    detail->set_value(std::string(payload));
  });
  return result;
}

absl::Status FromRpcStatus(const google::rpc::Status& status) {
  const bool known = status.code() >= 0 && status.code() <= 16;
  const auto code = known ? static_cast<absl::StatusCode>(status.code()) : absl::StatusCode::kUnknown;
  absl::Status result(code, status.message());
  for (const google::protobuf::Any& detail : status.details()) {
    result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return result;
}

}  // namespace quarry
