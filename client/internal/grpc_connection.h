// A Connection over a pool of gRPC channels; each call is one attempt.
#pragma once

#include <memory>

#include "client/connection.h"
#include "client/options.h"

namespace quarry::client::internal {

// INVALID_ARGUMENT for options that make no sense; UNAVAILABLE when connect_timeout is set and
// passes.
absl::StatusOr<std::unique_ptr<Connection>> ConnectChannels(const ClientOptions& options);

}  // namespace quarry::client::internal
