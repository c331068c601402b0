// One unary RPC as JSON: protobuf's mapping both ways, google.rpc.Status for errors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/loop/grpc_server.h"

namespace quarry {

struct JsonReply {
  int http_status = 200;
  std::string body;
  int64_t retry_after_seconds = 0;  // 0: the error names no delay.
};

struct JsonRequest {
  std::string path;  // "/quarry.v1.DataService/Get"
  std::string body;  // Empty: a message with no field set.
  std::string call_id;
  std::string peer;
  std::string timeout;       // "1.5s", "200ms"; empty: the next.
  std::string grpc_timeout;  // "5S", "100m", as in gRPC's header; empty: the default.
};

// On a thread that is no loop's; returns when the call has ended or its deadline has.
JsonReply RunJsonCall(GrpcServer& server, const JsonRequest& request);

int HttpStatusOf(absl::StatusCode code);
JsonReply ErrorReply(const absl::Status& status);
// Times from now; nullopt when the text has another form or is not positive.
std::optional<absl::Duration> ParseTimeout(std::string_view text);
std::optional<absl::Duration> ParseGrpcTimeout(std::string_view text);

}  // namespace quarry
