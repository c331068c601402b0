// Calls whose transaction another gateway has: they go there as bytes, and what it answers comes back as it is.
// One hop: a call that came from a gateway goes no further. docs/operating.md tells what callers see. Internal to server/loop;
// on the loop that took the call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/async.h"
#include "core/base/loop.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/loop/rpc_table.h"
#include "server/loop/server_core.h"

namespace quarry {

// Metadata of a forwarded call: the instance that sent it.
inline constexpr char kForwardedKey[] = "quarry-forwarded";

// Where the messages of the owner go.
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  // One at a time; of a unary call the only one. kResourceExhausted LIMIT_EXCEEDED: it is over this gateway's limit.
  virtual Future<absl::Status> Take(grpc::ByteBuffer message) = 0;
};

struct ForwardTask {
  const Method* method = nullptr;
  uint64_t instance = 0;
  std::string transaction_id;
  grpc::ByteBuffer request;
  absl::Time deadline = absl::InfiniteFuture();
  std::string call_id;
  const CallMetadata* metadata = nullptr;  // Outlives the call.
};

struct ForwardEnd {
  // The owner is gone, and the method can say from the shards what has become of the transaction: run it here.
  bool run_here = false;
  absl::Status status;
};

// The instance, when it is not this one, that owns the transaction of the request; nullopt: the call is for this gateway.
std::optional<uint64_t> OwnerElsewhere(const ServerCore& core, const Method& method,
                                       const google::protobuf::Message& request);
// The id in the request; the method has one.
std::string TransactionIdOf(const Method& method, const google::protobuf::Message& request);

// kAborted TRANSACTION_ENDED: the owner is gone, or its answer was lost. kUnavailable PEER_UNAVAILABLE: nothing ran, another
// attempt is safe. kUnknown COMMIT_OUTCOME_UNKNOWN: the answer to a commit was lost. Anything else is the owner's own.
// `home` and `sink` outlive the Async.
Async<ForwardEnd> Forward(LoopSide& home, ForwardTask task, ReplySink& sink);

}  // namespace quarry
