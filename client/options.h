// How a client connects, retries and bounds its calls. Every field has a default.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "grpcpp/security/credentials.h"

namespace quarry::client {

// Retries follow the published table of errors: UNAVAILABLE, and RESOURCE_EXHAUSTED with a
// RetryInfo, are tried again after the delay the gateway asks for; a write only with its
// request_id, and then UNKNOWN as well. ABORTED is retried by RunTransaction alone, with the whole
// transaction.
struct RetryOptions {
  // Attempts of one call, the first included. 1 means no retry.
  int attempts_max = 6;
  // Wait before retry n: uniform between 0 and min(backoff_max, backoff_initial * 2^(n-1)), added
  // to what the gateway asks for. Never waits past the call's deadline: it fails at once instead.
  absl::Duration backoff_initial = absl::Milliseconds(50);
  absl::Duration backoff_max = absl::Seconds(5);
  // Retries that all calls of the client share: each call adds this part of a retry, up to
  // `budget_burst`, so a gateway that is down gets at most this much more load.
  double budget_ratio = 0.1;
  double budget_burst = 20;
  // Runs of one RunTransaction, the first included.
  int transaction_attempts_max = 10;
};

struct ClientOptions {
  // "host:port", or any name that gRPC resolves, such as "dns:///quarry:7400" or
  // "unix:/run/quarry.sock".
  std::string address = "127.0.0.1:7400";
  // nullptr means no encryption.
  std::shared_ptr<grpc::ChannelCredentials> credentials = {};
  // Connections; calls take turns over them.
  int channels = 2;
  // Deadline of each call that does not bring its own, retries included.
  absl::Duration timeout = absl::Seconds(30);
  // Connect waits this long for the first connection and fails with UNAVAILABLE without one. Zero:
  // does not wait; the first call connects.
  absl::Duration connect_timeout = absl::ZeroDuration();
  RetryOptions retry = {};
};

// A lock and the token of its grant: a shard that has seen a higher one refuses the write with
// FAILED_PRECONDITION (LOCK_LOST).
struct Fence {
  std::string lock;
  int64_t token = 0;
};

// Bounds of one call.
struct CallOptions {
  // Zero means ClientOptions::timeout.
  absl::Duration timeout = absl::ZeroDuration();
  // UUID text that makes a write safe to repeat. Empty: the client makes one, for a write outside a
  // transaction.
  std::string request_id = {};
  // The lock that guards a write; see HeldLock::fence.
  std::optional<Fence> fence = {};
};

}  // namespace quarry::client
