#include "server/wiring/gateway.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "core/base/random.h"
#include "core/base/status_macros.h"
#include "core/routing/plugin_loader.h"
#include "core/topology/epoch_store.h"
#include "server/observe/build_info.h"
#include "server/observe/peer_metrics.h"
#include "server/observe/process_metrics.h"
#include "server/service/services.h"
#include "server/wiring/snapshot_builder.h"
#include "server/wiring/token_secret.h"
#include "spdlog/spdlog.h"

namespace quarry {
namespace {

uint32_t LoopCount(const Config& config) {
  if (config.loops > 0) return static_cast<uint32_t>(config.loops);
  return std::max(1u, std::thread::hardware_concurrency());
}

bool HasFiles(const Config& config) {
  return std::any_of(config.shards.begin(), config.shards.end(),
                     [](const ShardConfig& shard) { return shard.dialect == Dialect::kSqlite; });
}

// Without a data directory a gateway over PostgreSQL still serves; it only cannot tell a changed topology from an old one.
absl::StatusOr<Epoch> OpenDataDir(const Config& config) {
  std::error_code error;
  std::filesystem::create_directories(config.data_dir, error);
  absl::StatusOr<Epoch> epoch =
      error ? absl::StatusOr<Epoch>(absl::UnavailableError(absl::StrCat(
                  "cannot create data_dir ", config.data_dir, ": ", error.message(), "; check its parent's rights")))
            : EpochFor(TopologyFingerprint(config), (std::filesystem::path(config.data_dir) / "topology.json").string());
  if (epoch.ok() || HasFiles(config)) return epoch;
  spdlog::warn("the topology's epoch is not kept: {}", std::string(epoch.status().message()));
  return Epoch{1};
}

HttpServerOptions HttpOptions(const Config& config) {
  HttpServerOptions options;
  const std::string& address = config.listen.http;
  const size_t colon = address.rfind(':');
  options.host = address.substr(0, colon);
  if (options.host.size() > 2 && options.host.front() == '[') options.host = options.host.substr(1, options.host.size() - 2);
  // The configuration has checked the form.
  const bool parsed = absl::SimpleAtoi(address.substr(colon + 1), &options.port);
  if (!parsed) options.port = 0;
  options.body_bytes_max = config.limits.message_bytes;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ResolverRegistry>> MakeResolverRegistry(const Config& config) {
  auto registry = std::make_unique<ResolverRegistry>();
  RegisterBuiltinResolvers(*registry);
  for (const std::string& plugin : config.plugins) {
    QUARRY_RETURN_IF_ERROR(LoadResolverPlugin(plugin, *registry).status());
  }
  return registry;
}

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Start(Config config, GatewayOptions options) {
  auto gateway = std::unique_ptr<Gateway>(new Gateway(std::move(config)));
  QUARRY_RETURN_IF_ERROR(gateway->Build(options));
  return gateway;
}

Gateway::~Gateway() { Drain(); }

absl::Status Gateway::Build(const GatewayOptions& options) {
  QUARRY_ASSIGN_OR_RETURN(registry_, MakeResolverRegistry(config_));
  QUARRY_ASSIGN_OR_RETURN(epoch_, OpenDataDir(config_));
  QUARRY_ASSIGN_OR_RETURN(databases_, Databases::Open(config_));
  if (!options.sqlite_schema.empty()) QUARRY_RETURN_IF_ERROR(databases_->RunScript(options.sqlite_schema));
  // Before anything listens: resolvers that are wrong whatever the tables are.
  QUARRY_ASSIGN_OR_RETURN(std::shared_ptr<const Snapshot> snapshot,
                          SnapshotWithoutCatalog(config_, epoch_, *registry_, "the shards have not been asked yet"));
  QUARRY_ASSIGN_OR_RETURN(const std::string secret, TokenSecret(config_));
  const auto sealer = std::make_shared<const Sealer>(secret);
  MakeServer(options);
  SystemRandom random;
  for (size_t index = 0; index < server_->loop_count(); ++index) {
    LoopParts::Options parts;
    parts.instance = peers_->self().instance;
    parts.loop_index = static_cast<uint32_t>(index);
    parts.id_node = static_cast<uint32_t>(random.Next());
    parts.config = &config_;
    parts.databases = databases_.get();
    parts.metrics = shard_metrics_.get();
    parts.board = board_.get();
    parts.transactions = transaction_metrics_.get();
    parts.snapshot = snapshot;
    parts.sealer = sealer;
    parts.cache_shared = cache_shared_;
    parts.locks = locks_;
    GrpcLoop& loop = server_->loop(index);
    loop.RunAndWait([this, &loop, &parts] { loops_.push_back(std::make_unique<LoopParts>(loop, std::move(parts))); });
    server_->SetEngine(index, &loops_.back()->engine());
  }
  QUARRY_RETURN_IF_ERROR(StartLoader(options));
  QUARRY_RETURN_IF_ERROR(options.before_serving(*this));
  return Serve();
}

void Gateway::MakeLogs(uint32_t loops) {
  std::vector<std::string> names;
  for (const ShardConfig& shard : config_.shards) names.push_back(shard.name);
  board_ = std::make_unique<ShardBoard>(names, loops);
  shard_log_ = std::make_unique<ShardLog>(*board_, spdlog::default_logger());
  shard_metrics_ = std::make_shared<ShardMetrics>(*board_);
  transaction_metrics_ = std::make_shared<TransactionMetrics>(loops);
  AccessLogOptions log_options;
  log_options.json = config_.log.format == "json";
  access_log_ = std::make_shared<AccessLog>(spdlog::default_logger(), log_options);
  SlowQueryOptions slow_options;
  slow_options.json = log_options.json;
  slow_options.threshold = config_.log.slow_query;
  slow_query_log_ = std::make_unique<SlowQueryLog>(spdlog::default_logger(), slow_options);
  query_recorder_ = std::make_unique<QueryRecorder>(loops, slow_query_log_.get());
}

void Gateway::MakePeers(const GatewayOptions& options) {
  PeerTable::Options table;
  SystemRandom random;
  while (table.self.instance == 0) table.self.instance = random.Next();  // 0 stands for none.
  table.self.deployment = config_.deployment;
  table.self.version = options.version;
  peers_ = std::make_unique<PeerTable>(std::move(table));
  PeerPollerOptions poller;
  poller.addresses = config_.peers.addresses;
  poller.dns = config_.peers.dns;
  poller.interval = config_.peers.interval;
  peer_poller_ = std::make_unique<PeerPoller>(std::move(poller), *peers_);
}

void Gateway::MakeServer(const GatewayOptions& options) {
  const uint32_t loops = LoopCount(config_);
  MakeLogs(loops);
  MakePeers(options);
  RawSqlLimits raw_sql;
  raw_sql.width_max = static_cast<size_t>(config_.limits.scatter_width);
  TransactionOptions transactions;
  transactions.idle_timeout_default = config_.transactions.idle_timeout;
  transactions.idle_timeout_max = config_.transactions.idle_timeout_max;
  QueryLimits queries;
  queries.message_bytes = config_.limits.message_bytes;
  AddDataService(table_);
  AddQueries(table_, *query_recorder_, queries);
  AddShardService(table_, raw_sql);
  AddTransactionService(table_, transactions);
  AddLockService(table_);
  AddSchemaService(table_);
  GatewayInfo info{options.version, config_.deployment, absl::Now()};
  for (const ShardConfig& shard : config_.shards) info.waiters_max[shard.name] = shard.pool.waiters * loops;
  AddAdminService(table_, std::move(info), *board_, query_recorder_->stats());
  AddPeers(table_, *peers_);
  AddHealthService(table_, *board_);
  AddReflection(table_);
  recorder_ = std::make_unique<CallRecorder>(table_, loops, access_log_.get());

  GrpcServerOptions server;
  server.addresses = {config_.listen.grpc};
  server.loops = loops;
  server.limits.calls_in_flight_max = static_cast<int>(std::max<int64_t>(1, config_.limits.calls_max / loops));
  server.limits.deadline_default = config_.default_deadline;
  server.limits.receive_bytes_max = config_.limits.message_bytes;
  server.limits.send_bytes_max = config_.limits.message_bytes;
  server.loop_of_transaction = Engine::LoopOf;
  server.peers = peers_.get();
  server.poll_peers = [this](absl::AnyInvocable<void()> done) { peer_poller_->PollNow(std::move(done)); };
  server_ = std::make_unique<GrpcServer>(std::move(server), table_, recorder_.get());
}

absl::Status Gateway::StartLoader(const GatewayOptions& options) {
  CatalogLoaderParts parts;
  for (const ShardConfig& shard : config_.shards) parts.shards.push_back(shard.name);
  parts.introspect = [this](size_t shard) { return databases_->Introspect(shard); };
  parts.build = [this](const std::vector<ShardSchema>& schemas) {
    return SnapshotWithCatalog(config_, epoch_, *registry_, schemas);
  };
  parts.without_catalog = [this](std::string problem) {
    // It was built once already, when the gateway started.
    return *SnapshotWithoutCatalog(config_, epoch_, *registry_, std::move(problem));
  };
  parts.publish = [this](std::shared_ptr<const Snapshot> snapshot) { Publish(std::move(snapshot)); };
  loader_ = std::make_unique<CatalogLoader>(std::move(parts));
  loader_->WaitForFirstPass(options.catalog_wait);
  return absl::OkStatus();
}

absl::Status Gateway::Serve() {
  QUARRY_RETURN_IF_ERROR(server_->Start());
  peer_poller_->Start();
  http_ = std::make_unique<HttpServer>(
      HttpOptions(config_), *server_, *board_,
      std::vector<std::shared_ptr<const prometheus::Collectable>>{MakeRegistry(QUARRY_VERSION, config_.deployment),
                                                                  std::make_shared<ProcessMetrics>(), recorder_->metrics(),
                                                                  shard_metrics_, resolver_metrics_, transaction_metrics_,
                                                                  std::make_shared<CacheMetrics>(cache_shared_),
                                                                  std::make_shared<LockMetrics>(locks_),
                                                                  std::make_shared<PeerMetrics>(*peers_)});
  return http_->Start();
}

void Gateway::Publish(std::shared_ptr<const Snapshot> snapshot) {
  resolver_metrics_->Use(snapshot);
  for (size_t index = 0; index < loops_.size(); ++index) {
    server_->loop(index).Post([parts = loops_[index].get(), snapshot] { parts->SetSnapshot(snapshot); });
  }
  board_->SetCatalogProblem(snapshot->catalog_ready ? "" : snapshot->catalog_problem);
}

void Gateway::RunOnLoop(absl::AnyInvocable<void(Loop&, Engine&)> work) {
  GrpcLoop& loop = server_->loop(0);
  loop.RunAndWait([this, &loop, &work] { work(loop, loops_.front()->engine()); });
}

void Gateway::Drain() {
  if (std::exchange(drained_, true) || server_ == nullptr) return;
  if (board_ != nullptr) board_->SetDraining();
  server_->BeginDrain();
  server_->Drain(absl::Now() + config_.drain_timeout);
  // Until here it tells who asks that the gateway drains.
  if (http_ != nullptr) http_->Stop();
  loader_.reset();
  peer_poller_.reset();
  for (size_t index = 0; index < loops_.size(); ++index) {
    server_->loop(index).RunAndWait([this, index] { loops_[index].reset(); });
  }
  server_->StopLoops();
}

}  // namespace quarry
