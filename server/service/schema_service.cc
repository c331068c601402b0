#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "quarry/v1/schema.pb.h"
#include "server/service/services.h"
#include "server/translate/request.h"
#include "server/translate/response.h"

namespace quarry {
namespace {

constexpr char kSchemaService[] = "quarry.v1.SchemaService";

absl::Status RequireCatalog(const Snapshot& snapshot) {
  if (snapshot.catalog_ready) return absl::OkStatus();
  ErrorDetail detail;
  detail.reason = reason::kCatalogNotReady;
  detail.retry_after = absl::Seconds(1);
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("the tables are not known yet: ", snapshot.catalog_problem), detail);
}

Async<absl::Status> ListTables(const v1::ListTablesRequest&, v1::ListTablesResponse& response, CallScope& scope) {
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  QUARRY_CO_RETURN_IF_ERROR(RequireCatalog(*now));
  for (const auto& [name, table] : now->catalog.tables()) FillSummary(table, response.add_tables());
  FillServedByGateway(now->topology, response.mutable_served_by());
  co_return absl::OkStatus();
}

Async<absl::Status> GetTable(const v1::GetTableRequest& request, v1::GetTableResponse& response, CallScope& scope) {
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  QUARRY_CO_RETURN_IF_ERROR(RequireCatalog(*now));
  QUARRY_CO_ASSIGN_OR_RETURN(const Table* table, now->catalog.FindTable(request.table()));
  FillTable(*table, *now, response.mutable_table());
  FillServedByGateway(now->topology, response.mutable_served_by());
  co_return absl::OkStatus();
}

void FillFacts(const RouteExplanation& explanation, v1::ResolveKeyResponse& response) {
  const auto hash = explanation.facts.find("hash");
  uint64_t hash_value = 0;
  if (hash != explanation.facts.end() && absl::SimpleHexAtoi(hash->second, &hash_value)) response.set_hash(hash_value);
  auto bucket = explanation.facts.find("bucket");
  if (bucket == explanation.facts.end()) bucket = explanation.facts.find("remainder");
  int64_t bucket_value = 0;
  if (bucket != explanation.facts.end() && absl::SimpleAtoi(bucket->second, &bucket_value)) {
    response.set_bucket(bucket_value);
  }
}

Async<absl::Status> ResolveKey(const v1::ResolveKeyRequest& request, v1::ResolveKeyResponse& response,
                               CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(const KeyInput key, ToKey(request));
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  QUARRY_CO_RETURN_IF_ERROR(RequireCatalog(*now));
  Async<absl::StatusOr<RouteResult>> resolve = scope.engine->ResolveKey(request.table(), key, scope.ctx);
  const absl::StatusOr<RouteResult> resolved = co_await resolve;
  if (!resolved.ok()) co_return resolved.status();
  const RouteResult& route = *resolved;
  QUARRY_CO_ASSIGN_OR_RETURN(const Table* table, now->catalog.FindTable(request.table()));
  response.set_shard(now->topology.name(route.explanation.shard));
  if (table->kind() == TableKind::kReference) {
    for (const Shard& shard : now->topology.shards()) response.add_shards(shard.name);
    std::sort(response.mutable_shards()->begin(), response.mutable_shards()->end());
    response.set_shard(response.shards(0));
  } else {
    response.add_shards(response.shard());
  }
  response.set_resolver(route.resolver);
  response.set_resolver_type(route.resolver_type);
  response.set_explanation(route.explanation.words);
  FillFacts(route.explanation, response);
  response.mutable_served_by()->set_epoch(static_cast<int64_t>(route.epoch));
  co_return absl::OkStatus();
}

Async<absl::Status> MapKey(const v1::MapKeyRequest& request, v1::MapKeyResponse& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(const KeyInput key, ToKey(request));
  Async<absl::Status> map = scope.engine->MapKey(request.table(), key, request.shard(), scope.ctx);
  QUARRY_CO_RETURN_IF_ERROR(co_await map);
  FillServedByGateway(scope.engine->snapshot()->topology, response.mutable_served_by());
  co_return absl::OkStatus();
}

}  // namespace

void AddSchemaService(RpcTable& table) {
  table.AddUnary<v1::ListTablesRequest, v1::ListTablesResponse>(kSchemaService, "ListTables", ListTables);
  table.AddUnary<v1::GetTableRequest, v1::GetTableResponse>(kSchemaService, "GetTable", GetTable);
  table.AddUnary<v1::ResolveKeyRequest, v1::ResolveKeyResponse>(kSchemaService, "ResolveKey", ResolveKey);
  table.AddUnary<v1::MapKeyRequest, v1::MapKeyResponse>(kSchemaService, "MapKey", MapKey);
}

}  // namespace quarry
