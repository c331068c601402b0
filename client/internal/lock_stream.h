// A KeepAlive call over gRPC. One user, but Cancel may come from any thread.
#pragma once

#include <memory>

#include "client/connection.h"
#include "quarry/v1/lock.grpc.pb.h"

namespace quarry::client::internal {

// `stub` outlives the stream.
std::unique_ptr<LockStream> OpenLockStream(v1::LockService::Stub& stub);

}  // namespace quarry::client::internal
