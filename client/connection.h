// The calls of quarry.v1 as functions: what Client stands on, and where a test or a decorator steps
// in. Thread-safe. Every call blocks until its reply, its error or `deadline`.
#pragma once

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpc/health/v1/health.pb.h"
#include "quarry/v1/admin.pb.h"
#include "quarry/v1/data.pb.h"
#include "quarry/v1/lock.pb.h"
#include "quarry/v1/query.pb.h"
#include "quarry/v1/schema.pb.h"
#include "quarry/v1/shard.pb.h"
#include "quarry/v1/transaction.pb.h"

namespace quarry::client {

// The events of one streamed call. One thread. Destroying it cancels the call.
class EventStream {
 public:
  virtual ~EventStream() = default;
  // The next event; nullopt after the last one. After nullopt or an error it is not called again.
  virtual absl::StatusOr<std::optional<v1::OnAllShardsResponse>> Next() = 0;
};

// The messages of one Query. One thread. Destroying it cancels the call.
class QueryEventStream {
 public:
  virtual ~QueryEventStream() = default;
  // The next message; nullopt after the last one. After nullopt or an error it is not called again.
  virtual absl::StatusOr<std::optional<v1::QueryResponse>> Next() = 0;
};

// One KeepAlive. One thread. Destroying it ends the call.
class LockStream {
 public:
  virtual ~LockStream() = default;
  // The answer to one renewal. After an error it is not called again.
  virtual absl::StatusOr<v1::KeepAliveResponse> Renew(const v1::KeepAliveRequest& request,
                                                      absl::Duration timeout) = 0;
  // Ends a Renew that waits, from any thread.
  virtual void Cancel() = 0;
};

// Errors carry the google.rpc details of the reply as payloads; DetailOf of core/base/error.h reads
// them.
class Connection {
 public:
  template <typename Reply>
  using Result = absl::StatusOr<Reply>;

  virtual ~Connection() = default;

  virtual Result<v1::GetResponse> Get(const v1::GetRequest& request, absl::Time deadline) = 0;
  virtual Result<v1::BatchGetResponse> BatchGet(const v1::BatchGetRequest& request,
                                                absl::Time deadline) = 0;
  virtual Result<v1::InsertResponse> Insert(const v1::InsertRequest& request,
                                            absl::Time deadline) = 0;
  virtual Result<v1::UpdateResponse> Update(const v1::UpdateRequest& request,
                                            absl::Time deadline) = 0;
  virtual Result<v1::UpsertResponse> Upsert(const v1::UpsertRequest& request,
                                            absl::Time deadline) = 0;
  virtual Result<v1::DeleteResponse> Delete(const v1::DeleteRequest& request,
                                            absl::Time deadline) = 0;
  virtual Result<v1::BatchWriteResponse> BatchWrite(const v1::BatchWriteRequest& request,
                                                    absl::Time deadline) = 0;

  virtual Result<v1::ListResponse> List(const v1::ListRequest& request, absl::Time deadline) = 0;
  virtual Result<std::unique_ptr<QueryEventStream>> Query(const v1::QueryRequest& request,
                                                          absl::Time deadline) = 0;
  virtual Result<v1::AggregateResponse> Aggregate(const v1::AggregateRequest& request,
                                                  absl::Time deadline) = 0;
  virtual Result<v1::UpdateWhereResponse> UpdateWhere(const v1::UpdateWhereRequest& request,
                                                      absl::Time deadline) = 0;
  virtual Result<v1::DeleteWhereResponse> DeleteWhere(const v1::DeleteWhereRequest& request,
                                                      absl::Time deadline) = 0;

  // Both streams speak in the events of OnAllShards, whose fields are the same.
  virtual Result<std::unique_ptr<EventStream>> OnShard(const v1::OnShardRequest& request,
                                                       absl::Time deadline) = 0;
  virtual Result<std::unique_ptr<EventStream>> OnAllShards(const v1::OnAllShardsRequest& request,
                                                           absl::Time deadline) = 0;

  virtual Result<v1::BeginResponse> Begin(const v1::BeginRequest& request, absl::Time deadline) = 0;
  virtual Result<v1::CommitResponse> Commit(const v1::CommitRequest& request,
                                            absl::Time deadline) = 0;
  virtual Result<v1::RollbackResponse> Rollback(const v1::RollbackRequest& request,
                                                absl::Time deadline) = 0;
  virtual Result<v1::GetTransactionResponse> GetTransaction(
      const v1::GetTransactionRequest& request, absl::Time deadline) = 0;
  virtual Result<v1::SavepointResponse> Savepoint(const v1::SavepointRequest& request,
                                                  absl::Time deadline) = 0;
  virtual Result<v1::RollbackToSavepointResponse> RollbackToSavepoint(
      const v1::RollbackToSavepointRequest& request, absl::Time deadline) = 0;
  virtual Result<v1::ReleaseSavepointResponse> ReleaseSavepoint(
      const v1::ReleaseSavepointRequest& request, absl::Time deadline) = 0;

  virtual Result<v1::AcquireResponse> AcquireLock(const v1::AcquireRequest& request,
                                                  absl::Time deadline) = 0;
  virtual Result<v1::ReleaseResponse> ReleaseLock(const v1::ReleaseRequest& request,
                                                  absl::Time deadline) = 0;
  virtual Result<v1::GetLockResponse> GetLock(const v1::GetLockRequest& request,
                                              absl::Time deadline) = 0;
  virtual Result<std::unique_ptr<LockStream>> KeepAlive() = 0;

  virtual Result<v1::ListTablesResponse> ListTables(const v1::ListTablesRequest& request,
                                                    absl::Time deadline) = 0;
  virtual Result<v1::GetTableResponse> GetTable(const v1::GetTableRequest& request,
                                                absl::Time deadline) = 0;
  virtual Result<v1::ResolveKeyResponse> ResolveKey(const v1::ResolveKeyRequest& request,
                                                    absl::Time deadline) = 0;
  virtual Result<v1::MapKeyResponse> MapKey(const v1::MapKeyRequest& request,
                                            absl::Time deadline) = 0;
  virtual Result<v1::ListShardsResponse> ListShards(const v1::ListShardsRequest& request,
                                                    absl::Time deadline) = 0;
  virtual Result<v1::ListGatewaysResponse> ListGateways(const v1::ListGatewaysRequest& request,
                                                        absl::Time deadline) = 0;
  virtual Result<v1::GetInfoResponse> GetInfo(const v1::GetInfoRequest& request,
                                              absl::Time deadline) = 0;
  virtual Result<v1::ExplainResponse> Explain(const v1::ExplainRequest& request,
                                              absl::Time deadline) = 0;
  virtual Result<v1::ListTopQueriesResponse> ListTopQueries(
      const v1::ListTopQueriesRequest& request, absl::Time deadline) = 0;
  virtual Result<v1::ListInDoubtTransactionsResponse> ListInDoubtTransactions(
      const v1::ListInDoubtTransactionsRequest& request, absl::Time deadline) = 0;
  virtual Result<v1::ResolveTransactionResponse> ResolveTransaction(
      const v1::ResolveTransactionRequest& request, absl::Time deadline) = 0;
  virtual Result<v1::InitShardResponse> InitShard(const v1::InitShardRequest& request,
                                                  absl::Time deadline) = 0;
  virtual Result<grpc::health::v1::HealthCheckResponse> Check(
      const grpc::health::v1::HealthCheckRequest& request, absl::Time deadline) = 0;
};

}  // namespace quarry::client
