// The second port: /metrics, /livez, /readyz, and every unary RPC as JSON (POST /quarry.v1.DataService/Get).
// Its own threads; calls run on the loops of the gRPC server, under the same limits and with the same errors.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "prometheus/collectable.h"
#include "server/loop/grpc_server.h"
#include "server/observe/shard_board.h"

namespace quarry {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any free one.
  // Connections served at once: each holds a thread, also while it waits for its next call.
  int threads = 192;
  // JSON calls at once. With `kept_open` less than `threads`: what is left is for probes and /metrics.
  int calls_max = 96;
  // Connections that may wait for a next call. While more are open, a reply says `Connection: close`.
  int kept_open = 64;
  int64_t body_bytes_max = 4 << 20;
};

class HttpServer {
 public:
  // `server` and `board` outlive this.
  HttpServer(HttpServerOptions options, GrpcServer& server, const ShardBoard& board,
             std::vector<std::shared_ptr<const prometheus::Collectable>> metrics);
  // Stops.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Listens and serves. kUnavailable when the port cannot be bound.
  absl::Status Start();
  int port() const;
  // Stops listening and waits for the requests in flight. Before the gRPC server's loops stop.
  void Stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace quarry
