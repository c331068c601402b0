#include "server/service/transaction_admin.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "server/translate/query_response.h"
#include "server/translate/response.h"

namespace quarry {
namespace {

constexpr int64_t kSecondsMax = 315'576'000'000;  // Of google.protobuf.Duration.
constexpr int32_t kNanosMax = 999'999'999;

absl::StatusOr<std::optional<absl::Duration>> ToAge(const v1::ListInDoubtTransactionsRequest& request) {
  std::optional<absl::Duration> age;
  if (!request.has_min_age()) return age;
  const google::protobuf::Duration& wire = request.min_age();
  if (wire.seconds() < 0 || wire.nanos() < 0 || wire.seconds() > kSecondsMax || wire.nanos() > kNanosMax) {
    return InvalidField("min_age", "is negative, or no duration");
  }
  age = absl::Seconds(wire.seconds()) + absl::Nanoseconds(wire.nanos());
  return age;
}

template <typename Shards>
void FillFailed(const Unasked& unasked, Shards* wire) {
  for (const UnaskedShard& one : unasked) FillShardStatus(one.shard, one.why, wire->Add());
  std::sort(wire->begin(), wire->end(),
            [](const v1::ShardStatus& a, const v1::ShardStatus& b) { return a.shard() < b.shard(); });
}

v1::TransactionState StateOf(const TransactionTrace& trace) {
  if (!trace.decision.has_value()) return v1::TRANSACTION_STATE_IN_DOUBT;
  return trace.decision->verdict == Verdict::kCommit ? v1::TRANSACTION_STATE_COMMITTED
                                                     : v1::TRANSACTION_STATE_ROLLED_BACK;
}

void FillTransaction(const TransactionTrace& trace, const Topology& topology, v1::InDoubtTransaction* wire) {
  wire->set_transaction_id(trace.transaction_id);
  wire->set_state(StateOf(trace));
  wire->set_home(trace.home);
  wire->set_home_unknown(!topology.Find(trace.home).ok());
  for (const std::string& shard : trace.branches) wire->add_prepared_shards(shard);
  std::sort(wire->mutable_prepared_shards()->begin(), wire->mutable_prepared_shards()->end());
  if (trace.decision.has_value()) {
    for (const std::string& shard : trace.decision->participants) wire->add_participants(shard);
    std::sort(wire->mutable_participants()->begin(), wire->mutable_participants()->end());
  }
  FillDuration(trace.age, wire->mutable_age());
}

absl::StatusOr<std::vector<ShardId>> ShardsOf(const v1::InitShardRequest& request, const Topology& topology) {
  std::vector<ShardId> shards;
  if (request.target_case() == v1::InitShardRequest::kShard) {
    QUARRY_ASSIGN_OR_RETURN(const ShardId shard, topology.Find(request.shard()));
    shards.push_back(shard);
    return shards;
  }
  if (!request.all_shards()) return InvalidField("target", "is missing; set shard, or all_shards to true");
  std::vector<Shard> all = topology.shards();
  std::sort(all.begin(), all.end(), [](const Shard& a, const Shard& b) { return a.name < b.name; });
  for (const Shard& shard : all) shards.push_back(shard.id);
  return shards;
}

}  // namespace

Async<absl::Status> ListInDoubtTransactions(const v1::ListInDoubtTransactionsRequest& request,
                                            v1::ListInDoubtTransactionsResponse& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(const std::optional<absl::Duration> age, ToAge(request));
  Async<InDoubtList> ask = scope.engine->ListInDoubt(age, scope.ctx);
  const InDoubtList list = co_await ask;
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  for (const TransactionTrace& trace : list.transactions) {
    FillTransaction(trace, now->topology, response.add_transactions());
  }
  FillFailed(list.unasked, response.mutable_failed_shards());
  FillServedByGateway(now->topology, response.mutable_served_by());
  co_return absl::OkStatus();
}

Async<absl::Status> ResolveTransaction(const v1::ResolveTransactionRequest& request,
                                       v1::ResolveTransactionResponse& response, CallScope& scope) {
  if (request.id().empty()) co_return InvalidField("id", "is missing; ListInDoubtTransactions lists them");
  Async<absl::StatusOr<Resolution>> resolve = scope.engine->Resolve(request.id(), scope.ctx);
  const absl::StatusOr<Resolution> resolution = co_await resolve;
  if (!resolution.ok()) co_return resolution.status();
  response.set_state(ToWire(resolution->fate.state));
  response.set_home(resolution->fate.home);
  for (const std::string& shard : resolution->fate.unfinished) response.add_unfinished_shards(shard);
  FillFailed(resolution->unasked, response.mutable_failed_shards());
  for (const std::string& shard : resolution->contradicting) response.add_contradicting_shards(shard);
  FillServedByGateway(scope.engine->snapshot()->topology, response.mutable_served_by());
  co_return absl::OkStatus();
}

Async<absl::Status> InitShard(const v1::InitShardRequest& request, v1::InitShardResponse& response, CallScope& scope) {
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  QUARRY_CO_ASSIGN_OR_RETURN(const std::vector<ShardId> shards, ShardsOf(request, now->topology));
  Async<std::vector<absl::Status>> init = scope.engine->InitShards(shards, scope.ctx);
  const std::vector<absl::Status> statuses = co_await init;
  for (size_t i = 0; i < shards.size(); ++i) {
    FillShardStatus(now->topology.name(shards[i]), statuses[i], response.add_shards());
  }
  FillServedByGateway(now->topology, response.mutable_served_by());
  co_return absl::OkStatus();
}

}  // namespace quarry
