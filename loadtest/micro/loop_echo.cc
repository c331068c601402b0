// What the server's own loop and table cost: a Get that parses its request and answers at once, beside echo_server.
// Prints its port and serves until its input ends. An argument is the number of loops.
#include <cstdio>
#include <cstdlib>

#include "absl/time/clock.h"
#include "quarry/v1/data.pb.h"
#include "server/loop/grpc_server.h"
#include "server/service/call_recorder.h"

namespace {

using quarry::Async;
using quarry::CallScope;

Async<absl::Status> Get(const quarry::v1::GetRequest& request, quarry::v1::GetResponse& response, CallScope&) {
  response.set_etag(request.table());
  co_return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  quarry::RpcTable table;
  table.AddUnary<quarry::v1::GetRequest, quarry::v1::GetResponse>("quarry.v1.DataService", "Get", Get);
  quarry::GrpcServerOptions options;
  options.loops = argc > 1 ? static_cast<uint32_t>(std::atoi(argv[1])) : 1;
  quarry::CallRecorder recorder(table, options.loops, nullptr);
  quarry::GrpcServer server(options, table, &recorder);
  if (const absl::Status status = server.Start(); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  std::printf("%d\n", server.ports()[0]);
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  server.Drain(absl::Now() + absl::Seconds(1));
  server.StopLoops();
  return 0;
}
