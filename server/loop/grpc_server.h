// The gRPC server: its loops, and one server over all of them that answers the methods of a table.
// Order: construct (loops run) -> give each loop its engine -> Start -> Drain -> take the engines away -> StopLoops.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/topology/peer_table.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "server/loop/call.h"
#include "server/loop/grpc_loop.h"
#include "server/loop/local_call.h"
#include "server/loop/rpc_table.h"
#include "server/loop/server_core.h"

namespace quarry {

struct GrpcServerOptions {
  std::vector<std::string> addresses = {"127.0.0.1:0"};  // "host:port"; port 0: any free one.
  std::shared_ptr<grpc::ServerCredentials> credentials;  // Null: plain text.
  uint32_t loops = 1;                                    // One per core.
  GrpcLoopOptions loop;
  CallLimits limits;
  int metadata_bytes_max = 16 << 10;
  // The loop that owns a transaction id; null: every call runs where it arrives.
  std::function<absl::StatusOr<uint32_t>(const std::string&)> loop_of_transaction;
  // The other gateways, to which calls of their transactions go; null: every call runs here. Outlives the server.
  PeerTable* peers = nullptr;
  // Asks them all, from any thread, and then calls `done` on whichever; null: the table is all that can be known.
  std::function<void(absl::AnyInvocable<void()> done)> poll_peers;
};

class GrpcServer {
 public:
  // Starts the loops. `table` and `observer` outlive this; the table is complete before Start.
  // The observer may be null.
  GrpcServer(GrpcServerOptions options, const RpcTable& table, CallObserver* observer);
  // Drains at once and stops what still runs.
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  size_t loop_count() const { return core_.sides.size(); }
  GrpcLoop& loop(size_t index) { return *core_.sides[index]->loop; }
  // Before Start. The engine is made, used and destroyed on its loop (RunAndWait) and outlives Drain.
  void SetEngine(size_t index, Engine* engine) { core_.sides[index]->engine = engine; }

  // Listens and serves. kUnavailable, naming the address, when one cannot be bound.
  absl::Status Start();
  // In the order of the addresses.
  const std::vector<int>& ports() const { return ports_; }

  // Any thread. New calls are refused with DRAINING; those in flight go on.
  void BeginDrain() { core_.draining.store(true); }
  bool draining() const { return core_.draining.load(); }
  // Stops listening, waits for calls in flight until `deadline`, then drops them. Returns when none is left. Once.
  void Drain(absl::Time deadline);
  // After Drain: ends the loops.
  void StopLoops();

  // Any thread but a loop's: runs a unary call on the next loop in turn.
  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> CallUnary(LocalRequest request);
  const RpcTable& table() const { return *core_.table; }

 private:
  void Listen(grpc::ServerBuilder& builder);

  GrpcServerOptions options_;
  ServerCore core_;
  std::unique_ptr<grpc::ServerBuilder> builder_;
  std::unique_ptr<RawService> service_;
  grpc::AsyncGenericService unknown_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<int> ports_;
  std::atomic<uint32_t> turn_{0};
};

}  // namespace quarry
