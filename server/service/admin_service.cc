#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/rpc_status.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "quarry/v1/admin.pb.h"
#include "server/service/query_admin.h"
#include "server/service/services.h"
#include "server/service/transaction_admin.h"
#include "server/translate/response.h"

namespace quarry {
namespace {

constexpr char kAdminService[] = "quarry.v1.AdminService";

v1::ServerState ToWire(ShardState state) {
  switch (state) {
    case ShardState::kUnknown:
      return v1::SERVER_STATE_UNSPECIFIED;
    case ShardState::kUp:
      return v1::SERVER_STATE_UP;
    case ShardState::kDown:
    case ShardState::kOpen:
      return v1::SERVER_STATE_DOWN;
  }
  return v1::SERVER_STATE_UNSPECIFIED;
}

void FillShard(const Shard& shard, const ShardView& view, const GatewayInfo& info, v1::Shard* wire) {
  wire->set_name(shard.name);
  wire->set_kind(shard.dialect == Dialect::kSqlite ? v1::BACKEND_KIND_SQLITE : v1::BACKEND_KIND_POSTGRESQL);
  wire->set_state(ToWire(view.state));
  v1::ShardServer* primary = wire->add_servers();
  primary->set_role(v1::ROLE_PRIMARY);
  primary->set_address(shard.address);
  primary->set_state(wire->state());
  if (!view.last_error.ok()) *primary->mutable_last_error() = ToRpcStatus(view.last_error);
  if (view.since != absl::InfinitePast()) FillTime(view.since, primary->mutable_state_since());
  v1::PoolStats* pool = primary->mutable_pool();
  pool->set_sessions_max(static_cast<int32_t>(view.stats.sessions_max));
  pool->set_sessions_open(static_cast<int32_t>(view.stats.sessions_open));
  pool->set_sessions_in_use(static_cast<int32_t>(view.stats.sessions_leased));
  pool->set_waiters(static_cast<int32_t>(view.stats.waiters));
  const auto waiters_max = info.waiters_max.find(shard.name);
  if (waiters_max != info.waiters_max.end()) pool->set_waiters_max(static_cast<int32_t>(waiters_max->second));
}

ShardView ViewOf(const ShardBoard& board, const std::string& name) {
  for (ShardView& view : board.shards()) {
    if (view.name == name) return std::move(view);
  }
  return {};
}

Async<absl::Status> ListShards(const ShardBoard* board, std::shared_ptr<const GatewayInfo> info,
                               v1::ListShardsResponse& response, CallScope& scope) {
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  std::vector<Shard> shards = now->topology.shards();
  std::sort(shards.begin(), shards.end(), [](const Shard& a, const Shard& b) { return a.name < b.name; });
  for (const Shard& shard : shards) FillShard(shard, ViewOf(*board, shard.name), *info, response.add_shards());
  FillServedByGateway(now->topology, response.mutable_served_by());
  co_return absl::OkStatus();
}

Async<absl::Status> GetShard(const ShardBoard* board, std::shared_ptr<const GatewayInfo> info,
                             const v1::GetShardRequest& request, v1::GetShardResponse& response, CallScope& scope) {
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  QUARRY_CO_ASSIGN_OR_RETURN(const ShardId id, now->topology.Find(request.shard()));
  FillShard(now->topology.shard(id), ViewOf(*board, request.shard()), *info, response.mutable_shard());
  FillServedByGateway(now->topology, response.mutable_served_by());
  co_return absl::OkStatus();
}

Async<absl::Status> GetInfo(std::shared_ptr<const GatewayInfo> info, v1::GetInfoResponse& response,
                            CallScope& scope) {
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  response.set_version(info->version);
  response.set_deployment(info->deployment);
  response.set_epoch(static_cast<int64_t>(now->topology.epoch()));
  FillTime(info->start_time, response.mutable_start_time());
  const int64_t nanos = absl::ToInt64Nanoseconds(scope.ctx.loop.Now() - info->start_time);
  response.mutable_uptime()->set_seconds(nanos / 1'000'000'000);
  response.mutable_uptime()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  FillServedByGateway(now->topology, response.mutable_served_by());
  co_return absl::OkStatus();
}

}  // namespace

void AddAdminService(RpcTable& table, GatewayInfo info, const ShardBoard& board, const QueryStats& queries) {
  const ShardBoard* shards = &board;
  const auto shared_info = std::make_shared<const GatewayInfo>(std::move(info));
  table.AddUnary<v1::ListShardsRequest, v1::ListShardsResponse>(
      kAdminService, "ListShards",
      [shards, shared_info](const v1::ListShardsRequest&, v1::ListShardsResponse& response, CallScope& scope) {
        return ListShards(shards, shared_info, response, scope);
      });
  table.AddUnary<v1::GetShardRequest, v1::GetShardResponse>(
      kAdminService, "GetShard",
      [shards, shared_info](const v1::GetShardRequest& request, v1::GetShardResponse& response, CallScope& scope) {
        return GetShard(shards, shared_info, request, response, scope);
      });
  table.AddUnary<v1::GetInfoRequest, v1::GetInfoResponse>(
      kAdminService, "GetInfo",
      [shared_info](const v1::GetInfoRequest&, v1::GetInfoResponse& response, CallScope& scope) {
        return GetInfo(shared_info, response, scope);
      });
  const QueryStats* stats = &queries;
  table.AddUnary<v1::ExplainRequest, v1::ExplainResponse>(
      kAdminService, "Explain",
      [stats](const v1::ExplainRequest& request, v1::ExplainResponse& response, CallScope& scope) {
        return Explain(stats, request, response, scope);
      });
  table.AddUnary<v1::ListTopQueriesRequest, v1::ListTopQueriesResponse>(
      kAdminService, "ListTopQueries",
      [stats](const v1::ListTopQueriesRequest& request, v1::ListTopQueriesResponse& response, CallScope& scope) {
        return ListTopQueries(stats, request, response, scope);
      });
  table.AddUnary<v1::ListInDoubtTransactionsRequest, v1::ListInDoubtTransactionsResponse>(
      kAdminService, "ListInDoubtTransactions", ListInDoubtTransactions);
  table.AddUnary<v1::ResolveTransactionRequest, v1::ResolveTransactionResponse>(kAdminService, "ResolveTransaction",
                                                                               ResolveTransaction);
  table.AddUnary<v1::InitShardRequest, v1::InitShardResponse>(kAdminService, "InitShard", InitShard);
}

}  // namespace quarry
