// grpc::Status -> absl::Status with the google.rpc details as payloads.
#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace quarry::client::internal {

// Details that cannot be parsed are left out; code and message always stay.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace quarry::client::internal
