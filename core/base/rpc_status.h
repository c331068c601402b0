// A status as the google.rpc.Status that travels, and back. Payloads are copied as details without being read.
#pragma once

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace quarry {

google::rpc::Status ToRpcStatus(const absl::Status& status);
// A code that is none of gRPC's becomes kUnknown.
absl::Status FromRpcStatus(const google::rpc::Status& status);

}  // namespace quarry
