#include "server/loop/grpc_status.h"

#include <string>

#include "core/base/rpc_status.h"
#include "google/rpc/error_details.pb.h"

namespace quarry {
namespace {

// Message and details travel as headers, encoded to up to three and 4/3 times their size, and clients refuse more than
// 8 KiB of headers.
constexpr size_t kMessageBytesMax = 1024;
constexpr size_t kStatusBytesMax = 3584;

std::string Cut(std::string text) {
  if (text.size() <= kMessageBytesMax) return text;
  size_t end = kMessageBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // Not inside a character.
  text.resize(end);
  return text + "…";
}

// Leaves out the last of the fields that a BadRequest names; false when it names one or none.
bool RemoveLastViolation(google::protobuf::Any& detail) {
  google::rpc::BadRequest request;
  if (!detail.Is<google::rpc::BadRequest>() || !detail.UnpackTo(&request)) return false;
  if (request.field_violations_size() < 2) return false;
  request.mutable_field_violations()->RemoveLast();
  detail.PackFrom(request);
  return true;
}

void ShrinkLargestDetail(google::rpc::Status& status) {
  int largest = 0;
  for (int i = 1; i < status.details_size(); ++i) {
    if (status.details(i).value().size() > status.details(largest).value().size()) largest = i;
  }
  if (RemoveLastViolation(*status.mutable_details(largest))) return;
  status.mutable_details()->DeleteSubrange(largest, 1);
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status full = ToRpcStatus(status);
  std::string message = Cut(full.message());
  full.set_message(message);
  while (full.details_size() > 0 && full.ByteSizeLong() > kStatusBytesMax) ShrinkLargestDetail(full);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message, full.SerializeAsString());
}

}  // namespace quarry
