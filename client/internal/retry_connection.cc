#include "client/internal/retry_connection.h"

#include <utility>

#include "client/internal/resuming_stream.h"
#include "core/base/rpc_status.h"

namespace quarry::client::internal {
namespace {

// The first result that another attempt may turn into an applied one; OK when there is none.
absl::Status FirstTransient(const v1::BatchWriteResponse& reply) {
  for (const v1::BatchWriteResult& result : reply.results()) {
    if (!result.has_error()) continue;
    absl::Status status = FromRpcStatus(result.error());
    if (MayRetry(status, Safety::kIdempotent)) return status;
  }
  return absl::OkStatus();
}

// The same of the shards of a bulk write.
template <typename Reply>
absl::Status FirstTransientShard(const Reply& reply) {
  for (const v1::ShardWrites& shard : reply.shards()) {
    absl::Status status = FromRpcStatus(shard.status());
    if (MayRetry(status, Safety::kIdempotent)) return status;
  }
  return absl::OkStatus();
}

template <typename Request>
Safety SafetyOfRead(const Request& request) {
  return request.transaction_id().empty() ? Safety::kRead : Safety::kNone;
}

// A call in a transaction is not tried again by itself: what broke it may have ended the
// transaction.
template <typename Request>
Safety SafetyOfWrite(const Request& request) {
  return request.request_id().empty() || !request.transaction_id().empty() ? Safety::kNone
                                                                           : Safety::kIdempotent;
}

// A stream whose first event was read while another attempt was still possible.
class StartedStream final : public EventStream {
 public:
  using Event = std::optional<v1::OnAllShardsResponse>;
  StartedStream(Event first, std::unique_ptr<EventStream> rest)
      : first_(std::move(first)), rest_(std::move(rest)) {}

  absl::StatusOr<Event> Next() override {
    if (std::exchange(started_, true)) return rest_->Next();
    return std::move(first_);
  }

 private:
  Event first_;
  std::unique_ptr<EventStream> rest_;
  bool started_ = false;
};

class RetryConnection final : public Connection {
 public:
  RetryConnection(std::unique_ptr<Connection> next, std::shared_ptr<RetryPolicy> policy)
      : next_(std::move(next)), policy_(std::move(policy)) {}

  Result<v1::GetResponse> Get(const v1::GetRequest& request, absl::Time deadline) override {
    return Retry(&Connection::Get, SafetyOfRead(request), request, deadline);
  }
  Result<v1::BatchGetResponse> BatchGet(const v1::BatchGetRequest& request,
                                        absl::Time deadline) override {
    return Retry(&Connection::BatchGet, SafetyOfRead(request), request, deadline);
  }
  Result<v1::InsertResponse> Insert(const v1::InsertRequest& request,
                                    absl::Time deadline) override {
    return Retry(&Connection::Insert, SafetyOfWrite(request), request, deadline);
  }
  Result<v1::UpdateResponse> Update(const v1::UpdateRequest& request,
                                    absl::Time deadline) override {
    return Retry(&Connection::Update, SafetyOfWrite(request), request, deadline);
  }
  Result<v1::UpsertResponse> Upsert(const v1::UpsertRequest& request,
                                    absl::Time deadline) override {
    return Retry(&Connection::Upsert, SafetyOfWrite(request), request, deadline);
  }
  Result<v1::DeleteResponse> Delete(const v1::DeleteRequest& request,
                                    absl::Time deadline) override {
    return Retry(&Connection::Delete, SafetyOfWrite(request), request, deadline);
  }
  Result<v1::BatchWriteResponse> BatchWrite(const v1::BatchWriteRequest& request,
                                            absl::Time deadline) override {
    Attempts attempts(*policy_, SafetyOfWrite(request), deadline);
    while (true) {
      absl::StatusOr<v1::BatchWriteResponse> reply = next_->BatchWrite(request, deadline);
      // The gateway applies just what no shard has stored, so the whole batch goes out again.
      const absl::Status status = reply.ok() ? FirstTransient(*reply) : reply.status();
      if (status.ok() || !attempts.WaitForNext(status)) return Finish(attempts, std::move(reply));
    }
  }

  Result<v1::ListResponse> List(const v1::ListRequest& request, absl::Time deadline) override {
    return Retry(&Connection::List, SafetyOfRead(request), request, deadline);
  }
  Result<std::unique_ptr<QueryEventStream>> Query(const v1::QueryRequest& request,
                                                  absl::Time deadline) override {
    return std::make_unique<ResumingStream>(*next_, policy_, SafetyOfRead(request), request,
                                            deadline);
  }
  Result<v1::AggregateResponse> Aggregate(const v1::AggregateRequest& request,
                                          absl::Time deadline) override {
    return Retry(&Connection::Aggregate, SafetyOfRead(request), request, deadline);
  }
  Result<v1::UpdateWhereResponse> UpdateWhere(const v1::UpdateWhereRequest& request,
                                              absl::Time deadline) override {
    return RetryShards(&Connection::UpdateWhere, request, deadline);
  }
  Result<v1::DeleteWhereResponse> DeleteWhere(const v1::DeleteWhereRequest& request,
                                              absl::Time deadline) override {
    return RetryShards(&Connection::DeleteWhere, request, deadline);
  }

  Result<std::unique_ptr<EventStream>> OnShard(const v1::OnShardRequest& request,
                                               absl::Time deadline) override {
    const bool alone = request.transaction_id().empty();
    const Safety safety = request.allow_writes() ? SafetyOfWrite(request)
                          : alone                ? Safety::kRead
                                                 : Safety::kNone;
    return Start(&Connection::OnShard, safety, request, deadline);
  }
  Result<std::unique_ptr<EventStream>> OnAllShards(const v1::OnAllShardsRequest& request,
                                                   absl::Time deadline) override {
    const Safety write = request.request_id().empty() ? Safety::kNone : Safety::kIdempotent;
    return Start(&Connection::OnAllShards, request.allow_writes() ? write : Safety::kRead, request,
                 deadline);
  }

  // A transaction that nobody knows of ends by its idle timeout.
  Result<v1::BeginResponse> Begin(const v1::BeginRequest& request, absl::Time deadline) override {
    return Retry(&Connection::Begin, Safety::kRead, request, deadline);
  }
  Result<v1::CommitResponse> Commit(const v1::CommitRequest& request,
                                    absl::Time deadline) override {
    const Safety safety = request.request_id().empty() ? Safety::kNone : Safety::kIdempotent;
    return Retry(&Connection::Commit, safety, request, deadline);
  }
  Result<v1::RollbackResponse> Rollback(const v1::RollbackRequest& request,
                                        absl::Time deadline) override {
    return Retry(&Connection::Rollback, Safety::kIdempotent, request, deadline);
  }
  Result<v1::GetTransactionResponse> GetTransaction(const v1::GetTransactionRequest& request,
                                                    absl::Time deadline) override {
    return Retry(&Connection::GetTransaction, Safety::kRead, request, deadline);
  }
  Result<v1::SavepointResponse> Savepoint(const v1::SavepointRequest& request,
                                          absl::Time deadline) override {
    return Retry(&Connection::Savepoint, Safety::kNone, request, deadline);
  }
  Result<v1::RollbackToSavepointResponse> RollbackToSavepoint(
      const v1::RollbackToSavepointRequest& request, absl::Time deadline) override {
    return Retry(&Connection::RollbackToSavepoint, Safety::kNone, request, deadline);
  }
  Result<v1::ReleaseSavepointResponse> ReleaseSavepoint(const v1::ReleaseSavepointRequest& request,
                                                        absl::Time deadline) override {
    return Retry(&Connection::ReleaseSavepoint, Safety::kNone, request, deadline);
  }

  // Asking again under the same lease id gives the same lease.
  Result<v1::AcquireResponse> AcquireLock(const v1::AcquireRequest& request,
                                          absl::Time deadline) override {
    const Safety safety = request.lease_id().empty() ? Safety::kNone : Safety::kIdempotent;
    return Retry(&Connection::AcquireLock, safety, request, deadline);
  }
  // Of a release whose answer was lost, the second says that the lease is gone.
  Result<v1::ReleaseResponse> ReleaseLock(const v1::ReleaseRequest& request,
                                          absl::Time deadline) override {
    return Retry(&Connection::ReleaseLock, Safety::kRead, request, deadline);
  }
  Result<v1::GetLockResponse> GetLock(const v1::GetLockRequest& request,
                                      absl::Time deadline) override {
    return Retry(&Connection::GetLock, Safety::kRead, request, deadline);
  }
  // The one who keeps a lock opens another stream itself, in the lease's time.
  Result<std::unique_ptr<LockStream>> KeepAlive() override { return next_->KeepAlive(); }

  Result<v1::ListTablesResponse> ListTables(const v1::ListTablesRequest& request,
                                            absl::Time deadline) override {
    return Retry(&Connection::ListTables, Safety::kRead, request, deadline);
  }
  Result<v1::GetTableResponse> GetTable(const v1::GetTableRequest& request,
                                        absl::Time deadline) override {
    return Retry(&Connection::GetTable, Safety::kRead, request, deadline);
  }
  Result<v1::ResolveKeyResponse> ResolveKey(const v1::ResolveKeyRequest& request,
                                            absl::Time deadline) override {
    return Retry(&Connection::ResolveKey, Safety::kRead, request, deadline);
  }
  // Mapping a key again to its shard changes nothing.
  Result<v1::MapKeyResponse> MapKey(const v1::MapKeyRequest& request,
                                    absl::Time deadline) override {
    return Retry(&Connection::MapKey, Safety::kRead, request, deadline);
  }
  Result<v1::ListShardsResponse> ListShards(const v1::ListShardsRequest& request,
                                            absl::Time deadline) override {
    return Retry(&Connection::ListShards, Safety::kRead, request, deadline);
  }
  Result<v1::ListGatewaysResponse> ListGateways(const v1::ListGatewaysRequest& request,
                                                absl::Time deadline) override {
    return Retry(&Connection::ListGateways, Safety::kRead, request, deadline);
  }
  Result<v1::GetInfoResponse> GetInfo(const v1::GetInfoRequest& request,
                                      absl::Time deadline) override {
    return Retry(&Connection::GetInfo, Safety::kRead, request, deadline);
  }
  Result<v1::ExplainResponse> Explain(const v1::ExplainRequest& request,
                                      absl::Time deadline) override {
    return Retry(&Connection::Explain, Safety::kRead, request, deadline);
  }
  Result<v1::ListTopQueriesResponse> ListTopQueries(const v1::ListTopQueriesRequest& request,
                                                    absl::Time deadline) override {
    return Retry(&Connection::ListTopQueries, Safety::kRead, request, deadline);
  }
  Result<v1::ListInDoubtTransactionsResponse> ListInDoubtTransactions(
      const v1::ListInDoubtTransactionsRequest& request, absl::Time deadline) override {
    return Retry(&Connection::ListInDoubtTransactions, Safety::kRead, request, deadline);
  }
  // Both do again what is done already without a change.
  Result<v1::ResolveTransactionResponse> ResolveTransaction(
      const v1::ResolveTransactionRequest& request, absl::Time deadline) override {
    return Retry(&Connection::ResolveTransaction, Safety::kRead, request, deadline);
  }
  Result<v1::InitShardResponse> InitShard(const v1::InitShardRequest& request,
                                          absl::Time deadline) override {
    return Retry(&Connection::InitShard, Safety::kRead, request, deadline);
  }
  // A health check tells how it is now: a retry would hide the answer.
  Result<grpc::health::v1::HealthCheckResponse> Check(
      const grpc::health::v1::HealthCheckRequest& request, absl::Time deadline) override {
    return next_->Check(request, deadline);
  }

 private:
  template <typename Reply>
  static absl::StatusOr<Reply> Finish(const Attempts& attempts, absl::StatusOr<Reply> reply) {
    if (reply.ok()) return reply;
    return attempts.Annotate(reply.status());
  }

  template <typename Request, typename Reply>
  absl::StatusOr<Reply> Retry(absl::StatusOr<Reply> (Connection::*call)(const Request&, absl::Time),
                              Safety safety, const Request& request, absl::Time deadline) {
    Attempts attempts(*policy_, safety, deadline);
    while (true) {
      absl::StatusOr<Reply> reply = (next_.get()->*call)(request, deadline);
      if (reply.ok() || !attempts.WaitForNext(reply.status()))
        return Finish(attempts, std::move(reply));
    }
  }

  // The whole call goes out again while some shard's part may still pass: each goes on where it
  // ended.
  template <typename Request, typename Reply>
  absl::StatusOr<Reply> RetryShards(absl::StatusOr<Reply> (Connection::*call)(const Request&,
                                                                             absl::Time),
                                    const Request& request, absl::Time deadline) {
    Attempts attempts(*policy_, SafetyOfWrite(request), deadline);
    while (true) {
      absl::StatusOr<Reply> reply = (next_.get()->*call)(request, deadline);
      const absl::Status status = reply.ok() ? FirstTransientShard(*reply) : reply.status();
      if (status.ok() || !attempts.WaitForNext(status)) return Finish(attempts, std::move(reply));
    }
  }

  using Stream = absl::StatusOr<std::unique_ptr<EventStream>>;
  template <typename Request>
  Stream Start(Stream (Connection::*call)(const Request&, absl::Time), Safety safety,
               const Request& request, absl::Time deadline) {
    Attempts attempts(*policy_, safety, deadline);
    while (true) {
      Stream stream = (next_.get()->*call)(request, deadline);
      absl::Status status = stream.status();
      if (status.ok()) {
        absl::StatusOr<StartedStream::Event> first = (*stream)->Next();
        if (first.ok())
          return std::make_unique<StartedStream>(*std::move(first), *std::move(stream));
        status = first.status();
      }
      if (!attempts.WaitForNext(status)) return attempts.Annotate(status);
    }
  }

  std::unique_ptr<Connection> next_;
  std::shared_ptr<RetryPolicy> policy_;
};

}  // namespace

std::unique_ptr<Connection> WithRetries(std::unique_ptr<Connection> next,
                                        std::shared_ptr<RetryPolicy> policy) {
  return std::make_unique<RetryConnection>(std::move(next), std::move(policy));
}

}  // namespace quarry::client::internal
