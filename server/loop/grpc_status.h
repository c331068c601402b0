// An engine's status as gRPC sends it.
#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace quarry {

// Details travel in grpc-status-details-bin as google.rpc.Status.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace quarry
