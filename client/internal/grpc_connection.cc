#include "client/internal/grpc_connection.h"

#include <atomic>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/internal/grpc_status.h"
#include "client/internal/lock_stream.h"
#include "core/base/error.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/create_channel.h"
#include "quarry/v1/admin.grpc.pb.h"
#include "quarry/v1/data.grpc.pb.h"
#include "quarry/v1/lock.grpc.pb.h"
#include "quarry/v1/schema.grpc.pb.h"
#include "quarry/v1/shard.grpc.pb.h"
#include "quarry/v1/transaction.grpc.pb.h"

namespace quarry::client::internal {
namespace {

// One channel with a stub for each service.
struct Channel {
  explicit Channel(std::shared_ptr<grpc::Channel> to)
      : data(to),
        shards(to),
        transactions(to),
        locks(to),
        schema(to),
        admin(to),
        health(to),
        channel(std::move(to)) {}

  v1::DataService::Stub data;
  v1::ShardService::Stub shards;
  v1::TransactionService::Stub transactions;
  v1::LockService::Stub locks;
  v1::SchemaService::Stub schema;
  v1::AdminService::Stub admin;
  grpc::health::v1::Health::Stub health;
  std::shared_ptr<grpc::Channel> channel;
};

void MoveEvent(v1::OnAllShardsResponse&& from, v1::OnAllShardsResponse& to) {
  to = std::move(from);
}

void MoveEvent(v1::OnShardResponse&& from, v1::OnAllShardsResponse& to) {
  switch (from.event_case()) {
    case v1::OnShardResponse::kHeader:
      to.mutable_header()->Swap(from.mutable_header());
      return;
    case v1::OnShardResponse::kRows:
      to.mutable_rows()->Swap(from.mutable_rows());
      return;
    case v1::OnShardResponse::kShardStatus:
      to.mutable_shard_status()->Swap(from.mutable_shard_status());
      return;
    case v1::OnShardResponse::kProgress:
      to.mutable_progress()->Swap(from.mutable_progress());
      return;
    case v1::OnShardResponse::kSummary:
      to.mutable_summary()->Swap(from.mutable_summary());
      return;
    case v1::OnShardResponse::EVENT_NOT_SET:
      return;
  }
}

void MoveEvent(v1::QueryResponse&& from, v1::QueryResponse& to) { to = std::move(from); }

// `Stream` speaks in events of type `Event`.
template <typename Reply, typename Stream = EventStream, typename Event = v1::OnAllShardsResponse>
class GrpcStream final : public Stream {
 public:
  template <typename Open>
  GrpcStream(absl::Time deadline, Open open) {
    context_.set_deadline(absl::ToChronoTime(deadline));
    reader_ = open(&context_);
  }
  ~GrpcStream() override {
    if (ended_) return;
    context_.TryCancel();
    Reply ignored;
    while (reader_->Read(&ignored)) {
    }
    reader_->Finish();
  }

  absl::StatusOr<std::optional<Event>> Next() override {
    Reply reply;
    if (!reader_->Read(&reply)) {
      ended_ = true;
      const absl::Status status = FromGrpc(reader_->Finish());
      if (!status.ok()) return status;
      return std::nullopt;
    }
    Event event;
    MoveEvent(std::move(reply), event);
    return event;
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<Reply>> reader_;
  bool ended_ = false;
};

class GrpcConnection final : public Connection {
 public:
  explicit GrpcConnection(std::vector<std::unique_ptr<Channel>> channels)
      : channels_(std::move(channels)) {}

  Result<v1::GetResponse> Get(const v1::GetRequest& request, absl::Time deadline) override {
    return Unary<v1::GetResponse>(&Channel::data, &v1::DataService::Stub::Get, request, deadline);
  }
  Result<v1::BatchGetResponse> BatchGet(const v1::BatchGetRequest& request,
                                        absl::Time deadline) override {
    return Unary<v1::BatchGetResponse>(&Channel::data, &v1::DataService::Stub::BatchGet, request,
                                       deadline);
  }
  Result<v1::InsertResponse> Insert(const v1::InsertRequest& request,
                                    absl::Time deadline) override {
    return Unary<v1::InsertResponse>(&Channel::data, &v1::DataService::Stub::Insert, request,
                                     deadline);
  }
  Result<v1::UpdateResponse> Update(const v1::UpdateRequest& request,
                                    absl::Time deadline) override {
    return Unary<v1::UpdateResponse>(&Channel::data, &v1::DataService::Stub::Update, request,
                                     deadline);
  }
  Result<v1::UpsertResponse> Upsert(const v1::UpsertRequest& request,
                                    absl::Time deadline) override {
    return Unary<v1::UpsertResponse>(&Channel::data, &v1::DataService::Stub::Upsert, request,
                                     deadline);
  }
  Result<v1::DeleteResponse> Delete(const v1::DeleteRequest& request,
                                    absl::Time deadline) override {
    return Unary<v1::DeleteResponse>(&Channel::data, &v1::DataService::Stub::Delete, request,
                                     deadline);
  }
  Result<v1::BatchWriteResponse> BatchWrite(const v1::BatchWriteRequest& request,
                                            absl::Time deadline) override {
    return Unary<v1::BatchWriteResponse>(&Channel::data, &v1::DataService::Stub::BatchWrite,
                                         request, deadline);
  }

  Result<v1::ListResponse> List(const v1::ListRequest& request, absl::Time deadline) override {
    return Unary<v1::ListResponse>(&Channel::data, &v1::DataService::Stub::List, request, deadline);
  }
  Result<std::unique_ptr<QueryEventStream>> Query(const v1::QueryRequest& request,
                                                  absl::Time deadline) override {
    auto open = [this, &request](grpc::ClientContext* context) {
      return Next().data.Query(context, request);
    };
    return std::make_unique<GrpcStream<v1::QueryResponse, QueryEventStream, v1::QueryResponse>>(
        deadline, open);
  }
  Result<v1::AggregateResponse> Aggregate(const v1::AggregateRequest& request,
                                          absl::Time deadline) override {
    return Unary<v1::AggregateResponse>(&Channel::data, &v1::DataService::Stub::Aggregate, request,
                                        deadline);
  }
  Result<v1::UpdateWhereResponse> UpdateWhere(const v1::UpdateWhereRequest& request,
                                              absl::Time deadline) override {
    return Unary<v1::UpdateWhereResponse>(&Channel::data, &v1::DataService::Stub::UpdateWhere,
                                          request, deadline);
  }
  Result<v1::DeleteWhereResponse> DeleteWhere(const v1::DeleteWhereRequest& request,
                                              absl::Time deadline) override {
    return Unary<v1::DeleteWhereResponse>(&Channel::data, &v1::DataService::Stub::DeleteWhere,
                                          request, deadline);
  }

  Result<std::unique_ptr<EventStream>> OnShard(const v1::OnShardRequest& request,
                                               absl::Time deadline) override {
    auto open = [this, &request](grpc::ClientContext* context) {
      return Next().shards.OnShard(context, request);
    };
    return std::make_unique<GrpcStream<v1::OnShardResponse>>(deadline, open);
  }
  Result<std::unique_ptr<EventStream>> OnAllShards(const v1::OnAllShardsRequest& request,
                                                   absl::Time deadline) override {
    auto open = [this, &request](grpc::ClientContext* context) {
      return Next().shards.OnAllShards(context, request);
    };
    return std::make_unique<GrpcStream<v1::OnAllShardsResponse>>(deadline, open);
  }

  Result<v1::BeginResponse> Begin(const v1::BeginRequest& request, absl::Time deadline) override {
    return Transaction<v1::BeginResponse>(&v1::TransactionService::Stub::Begin, request, deadline);
  }
  Result<v1::CommitResponse> Commit(const v1::CommitRequest& request,
                                    absl::Time deadline) override {
    return Transaction<v1::CommitResponse>(&v1::TransactionService::Stub::Commit, request,
                                           deadline);
  }
  Result<v1::RollbackResponse> Rollback(const v1::RollbackRequest& request,
                                        absl::Time deadline) override {
    return Transaction<v1::RollbackResponse>(&v1::TransactionService::Stub::Rollback, request,
                                             deadline);
  }
  Result<v1::GetTransactionResponse> GetTransaction(const v1::GetTransactionRequest& request,
                                                    absl::Time deadline) override {
    return Transaction<v1::GetTransactionResponse>(&v1::TransactionService::Stub::GetTransaction,
                                                   request, deadline);
  }
  Result<v1::SavepointResponse> Savepoint(const v1::SavepointRequest& request,
                                          absl::Time deadline) override {
    return Transaction<v1::SavepointResponse>(&v1::TransactionService::Stub::Savepoint, request,
                                              deadline);
  }
  Result<v1::RollbackToSavepointResponse> RollbackToSavepoint(
      const v1::RollbackToSavepointRequest& request, absl::Time deadline) override {
    return Transaction<v1::RollbackToSavepointResponse>(
        &v1::TransactionService::Stub::RollbackToSavepoint, request, deadline);
  }
  Result<v1::ReleaseSavepointResponse> ReleaseSavepoint(const v1::ReleaseSavepointRequest& request,
                                                        absl::Time deadline) override {
    return Transaction<v1::ReleaseSavepointResponse>(
        &v1::TransactionService::Stub::ReleaseSavepoint, request, deadline);
  }

  Result<v1::AcquireResponse> AcquireLock(const v1::AcquireRequest& request,
                                          absl::Time deadline) override {
    return Unary<v1::AcquireResponse>(&Channel::locks, &v1::LockService::Stub::Acquire, request,
                                      deadline);
  }
  Result<v1::ReleaseResponse> ReleaseLock(const v1::ReleaseRequest& request,
                                          absl::Time deadline) override {
    return Unary<v1::ReleaseResponse>(&Channel::locks, &v1::LockService::Stub::Release, request,
                                      deadline);
  }
  Result<v1::GetLockResponse> GetLock(const v1::GetLockRequest& request,
                                      absl::Time deadline) override {
    return Unary<v1::GetLockResponse>(&Channel::locks, &v1::LockService::Stub::GetLock, request,
                                      deadline);
  }
  Result<std::unique_ptr<LockStream>> KeepAlive() override { return OpenLockStream(Next().locks); }

  Result<v1::ListTablesResponse> ListTables(const v1::ListTablesRequest& request,
                                            absl::Time deadline) override {
    return Unary<v1::ListTablesResponse>(&Channel::schema, &v1::SchemaService::Stub::ListTables,
                                         request, deadline);
  }
  Result<v1::GetTableResponse> GetTable(const v1::GetTableRequest& request,
                                        absl::Time deadline) override {
    return Unary<v1::GetTableResponse>(&Channel::schema, &v1::SchemaService::Stub::GetTable,
                                       request, deadline);
  }
  Result<v1::ResolveKeyResponse> ResolveKey(const v1::ResolveKeyRequest& request,
                                            absl::Time deadline) override {
    return Unary<v1::ResolveKeyResponse>(&Channel::schema, &v1::SchemaService::Stub::ResolveKey,
                                         request, deadline);
  }
  Result<v1::MapKeyResponse> MapKey(const v1::MapKeyRequest& request,
                                    absl::Time deadline) override {
    return Unary<v1::MapKeyResponse>(&Channel::schema, &v1::SchemaService::Stub::MapKey, request,
                                     deadline);
  }
  Result<v1::ListShardsResponse> ListShards(const v1::ListShardsRequest& request,
                                            absl::Time deadline) override {
    return Unary<v1::ListShardsResponse>(&Channel::admin, &v1::AdminService::Stub::ListShards,
                                         request, deadline);
  }
  Result<v1::ListGatewaysResponse> ListGateways(const v1::ListGatewaysRequest& request,
                                                absl::Time deadline) override {
    return Unary<v1::ListGatewaysResponse>(&Channel::admin, &v1::AdminService::Stub::ListGateways,
                                           request, deadline);
  }
  Result<v1::GetInfoResponse> GetInfo(const v1::GetInfoRequest& request,
                                      absl::Time deadline) override {
    return Unary<v1::GetInfoResponse>(&Channel::admin, &v1::AdminService::Stub::GetInfo, request,
                                      deadline);
  }
  Result<v1::ExplainResponse> Explain(const v1::ExplainRequest& request,
                                      absl::Time deadline) override {
    return Unary<v1::ExplainResponse>(&Channel::admin, &v1::AdminService::Stub::Explain, request,
                                      deadline);
  }
  Result<v1::ListTopQueriesResponse> ListTopQueries(const v1::ListTopQueriesRequest& request,
                                                    absl::Time deadline) override {
    return Unary<v1::ListTopQueriesResponse>(
        &Channel::admin, &v1::AdminService::Stub::ListTopQueries, request, deadline);
  }
  Result<v1::ListInDoubtTransactionsResponse> ListInDoubtTransactions(
      const v1::ListInDoubtTransactionsRequest& request, absl::Time deadline) override {
    return Unary<v1::ListInDoubtTransactionsResponse>(
        &Channel::admin, &v1::AdminService::Stub::ListInDoubtTransactions, request, deadline);
  }
  Result<v1::ResolveTransactionResponse> ResolveTransaction(
      const v1::ResolveTransactionRequest& request, absl::Time deadline) override {
    return Unary<v1::ResolveTransactionResponse>(
        &Channel::admin, &v1::AdminService::Stub::ResolveTransaction, request, deadline);
  }
  Result<v1::InitShardResponse> InitShard(const v1::InitShardRequest& request,
                                          absl::Time deadline) override {
    return Unary<v1::InitShardResponse>(&Channel::admin, &v1::AdminService::Stub::InitShard,
                                        request, deadline);
  }
  Result<grpc::health::v1::HealthCheckResponse> Check(
      const grpc::health::v1::HealthCheckRequest& request, absl::Time deadline) override {
    return Unary<grpc::health::v1::HealthCheckResponse>(
        &Channel::health, &grpc::health::v1::Health::Stub::Check, request, deadline);
  }

 private:
  Channel& Next() {
    return *channels_[turn_.fetch_add(1, std::memory_order_relaxed) % channels_.size()];
  }

  template <typename Reply, typename Stub, typename Request>
  absl::StatusOr<Reply> Unary(Stub Channel::*stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Reply*),
                              const Request& request, absl::Time deadline) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(deadline));
    Reply reply;
    const grpc::Status status = ((Next().*stub).*method)(&context, request, &reply);
    if (!status.ok()) return FromGrpc(status);
    return reply;
  }

  template <typename Reply, typename Method, typename Request>
  absl::StatusOr<Reply> Transaction(Method method, const Request& request, absl::Time deadline) {
    return Unary<Reply>(&Channel::transactions, method, request, deadline);
  }

  std::vector<std::unique_ptr<Channel>> channels_;
  std::atomic<size_t> turn_ = 0;
};

absl::Status CheckOptions(const ClientOptions& options) {
  std::vector<FieldViolation> violations;
  auto require = [&violations](bool holds, const char* field, const char* description) {
    if (!holds) violations.push_back({field, description});
  };
  const RetryOptions& retry = options.retry;
  require(!options.address.empty(), "address", "is empty; give host:port");
  require(options.channels >= 1 && options.channels <= 256, "channels",
          "must be between 1 and 256");
  require(options.timeout > absl::ZeroDuration(), "timeout", "must be positive");
  require(options.connect_timeout >= absl::ZeroDuration(), "connect_timeout",
          "must not be negative");
  require(retry.attempts_max >= 1, "retry.attempts_max", "must be at least 1");
  require(retry.backoff_initial > absl::ZeroDuration(), "retry.backoff_initial",
          "must be positive");
  require(retry.backoff_max >= retry.backoff_initial, "retry.backoff_max",
          "must not be below backoff_initial");
  require(retry.budget_ratio >= 0 && retry.budget_ratio <= 1, "retry.budget_ratio",
          "must be between 0 and 1");
  require(retry.budget_burst >= 0, "retry.budget_burst", "must not be negative");
  require(retry.transaction_attempts_max >= 1, "retry.transaction_attempts_max",
          "must be at least 1");
  if (violations.empty()) return absl::OkStatus();
  return InvalidFields(std::move(violations));
}

grpc::ChannelArguments ChannelArgumentsFor() {
  grpc::ChannelArguments arguments;
  // A name with several addresses: calls go to all of them, as in the published service config.
  arguments.SetLoadBalancingPolicyName("round_robin");
  // Channels with equal arguments would share one connection, and the pool would be none.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // In spite of its name, how long one attempt may take, TLS and the first HTTP/2 settings included.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // The retries above know which calls are safe.
  return arguments;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> ConnectChannels(const ClientOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  auto credentials = options.credentials ? options.credentials : grpc::InsecureChannelCredentials();
  std::vector<std::unique_ptr<Channel>> channels;
  for (int i = 0; i < options.channels; ++i) {
    channels.push_back(std::make_unique<Channel>(
        grpc::CreateCustomChannel(options.address, credentials, ChannelArgumentsFor())));
  }
  if (options.connect_timeout > absl::ZeroDuration()) {
    const auto until = absl::ToChronoTime(absl::Now() + options.connect_timeout);
    if (!channels.front()->channel->WaitForConnected(until)) {
      return absl::UnavailableError(absl::StrCat("no connection to ", options.address, " within ",
                                                 absl::FormatDuration(options.connect_timeout),
                                                 "; check that quarryd runs there"));
    }
  }
  return std::make_unique<GrpcConnection>(std::move(channels));
}

}  // namespace quarry::client::internal
