// A Connection that tries again what is safe to try again.
#pragma once

#include <memory>

#include "client/connection.h"
#include "client/internal/retry.h"

namespace quarry::client::internal {

// `policy` is shared with the owner of the connection.
std::unique_ptr<Connection> WithRetries(std::unique_ptr<Connection> next,
                                        std::shared_ptr<RetryPolicy> policy);

}  // namespace quarry::client::internal
