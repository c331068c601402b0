#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "quarry/v1/transaction.pb.h"
#include "server/service/services.h"
#include "server/translate/request.h"
#include "server/translate/response.h"

namespace quarry {
namespace {

constexpr char kTransactionService[] = "quarry.v1.TransactionService";

absl::Status RequireId(const std::string& transaction_id) {
  return transaction_id.empty() ? InvalidField("transaction_id", "is missing; Begin returns it") : absl::OkStatus();
}

template <typename Response>
void FillServedByGateway(const CallScope& scope, Response& response) {
  FillServedByGateway(scope.engine->snapshot()->topology, response.mutable_served_by());
}

// The shards that the transaction runs or ran on; none before its first statement.
template <typename Response>
void FillServedByItsShards(const CallScope& scope, const std::string& transaction_id, Response& response) {
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  absl::StatusOr<std::vector<ShardId>> shards = scope.engine->ShardsOfTransaction(transaction_id);
  if (!shards.ok() || shards->empty()) return FillServedByGateway(scope, response);
  ServedBy served;
  served.epoch = now->topology.epoch();
  served.asked = *std::move(shards);
  served.answered = served.asked;
  FillServedBy(served, now->topology, response.mutable_served_by());
}

Async<absl::Status> Begin(absl::Duration idle_timeout_default, const v1::BeginRequest& request,
                          v1::BeginResponse& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(const BeginOptions options, ToBeginOptions(request));
  if (options.snapshot) {
    Async<absl::StatusOr<std::string>> begin = scope.engine->BeginSnapshot(options, scope.ctx);
    QUARRY_CO_ASSIGN_OR_RETURN(*response.mutable_transaction_id(), co_await begin);
  } else {
    QUARRY_CO_ASSIGN_OR_RETURN(*response.mutable_transaction_id(), scope.engine->Begin(options));
  }
  const bool given = options.idle_timeout > absl::ZeroDuration();
  const int64_t nanos = absl::ToInt64Nanoseconds(given ? options.idle_timeout : idle_timeout_default);
  response.mutable_idle_timeout()->set_seconds(nanos / 1'000'000'000);
  response.mutable_idle_timeout()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  FillServedByGateway(scope, response);
  co_return absl::OkStatus();
}

Async<absl::Status> CommitInteractive(const v1::CommitRequest& request, v1::CommitResponse& response,
                                      CallScope& scope) {
  const bool keep_decision = !request.request_id().empty();
  Async<CommitEnd> commit = scope.engine->Commit(request.transaction_id(), keep_decision, scope.ctx);
  const CommitEnd end = co_await commit;
  if (!end.status.ok()) co_return end.status;
  response.set_transaction_id(request.transaction_id());
  response.set_unfinished(end.outcome == CommitOutcome::kCommittedUnfinished);
  FillServedByItsShards(scope, request.transaction_id(), response);
  co_return absl::OkStatus();
}

Async<absl::Status> CommitMutations(const WriteOperation& op, v1::CommitResponse& response, CallScope& scope) {
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  const std::string no_transaction;
  Async<absl::StatusOr<WriteResult>> write = scope.engine->Write(op, no_transaction, scope.ctx);
  const absl::StatusOr<WriteResult> result = co_await write;
  if (!result.ok()) co_return result.status();
  FillResponse(*result, now->topology, &response);
  co_return absl::OkStatus();
}

Async<absl::Status> Commit(const v1::CommitRequest& request, v1::CommitResponse& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(const WriteOperation op, ToOperation(request));
  if (!request.transaction_id().empty()) {
    Async<absl::Status> interactive = CommitInteractive(request, response, scope);
    co_return co_await interactive;
  }
  Async<absl::Status> one_shot = CommitMutations(op, response, scope);
  co_return co_await one_shot;
}

Async<absl::Status> Rollback(const v1::RollbackRequest& request, v1::RollbackResponse& response, CallScope& scope) {
  QUARRY_CO_RETURN_IF_ERROR(RequireId(request.transaction_id()));
  Async<absl::Status> rollback = scope.engine->Rollback(request.transaction_id(), scope.ctx);
  const absl::Status status = co_await rollback;
  if (!status.ok()) co_return status;
  FillServedByItsShards(scope, request.transaction_id(), response);
  co_return absl::OkStatus();
}

Async<absl::Status> GetTransaction(const v1::GetTransactionRequest& request, v1::GetTransactionResponse& response,
                                   CallScope& scope) {
  QUARRY_CO_RETURN_IF_ERROR(RequireId(request.transaction_id()));
  Async<absl::StatusOr<TransactionFate>> ask = scope.engine->GetTransaction(request.transaction_id(), scope.ctx);
  const absl::StatusOr<TransactionFate> fate = co_await ask;
  if (!fate.ok()) co_return fate.status();
  response.set_state(ToWire(fate->state));
  response.set_home(fate->home);
  for (const std::string& shard : fate->shards) response.add_shards(shard);
  for (const std::string& shard : fate->unfinished) response.add_unfinished_shards(shard);
  FillServedByGateway(scope, response);
  co_return absl::OkStatus();
}

template <SavepointAction kAction, typename Request, typename Response>
Async<absl::Status> ActOnSavepoint(const Request& request, Response& response, CallScope& scope) {
  constexpr size_t kNameBytesMax = 63;
  QUARRY_CO_RETURN_IF_ERROR(RequireId(request.transaction_id()));
  if (request.name().empty() || request.name().size() > kNameBytesMax) {
    co_return InvalidField("name", "must be 1 to 63 bytes long");
  }
  if (request.name().find('\0') != std::string::npos) co_return InvalidField("name", "holds U+0000");
  Async<absl::Status> act = scope.engine->Savepoint(request.transaction_id(), kAction, request.name(), scope.ctx);
  const absl::Status status = co_await act;
  if (!status.ok()) co_return status;
  FillServedByItsShards(scope, request.transaction_id(), response);
  co_return absl::OkStatus();
}

template <SavepointAction kAction, typename Request, typename Response>
void AddSavepoint(RpcTable& table, const char* name) {
  table.AddUnary<Request, Response>(kTransactionService, name, ActOnSavepoint<kAction, Request, Response>);
}

}  // namespace

void AddTransactionService(RpcTable& table, const TransactionOptions& options) {
  table.AddUnary<v1::BeginRequest, v1::BeginResponse>(
      kTransactionService, "Begin",
      [idle = options.idle_timeout_default](const v1::BeginRequest& request, v1::BeginResponse& response,
                                            CallScope& scope) { return Begin(idle, request, response, scope); },
      Method::kManyOffers);
  table.AddUnary<v1::CommitRequest, v1::CommitResponse>(kTransactionService, "Commit", Commit, Method::kManyOffers,
                                                       TransactionRole::kCommit);
  table.AddUnary<v1::RollbackRequest, v1::RollbackResponse>(kTransactionService, "Rollback", Rollback, Method::kFewOffers,
                                                           TransactionRole::kRollback);
  table.AddUnary<v1::GetTransactionRequest, v1::GetTransactionResponse>(
      kTransactionService, "GetTransaction", GetTransaction, Method::kFewOffers, TransactionRole::kLook);
  AddSavepoint<SavepointAction::kCreate, v1::SavepointRequest, v1::SavepointResponse>(table, "Savepoint");
  AddSavepoint<SavepointAction::kRollbackTo, v1::RollbackToSavepointRequest, v1::RollbackToSavepointResponse>(
      table, "RollbackToSavepoint");
  AddSavepoint<SavepointAction::kRelease, v1::ReleaseSavepointRequest, v1::ReleaseSavepointResponse>(
      table, "ReleaseSavepoint");
}

}  // namespace quarry
