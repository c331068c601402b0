#include "client/client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/internal/grpc_connection.h"
#include "client/internal/retry_connection.h"
#include "core/base/error.h"
#include "core/base/rpc_status.h"
#include "core/base/status_macros.h"

namespace quarry::client {
namespace {

template <typename Request>
void SetRead(const std::string& transaction_id, const std::string& table,
             const ReadOptions& options, Request& request) {
  request.set_table(table);
  request.set_transaction_id(transaction_id);
  for (const std::string& column : options.columns) request.add_columns(column);
  request.set_lock(options.lock);
  if (options.snapshot) request.mutable_read_options()->set_snapshot(true);
  if (!options.max_staleness.has_value()) return;
  const int64_t nanos = absl::ToInt64Nanoseconds(*options.max_staleness);
  auto* staleness = request.mutable_read_options()->mutable_max_staleness();
  staleness->set_seconds(nanos / 1'000'000'000);
  staleness->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

template <typename Request>
void SetSql(const std::string& sql, const std::vector<Value>& params, const SqlOptions& options,
            Request& request) {
  request.set_sql(sql);
  for (const Value& param : params) *request.add_params() = param.proto();
  request.set_allow_writes(options.allow_writes);
  request.set_max_rows(options.max_rows);
}

// A positional key of a reply would have no names; replies give keys by name.
Record KeyRecord(v1::Key& key) {
  v1::Record record;
  record.mutable_columns()->swap(*key.mutable_columns());
  return Record(std::move(record));
}

template <typename Result>
WriteResult ToWriteResult(Result& result) {
  WriteResult write;
  write.key = KeyRecord(*result.mutable_key());
  write.record = Record(std::move(*result.mutable_record()));
  write.etag = result.etag();
  return write;
}

template <typename Reply>
absl::StatusOr<WriteResult> ToWriteReply(absl::StatusOr<Reply> reply) {
  if (!reply.ok()) return reply.status();
  WriteResult write = ToWriteResult(*reply);
  write.served_by = reply->served_by();
  write.replayed = reply->replayed();
  write.unfinished_transaction_id = reply->unfinished_transaction_id();
  return write;
}

// The request of a write alone from the mutation it equals: the same fields under the same numbers,
// as the contract says of both.
template <typename Request, typename MutationProto>
Request ToRequest(const MutationProto& mutation, const std::string& transaction_id,
                  std::string request_id) {
  Request request;
  request.ParseFromString(mutation.SerializeAsString());
  request.set_transaction_id(transaction_id);
  request.set_request_id(std::move(request_id));
  return request;
}

CommitResult ToCommitResult(v1::CommitResponse reply) {
  CommitResult result;
  for (v1::WriteResult& write : *reply.mutable_results())
    result.results.push_back(ToWriteResult(write));
  result.transaction_id = reply.transaction_id();
  result.served_by = reply.served_by();
  result.replayed = reply.replayed();
  result.unfinished = reply.unfinished();
  return result;
}

bool MayHaveCommitted(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnknown ||
         status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

}  // namespace

Client::Client(std::shared_ptr<Connection> connection, const ClientOptions& options,
               internal::Environment environment)
    : connection_(std::move(connection)),
      options_(options),
      environment_(std::move(environment)),
      ids_(static_cast<uint32_t>(environment_.random->Next()), *environment_.random) {}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options) {
  QUARRY_ASSIGN_OR_RETURN(std::unique_ptr<Connection> channels, internal::ConnectChannels(options));
  internal::Environment environment = internal::SystemEnvironment();
  auto policy = std::make_shared<internal::RetryPolicy>(options.retry, environment);
  return Over(internal::WithRetries(std::move(channels), std::move(policy)), options,
              std::move(environment));
}

std::unique_ptr<Client> Client::Over(std::shared_ptr<Connection> connection,
                                     const ClientOptions& options,
                                     internal::Environment environment) {
  return std::unique_ptr<Client>(
      new Client(std::move(connection), options, std::move(environment)));
}

absl::Time Client::Deadline(const CallOptions& call) const {
  const bool given = call.timeout > absl::ZeroDuration();
  return environment_.clock->Now() + (given ? call.timeout : options_.timeout);
}

std::string Client::NewRequestId() {
  absl::MutexLock lock(&ids_mutex_);
  return ids_.UuidV7(environment_.clock->Now());
}

std::string Client::RequestId(const CallOptions& call, const std::string& transaction_id) {
  if (!call.request_id.empty() || !transaction_id.empty()) return call.request_id;
  return NewRequestId();
}

absl::StatusOr<ReadResult> Client::GetIn(const std::string& transaction_id,
                                         const std::string& table, const Key& key,
                                         const ReadOptions& options, const CallOptions& call) {
  v1::GetRequest request;
  SetRead(transaction_id, table, options, request);
  *request.mutable_key() = key.proto();
  QUARRY_ASSIGN_OR_RETURN(v1::GetResponse reply, connection_->Get(request, Deadline(call)));
  return ReadResult{Record(std::move(*reply.mutable_record())), reply.etag(), reply.served_by()};
}

absl::StatusOr<BatchGetResult> Client::BatchGetIn(const std::string& transaction_id,
                                                  const std::string& table,
                                                  const std::vector<Key>& keys,
                                                  const ReadOptions& options,
                                                  const CallOptions& call) {
  v1::BatchGetRequest request;
  SetRead(transaction_id, table, options, request);
  request.set_allow_partial(options.allow_partial);
  for (const Key& key : keys) *request.add_keys() = key.proto();
  QUARRY_ASSIGN_OR_RETURN(v1::BatchGetResponse reply,
                          connection_->BatchGet(request, Deadline(call)));
  BatchGetResult result;
  result.rows.resize(keys.size());
  for (v1::FoundRow& row : *reply.mutable_found()) {
    if (row.index() < 0 || row.index() >= static_cast<int>(keys.size())) {
      return absl::InternalError(
          "the reply names a key that was not asked for; client and gateway do not match");
    }
    result.rows[row.index()] =
        ReadResult{Record(std::move(*row.mutable_record())), row.etag(), reply.served_by()};
  }
  result.missing.assign(reply.missing().begin(), reply.missing().end());
  result.unanswered.assign(reply.unanswered().begin(), reply.unanswered().end());
  result.failed_shards.assign(reply.failed_shards().begin(), reply.failed_shards().end());
  result.served_by = reply.served_by();
  return result;
}

absl::StatusOr<WriteResult> Client::WriteIn(const std::string& transaction_id,
                                            const Mutation& mutation, const CallOptions& call) {
  const v1::Mutation& proto = mutation.proto();
  const absl::Time deadline = Deadline(call);
  std::string id = RequestId(call, transaction_id);
  switch (proto.operation_case()) {
    case v1::Mutation::kInsert: {
      auto request = ToRequest<v1::InsertRequest>(proto.insert(), transaction_id, std::move(id));
      SetFence(call, request);
      return ToWriteReply(connection_->Insert(request, deadline));
    }
    case v1::Mutation::kUpdate: {
      auto request = ToRequest<v1::UpdateRequest>(proto.update(), transaction_id, std::move(id));
      SetFence(call, request);
      return ToWriteReply(connection_->Update(request, deadline));
    }
    case v1::Mutation::kUpsert: {
      auto request = ToRequest<v1::UpsertRequest>(proto.upsert(), transaction_id, std::move(id));
      SetFence(call, request);
      return ToWriteReply(connection_->Upsert(request, deadline));
    }
    case v1::Mutation::kDelete: {
      auto request = ToRequest<v1::DeleteRequest>(proto.delete_(), transaction_id, std::move(id));
      SetFence(call, request);
      return ToWriteReply(connection_->Delete(request, deadline));
    }
    case v1::Mutation::OPERATION_NOT_SET:
      break;
  }
  return InvalidField("mutation",
                      "is empty; make it with Mutation::Insert, Update, Upsert or Delete");
}

absl::StatusOr<std::vector<absl::StatusOr<WriteResult>>> Client::BatchWriteIn(
    const std::string& transaction_id, const std::vector<Mutation>& mutations,
    const CallOptions& call) {
  v1::BatchWriteRequest request;
  for (const Mutation& mutation : mutations) *request.add_mutations() = mutation.proto();
  request.set_transaction_id(transaction_id);
  request.set_request_id(RequestId(call, transaction_id));
  SetFence(call, request);
  QUARRY_ASSIGN_OR_RETURN(v1::BatchWriteResponse reply,
                          connection_->BatchWrite(request, Deadline(call)));
  std::vector<absl::StatusOr<WriteResult>> results;
  for (v1::BatchWriteResult& result : *reply.mutable_results()) {
    if (result.has_error()) {
      results.emplace_back(FromRpcStatus(result.error()));
      continue;
    }
    WriteResult write = ToWriteResult(*result.mutable_applied());
    write.served_by = reply.served_by();
    write.replayed = result.replayed();
    results.emplace_back(std::move(write));
  }
  if (results.size() != mutations.size()) {
    return absl::InternalError(absl::StrCat("the reply has ", results.size(), " results for ",
                                            mutations.size(),
                                            " mutations; client and gateway do not match"));
  }
  return results;
}

absl::StatusOr<RowStream> Client::RunSqlIn(const std::string& transaction_id,
                                           const std::string& shard, const std::string& sql,
                                           const std::vector<Value>& params,
                                           const SqlOptions& options, const CallOptions& call) {
  v1::OnShardRequest request;
  SetSql(sql, params, options, request);
  request.set_transaction_id(transaction_id);
  if (!shard.empty()) request.mutable_target()->set_shard(shard);
  if (options.allow_writes) request.set_request_id(RequestId(call, transaction_id));
  QUARRY_ASSIGN_OR_RETURN(std::unique_ptr<EventStream> events,
                          connection_->OnShard(request, Deadline(call)));
  return RowStream(std::move(events), options.on_progress);
}

absl::StatusOr<ReadResult> Client::Get(const std::string& table, const Key& key,
                                       const ReadOptions& options, const CallOptions& call) {
  return GetIn("", table, key, options, call);
}

absl::StatusOr<BatchGetResult> Client::BatchGet(const std::string& table,
                                                const std::vector<Key>& keys,
                                                const ReadOptions& options,
                                                const CallOptions& call) {
  return BatchGetIn("", table, keys, options, call);
}

absl::StatusOr<WriteResult> Client::Write(const Mutation& mutation, const CallOptions& call) {
  return WriteIn("", mutation, call);
}

absl::StatusOr<WriteResult> Client::Insert(const std::string& table, const Record& record,
                                           const MutationOptions& options,
                                           const CallOptions& call) {
  return Write(Mutation::Insert(table, record, options), call);
}

absl::StatusOr<WriteResult> Client::Update(const std::string& table, const Key& key,
                                           const Record& record, const MutationOptions& options,
                                           const CallOptions& call) {
  return Write(Mutation::Update(table, key, record, options), call);
}

absl::StatusOr<WriteResult> Client::Upsert(const std::string& table, const Record& record,
                                           const MutationOptions& options,
                                           const CallOptions& call) {
  return Write(Mutation::Upsert(table, record, options), call);
}

absl::StatusOr<WriteResult> Client::Delete(const std::string& table, const Key& key,
                                           const MutationOptions& options,
                                           const CallOptions& call) {
  return Write(Mutation::Delete(table, key, options), call);
}

absl::StatusOr<std::vector<absl::StatusOr<WriteResult>>> Client::BatchWrite(
    const std::vector<Mutation>& mutations, const CallOptions& call) {
  return BatchWriteIn("", mutations, call);
}

absl::StatusOr<CommitResult> Client::CommitMutations(const std::vector<Mutation>& mutations,
                                                     const CallOptions& call) {
  v1::CommitRequest request;
  for (const Mutation& mutation : mutations) *request.add_mutations() = mutation.proto();
  request.set_request_id(RequestId(call, ""));
  SetFence(call, request);
  QUARRY_ASSIGN_OR_RETURN(v1::CommitResponse reply, connection_->Commit(request, Deadline(call)));
  return ToCommitResult(std::move(reply));
}

absl::StatusOr<RowStream> Client::RunSql(const std::string& shard, const std::string& sql,
                                         const std::vector<Value>& params,
                                         const SqlOptions& options, const CallOptions& call) {
  return RunSqlIn("", shard, sql, params, options, call);
}

absl::StatusOr<RowStream> Client::RunSqlOnAll(const std::string& sql,
                                              const std::vector<Value>& params,
                                              const SqlOptions& options, const CallOptions& call) {
  v1::OnAllShardsRequest request;
  SetSql(sql, params, options, request);
  request.mutable_target()->set_all_shards(true);
  request.set_mode(options.best_effort ? v1::FAILURE_MODE_BEST_EFFORT : v1::FAILURE_MODE_FAIL_FAST);
  if (options.allow_writes) request.set_request_id(RequestId(call, ""));
  QUARRY_ASSIGN_OR_RETURN(std::unique_ptr<EventStream> events,
                          connection_->OnAllShards(request, Deadline(call)));
  return RowStream(std::move(events), options.on_progress);
}

absl::StatusOr<v1::AcquireResponse> Client::AcquireLease(const std::string& name,
                                                         const LockOptions& options,
                                                         const CallOptions& call) {
  v1::AcquireRequest request;
  request.set_name(name);
  request.set_lease_id(call.request_id.empty() ? NewRequestId() : call.request_id);
  request.set_owner(options.owner);
  request.set_no_wait(!options.wait);
  if (options.ttl > absl::ZeroDuration()) {
    const int64_t nanos = absl::ToInt64Nanoseconds(options.ttl);
    request.mutable_ttl()->set_seconds(nanos / 1'000'000'000);
    request.mutable_ttl()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  }
  return connection_->AcquireLock(request, Deadline(call));
}

absl::StatusOr<HeldLock> Client::AcquireLock(const std::string& name, const LockOptions& options,
                                             const CallOptions& call) {
  QUARRY_ASSIGN_OR_RETURN(const v1::AcquireResponse grant, AcquireLease(name, options, call));
  return HeldLock(connection_, name, grant);
}

absl::Status Client::ReleaseLease(const std::string& name, const std::string& lease_id,
                                  const CallOptions& call) {
  v1::ReleaseRequest request;
  request.set_name(name);
  request.set_lease_id(lease_id);
  return connection_->ReleaseLock(request, Deadline(call)).status();
}

absl::StatusOr<v1::GetLockResponse> Client::GetLock(const std::string& name,
                                                    const CallOptions& call) {
  v1::GetLockRequest request;
  request.set_name(name);
  return connection_->GetLock(request, Deadline(call));
}

absl::StatusOr<Transaction> Client::Begin(const v1::BeginRequest& options,
                                          const CallOptions& call) {
  QUARRY_ASSIGN_OR_RETURN(const v1::BeginResponse reply,
                          connection_->Begin(options, Deadline(call)));
  return Transaction(this, reply.transaction_id());
}

absl::Status Client::CommitOutcome(const std::string& transaction_id, const absl::Status& error,
                                   absl::Time deadline) {
  v1::GetTransactionRequest request;
  request.set_transaction_id(transaction_id);
  const auto found = connection_->GetTransaction(request, deadline);
  const v1::TransactionState state = found.ok() ? found->state() : v1::TRANSACTION_STATE_UNSPECIFIED;
  if (state == v1::TRANSACTION_STATE_COMMITTED) return absl::OkStatus();
  if (state == v1::TRANSACTION_STATE_ROLLED_BACK) {
    return absl::AbortedError(absl::StrCat("the transaction was rolled back: ", error.message()));
  }
  ErrorDetail detail = DetailOf(error);
  detail.reason = reason::kCommitOutcomeUnknown;
  detail.facts["transaction"] = transaction_id;
  return MakeError(absl::StatusCode::kUnknown,
                   absl::StrCat("it is not known how transaction ", transaction_id,
                                " ended; ask GetTransaction before it is run again: ", error.message()),
                   detail);
}

absl::Status Client::RunOnce(const TransactionBody& body, const v1::BeginRequest& options,
                             absl::Time deadline, bool& again) {
  again = false;
  QUARRY_ASSIGN_OR_RETURN(const v1::BeginResponse begun, connection_->Begin(options, deadline));
  Transaction transaction(this, begun.transaction_id());
  if (absl::Status status = body(transaction); !status.ok()) {
    // Nothing is committed yet, so a lost shard means the same as an abort.
    again = absl::IsAborted(status) || absl::IsUnavailable(status);
    return status;
  }
  CallOptions commit;
  commit.timeout = std::max(deadline - environment_.clock->Now(), absl::Milliseconds(1));
  absl::Status status = transaction.Commit(commit).status();
  if (MayHaveCommitted(status)) status = CommitOutcome(transaction.id(), status, deadline);
  again = absl::IsAborted(status);
  return status;
}

absl::Status Client::RunTransaction(const TransactionBody& body, const v1::BeginRequest& options,
                                    const CallOptions& call) {
  const absl::Time deadline = Deadline(call);
  for (int run = 1;; ++run) {
    bool again = false;
    absl::Status status = RunOnce(body, options, deadline, again);
    if (!again || run >= options_.retry.transaction_attempts_max) return status;
    const absl::Duration asked = DetailOf(status).retry_after.value_or(absl::ZeroDuration());
    const absl::Duration wait =
        asked + internal::JitteredBackoff(options_.retry, run, *environment_.random);
    if (environment_.clock->Now() + wait >= deadline) return status;
    environment_.sleep(wait);
  }
}

absl::StatusOr<v1::GetTransactionResponse> Client::GetTransaction(const std::string& transaction_id,
                                                                  const CallOptions& call) {
  v1::GetTransactionRequest request;
  request.set_transaction_id(transaction_id);
  return connection_->GetTransaction(request, Deadline(call));
}

absl::StatusOr<std::vector<v1::TableSummary>> Client::ListTables(const CallOptions& call) {
  QUARRY_ASSIGN_OR_RETURN(const v1::ListTablesResponse reply,
                          connection_->ListTables({}, Deadline(call)));
  return std::vector<v1::TableSummary>(reply.tables().begin(), reply.tables().end());
}

absl::StatusOr<v1::Table> Client::GetTable(const std::string& table, const CallOptions& call) {
  v1::GetTableRequest request;
  request.set_table(table);
  QUARRY_ASSIGN_OR_RETURN(v1::GetTableResponse reply,
                          connection_->GetTable(request, Deadline(call)));
  return std::move(*reply.mutable_table());
}

absl::StatusOr<v1::ResolveKeyResponse> Client::ResolveKey(const std::string& table, const Key& key,
                                                          const CallOptions& call) {
  v1::ResolveKeyRequest request;
  request.set_table(table);
  *request.mutable_key() = key.proto();
  return connection_->ResolveKey(request, Deadline(call));
}

absl::Status Client::MapKey(const std::string& table, const Key& key, const std::string& shard,
                            const CallOptions& call) {
  v1::MapKeyRequest request;
  request.set_table(table);
  *request.mutable_key() = key.proto();
  request.set_shard(shard);
  return connection_->MapKey(request, Deadline(call)).status();
}

absl::StatusOr<std::vector<v1::Shard>> Client::ListShards(const CallOptions& call) {
  QUARRY_ASSIGN_OR_RETURN(const v1::ListShardsResponse reply,
                          connection_->ListShards({}, Deadline(call)));
  return std::vector<v1::Shard>(reply.shards().begin(), reply.shards().end());
}

absl::StatusOr<std::vector<v1::Gateway>> Client::ListGateways(const CallOptions& call) {
  QUARRY_ASSIGN_OR_RETURN(const v1::ListGatewaysResponse reply,
                          connection_->ListGateways({}, Deadline(call)));
  return std::vector<v1::Gateway>(reply.gateways().begin(), reply.gateways().end());
}

absl::StatusOr<v1::GetInfoResponse> Client::GetInfo(const CallOptions& call) {
  return connection_->GetInfo({}, Deadline(call));
}

absl::StatusOr<v1::ListInDoubtTransactionsResponse> Client::ListInDoubtTransactions(
    std::optional<absl::Duration> min_age, const CallOptions& call) {
  v1::ListInDoubtTransactionsRequest request;
  if (min_age.has_value()) {
    const int64_t millis = absl::ToInt64Milliseconds(*min_age);
    request.mutable_min_age()->set_seconds(millis / 1000);
    request.mutable_min_age()->set_nanos(static_cast<int32_t>(millis % 1000) * 1'000'000);
  }
  return connection_->ListInDoubtTransactions(request, Deadline(call));
}

absl::StatusOr<v1::ResolveTransactionResponse> Client::ResolveTransaction(
    const std::string& transaction_id, const CallOptions& call) {
  v1::ResolveTransactionRequest request;
  request.set_id(transaction_id);
  return connection_->ResolveTransaction(request, Deadline(call));
}

absl::StatusOr<std::vector<v1::ShardStatus>> Client::InitShard(const std::string& shard,
                                                               const CallOptions& call) {
  v1::InitShardRequest request;
  if (shard.empty()) {
    request.set_all_shards(true);
  } else {
    request.set_shard(shard);
  }
  QUARRY_ASSIGN_OR_RETURN(const v1::InitShardResponse reply,
                          connection_->InitShard(request, Deadline(call)));
  return std::vector<v1::ShardStatus>(reply.shards().begin(), reply.shards().end());
}

absl::StatusOr<bool> Client::Health(const std::string& service, const CallOptions& call) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  QUARRY_ASSIGN_OR_RETURN(const auto reply, connection_->Check(request, Deadline(call)));
  return reply.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

}  // namespace quarry::client
