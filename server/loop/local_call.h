// Unary calls that reach the table another way than gRPC: the HTTP port, tools, tests.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "server/loop/server_core.h"

namespace quarry {

struct LocalRequest {
  const Method* method = nullptr;  // Unary.
  std::unique_ptr<google::protobuf::Message> message;
  std::map<std::string, std::string, std::less<>> metadata;  // Lower-case keys.
  std::string peer;
  absl::Time deadline = absl::InfiniteFuture();  // InfiniteFuture: the default of the server.
};

// Runs the call on `home`, or on the loop of its transaction, and waits for its end on a thread that is no loop's.
// The same limits, observer and errors as over gRPC.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> RunLocalCall(LoopSide& home, LocalRequest request);

}  // namespace quarry
