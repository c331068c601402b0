// A whole gateway: built from a configuration, started, drained, stopped. The one place that names concrete classes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/config/config.h"
#include "core/plan/snapshot.h"
#include "core/routing/resolver.h"
#include "core/topology/peer_table.h"
#include "server/http/http_server.h"
#include "server/loop/grpc_server.h"
#include "server/observe/access_log.h"
#include "server/observe/cache_metrics.h"
#include "server/observe/lock_metrics.h"
#include "server/observe/resolver_metrics.h"
#include "server/observe/shard_board.h"
#include "server/observe/shard_log.h"
#include "server/observe/shard_metrics.h"
#include "server/observe/slow_query_log.h"
#include "server/peers/peer_poller.h"
#include "server/observe/transaction_metrics.h"
#include "server/service/call_recorder.h"
#include "server/service/query_recorder.h"
#include "server/wiring/catalog_loader.h"
#include "server/wiring/databases.h"
#include "server/wiring/loop_parts.h"

namespace quarry {

// Built-in resolvers and the configured plug-ins.
absl::StatusOr<std::unique_ptr<ResolverRegistry>> MakeResolverRegistry(const Config& config);

class Gateway;

struct GatewayOptions {
  std::string version;
  // How long the start waits for the shards to tell their tables; whoever has not answered by then is asked on.
  absl::Duration catalog_wait = absl::Seconds(2);
  // Runs on every SQLite shard before anything else: the quickstart's schema.
  std::string sqlite_schema;
  // Runs before anything listens: the quickstart's rows, so that nobody meets half a shop.
  std::function<absl::Status(Gateway&)> before_serving = [](Gateway&) { return absl::OkStatus(); };
};

class Gateway {
 public:
  // Listening and serving when it returns. Errors say what to mend: the configuration, the data directory, a port.
  static absl::StatusOr<std::unique_ptr<Gateway>> Start(Config config, GatewayOptions options);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  int grpc_port() const { return server_->ports().front(); }
  int http_port() const { return http_->port(); }
  // Asks the shards for their tables again.
  void RefreshCatalog() { loader_->Refresh(); }
  // Refuses new calls, waits for those in flight until the configured drain timeout, then stops everything. Once.
  void Drain();
  // Runs `work` on the first loop with its engine, and waits; not from a loop.
  void RunOnLoop(absl::AnyInvocable<void(Loop&, Engine&)> work);
  const Config& config() const { return config_; }

 private:
  explicit Gateway(Config config) : config_(std::move(config)) {}
  absl::Status Build(const GatewayOptions& options);
  absl::Status StartLoader(const GatewayOptions& options);
  void MakeLogs(uint32_t loops);
  void MakePeers(const GatewayOptions& options);
  void MakeServer(const GatewayOptions& options);
  absl::Status Serve();
  void Publish(std::shared_ptr<const Snapshot> snapshot);

  const Config config_;
  std::unique_ptr<ResolverRegistry> registry_;
  Epoch epoch_{};
  std::unique_ptr<Databases> databases_;
  std::unique_ptr<ShardBoard> board_;
  std::unique_ptr<ShardLog> shard_log_;
  std::shared_ptr<ShardMetrics> shard_metrics_;
  std::shared_ptr<TransactionMetrics> transaction_metrics_;
  const std::shared_ptr<ResolverMetrics> resolver_metrics_ = std::make_shared<ResolverMetrics>();
  const std::shared_ptr<ResultCacheShared> cache_shared_ = std::make_shared<ResultCacheShared>();
  const std::shared_ptr<LockShared> locks_ = std::make_shared<LockShared>();
  std::shared_ptr<AccessLog> access_log_;
  std::unique_ptr<SlowQueryLog> slow_query_log_;
  std::unique_ptr<QueryRecorder> query_recorder_;
  RpcTable table_;
  std::unique_ptr<CallRecorder> recorder_;
  std::unique_ptr<PeerTable> peers_;
  std::unique_ptr<PeerPoller> peer_poller_;
  std::unique_ptr<GrpcServer> server_;
  std::vector<std::unique_ptr<LoopParts>> loops_;
  std::unique_ptr<CatalogLoader> loader_;
  std::unique_ptr<HttpServer> http_;
  bool drained_ = false;
};

}  // namespace quarry
