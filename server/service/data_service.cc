#include <memory>
#include <utility>

#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "quarry/v1/data.pb.h"
#include "server/service/services.h"
#include "server/translate/request.h"
#include "server/translate/response.h"

namespace quarry {
namespace {


Async<absl::Status> Get(const v1::GetRequest& request, v1::GetResponse& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(const ReadOperation op, ToOperation(request));
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  Async<absl::StatusOr<ReadResult>> read = scope.engine->Read(op, request.transaction_id(), scope.ctx);
  const absl::StatusOr<ReadResult> result = co_await read;
  if (!result.ok()) co_return result.status();
  co_return FillResponse(request.table(), *result, now->topology, &response, scope.reply_bytes);
}

Async<absl::Status> BatchGet(const v1::BatchGetRequest& request, v1::BatchGetResponse& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(const ReadOperation op, ToOperation(request));
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  Async<absl::StatusOr<ReadResult>> read = scope.engine->Read(op, request.transaction_id(), scope.ctx);
  const absl::StatusOr<ReadResult> result = co_await read;
  if (!result.ok()) co_return result.status();
  FillResponse(*result, now->topology, &response, scope.reply_bytes);
  co_return absl::OkStatus();
}

// Insert, Update, Upsert, Delete and BatchWrite differ in their messages only.
template <typename Request, typename Response>
Async<absl::Status> Write(const Request& request, Response& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(const WriteOperation op, ToOperation(request));
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  Async<absl::StatusOr<WriteResult>> write = scope.engine->Write(op, request.transaction_id(), scope.ctx);
  const absl::StatusOr<WriteResult> result = co_await write;
  if (!result.ok()) co_return result.status();
  FillResponse(*result, now->topology, &response);
  co_return absl::OkStatus();
}

template <typename Request, typename Response>
void AddWrite(RpcTable& table, const char* name) {
  table.AddUnary<Request, Response>(kDataService, name, Write<Request, Response>, Method::kManyOffers);
}

}  // namespace

void AddDataService(RpcTable& table) {
  table.AddUnary<v1::GetRequest, v1::GetResponse>(kDataService, "Get", Get, Method::kManyOffers);
  table.AddUnary<v1::BatchGetRequest, v1::BatchGetResponse>(kDataService, "BatchGet", BatchGet, Method::kManyOffers);
  AddWrite<v1::InsertRequest, v1::InsertResponse>(table, "Insert");
  AddWrite<v1::UpdateRequest, v1::UpdateResponse>(table, "Update");
  AddWrite<v1::UpsertRequest, v1::UpsertResponse>(table, "Upsert");
  AddWrite<v1::DeleteRequest, v1::DeleteResponse>(table, "Delete");
  AddWrite<v1::BatchWriteRequest, v1::BatchWriteResponse>(table, "BatchWrite");
}

}  // namespace quarry
