// The Quarry client: typed rows by key, raw SQL on shards, transactions.
//
//   auto client = quarry::client::Client::Connect({.address = "127.0.0.1:7400"});
//   auto row = (*client)->Get("customers", {42});
//   if (row.ok()) std::cout << *row->record["name"].AsText();
//
// Blocking and thread-safe. Errors are absl::Status whose payloads are the google.rpc details of
// the reply: read them with DetailOf and ReasonOf of core/base/error.h.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/connection.h"
#include "client/internal/retry.h"
#include "client/lock.h"
#include "client/mutation.h"
#include "client/options.h"
#include "client/query.h"
#include "client/row_stream.h"
#include "client/values.h"
#include "core/base/ids.h"

namespace quarry::client {

struct ReadOptions {
  std::vector<std::string> columns = {};             // Empty means all.
  std::optional<absl::Duration> max_staleness = {};  // Absent means a strong read.
  bool allow_partial = false;                        // BatchGet only.
  bool snapshot = false;  // All keys at one cut over their shards; not in a transaction.
  // Held until the transaction ends; in a transaction only.
  v1::RowLock lock = v1::ROW_LOCK_UNSPECIFIED;
};

struct ReadResult {
  Record record;
  std::string etag;
  v1::ServedBy served_by;
};

struct BatchGetResult {
  std::vector<std::optional<ReadResult>>
      rows;                     // One for each key, in order; nullopt where none was found.
  std::vector<int> missing;     // Indexes of keys that have no row.
  std::vector<int> unanswered;  // Indexes of keys whose shard did not answer.
  std::vector<v1::ShardStatus> failed_shards;
  v1::ServedBy served_by;
};

struct SqlOptions {
  bool allow_writes = false;
  // Other shards go on when one fails; see RowStream::shard_statuses. All shards only.
  bool best_effort = false;
  int64_t max_rows = 0;  // 0 means the gateway's limit.
  std::function<void(const v1::Progress&)> on_progress = {};
};

struct CommitResult {
  std::vector<WriteResult> results;  // One for each mutation.
  std::string transaction_id;
  v1::ServedBy served_by;
  bool replayed = false;
  bool unfinished = false;  // Committed for certain, though not visible on every shard yet.
};

class Transaction;

class Client {
 public:
  using TransactionBody = std::function<absl::Status(Transaction&)>;

  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options);
  // Over another connection, without retries of its own; for tests and decorators.
  static std::unique_ptr<Client> Over(
      std::shared_ptr<Connection> connection, const ClientOptions& options,
      internal::Environment environment = internal::SystemEnvironment());

  absl::StatusOr<ReadResult> Get(const std::string& table, const Key& key,
                                 const ReadOptions& options = {}, const CallOptions& call = {});
  absl::StatusOr<BatchGetResult> BatchGet(const std::string& table, const std::vector<Key>& keys,
                                          const ReadOptions& options = {},
                                          const CallOptions& call = {});
  absl::StatusOr<WriteResult> Insert(const std::string& table, const Record& record,
                                     const MutationOptions& options = {},
                                     const CallOptions& call = {});
  absl::StatusOr<WriteResult> Update(const std::string& table, const Key& key, const Record& record,
                                     const MutationOptions& options = {},
                                     const CallOptions& call = {});
  absl::StatusOr<WriteResult> Upsert(const std::string& table, const Record& record,
                                     const MutationOptions& options = {},
                                     const CallOptions& call = {});
  absl::StatusOr<WriteResult> Delete(const std::string& table, const Key& key,
                                     const MutationOptions& options = {},
                                     const CallOptions& call = {});
  // Any one mutation.
  absl::StatusOr<WriteResult> Write(const Mutation& mutation, const CallOptions& call = {});
  // One result for each mutation, in order: each succeeds or fails on its own.
  absl::StatusOr<std::vector<absl::StatusOr<WriteResult>>> BatchWrite(
      const std::vector<Mutation>& mutations, const CallOptions& call = {});
  // All or nothing, in one round trip.
  absl::StatusOr<CommitResult> CommitMutations(const std::vector<Mutation>& mutations,
                                               const CallOptions& call = {});

  // The rows that match, in order, as a stream; it goes on by itself after UNAVAILABLE.
  // CallOptions::timeout bounds the whole stream.
  absl::StatusOr<QueryRows> Query(const std::string& table, const Filter& filter = {},
                                  const QueryOptions& options = {}, const CallOptions& call = {}) {
    return QueryIn("", table, filter, options, call);
  }
  // One page.
  absl::StatusOr<v1::ListResponse> List(const std::string& table, const Filter& filter = {},
                                        const ListOptions& options = {},
                                        const CallOptions& call = {}) {
    return ListPage(internal::MakeList(table, filter, options, ""), call);
  }
  absl::StatusOr<v1::ListResponse> ListPage(const v1::ListRequest& request,
                                            const CallOptions& call = {});
  // The rows of this page and of all that follow. `call` bounds each page.
  ListRows ListAll(const std::string& table, const Filter& filter = {},
                   const ListOptions& options = {}, const CallOptions& call = {}) {
    return ListRows(this, internal::MakeList(table, filter, options, ""), call);
  }
  absl::StatusOr<v1::AggregateResponse> Aggregate(const std::string& table, const Filter& filter,
                                                  const std::vector<client::Aggregate>& aggregates,
                                                  const AggregateOptions& options = {},
                                                  const CallOptions& call = {}) {
    return AggregateIn("", table, filter, aggregates, options, call);
  }
  // Every row that matches, in batches that commit on their own: see BulkResult::status.
  absl::StatusOr<BulkResult> UpdateWhere(const std::string& table, const Filter& filter,
                                         const Record& set, const BulkOptions& options = {},
                                         const CallOptions& call = {}) {
    return UpdateWhereIn("", table, filter, set, options, call);
  }
  absl::StatusOr<BulkResult> DeleteWhere(const std::string& table, const Filter& filter,
                                         const BulkOptions& options = {},
                                         const CallOptions& call = {}) {
    return DeleteWhereIn("", table, filter, options, call);
  }
  absl::StatusOr<v1::ExplainResponse> Explain(const v1::ExplainRequest& request,
                                              const CallOptions& call = {});
  absl::StatusOr<std::vector<v1::TopQuery>> ListTopQueries(v1::QueryRanking order_by,
                                                           int limit = 0,
                                                           const CallOptions& call = {});

  // The rows of one statement on one shard, or on all. CallOptions::timeout bounds the whole
  // stream.
  absl::StatusOr<RowStream> RunSql(const std::string& shard, const std::string& sql,
                                   const std::vector<Value>& params = {},
                                   const SqlOptions& options = {}, const CallOptions& call = {});
  absl::StatusOr<RowStream> RunSqlOnAll(const std::string& sql,
                                        const std::vector<Value>& params = {},
                                        const SqlOptions& options = {},
                                        const CallOptions& call = {});

  // Opens an interactive transaction. The client outlives it.
  absl::StatusOr<Transaction> Begin(const v1::BeginRequest& options = {},
                                    const CallOptions& call = {});
  // Runs `body` in a transaction and commits it; runs all of it again when it ends with ABORTED, or
  // with UNAVAILABLE before the commit, up to RetryOptions::transaction_attempts_max times. Any
  // other error of `body` rolls back and is returned. `call.timeout` bounds all runs together. When
  // the outcome of the commit is not known it asks GetTransaction; UNKNOWN is returned only when
  // that does not know either.
  absl::Status RunTransaction(const TransactionBody& body, const v1::BeginRequest& options = {},
                              const CallOptions& call = {});
  absl::StatusOr<v1::GetTransactionResponse> GetTransaction(const std::string& transaction_id,
                                                            const CallOptions& call = {});

  // Takes a lock and keeps it; see LockOptions for how it waits.
  absl::StatusOr<HeldLock> AcquireLock(const std::string& name, const LockOptions& options = {},
                                       const CallOptions& call = {});
  // The grant alone, which the caller keeps or lets run out. CallOptions::request_id is its lease id;
  // with that of a lease that is held it renews the lease.
  absl::StatusOr<v1::AcquireResponse> AcquireLease(const std::string& name,
                                                   const LockOptions& options = {},
                                                   const CallOptions& call = {});
  absl::Status ReleaseLease(const std::string& name, const std::string& lease_id,
                            const CallOptions& call = {});
  absl::StatusOr<v1::GetLockResponse> GetLock(const std::string& name,
                                              const CallOptions& call = {});

  absl::StatusOr<std::vector<v1::TableSummary>> ListTables(const CallOptions& call = {});
  absl::StatusOr<v1::Table> GetTable(const std::string& table, const CallOptions& call = {});
  absl::StatusOr<v1::ResolveKeyResponse> ResolveKey(const std::string& table, const Key& key,
                                                    const CallOptions& call = {});
  // Writes into the directory of the table's lookup resolver where a key lives, before it has rows.
  absl::Status MapKey(const std::string& table, const Key& key, const std::string& shard,
                      const CallOptions& call = {});
  absl::StatusOr<std::vector<v1::Shard>> ListShards(const CallOptions& call = {});
  // The gateways of the deployment, as the one that answers last saw them.
  absl::StatusOr<std::vector<v1::Gateway>> ListGateways(const CallOptions& call = {});
  absl::StatusOr<v1::GetInfoResponse> GetInfo(const CallOptions& call = {});
  // Asks all shards. Absent: only those that recovery takes up by now.
  absl::StatusOr<v1::ListInDoubtTransactionsResponse> ListInDoubtTransactions(
      std::optional<absl::Duration> min_age = std::nullopt, const CallOptions& call = {});
  // Ends a transaction over several shards now: as decided, or by rolling it back.
  absl::StatusOr<v1::ResolveTransactionResponse> ResolveTransaction(
      const std::string& transaction_id, const CallOptions& call = {});
  // Creates Quarry's own tables on a shard, "" means on all; a status for each shard.
  absl::StatusOr<std::vector<v1::ShardStatus>> InitShard(const std::string& shard,
                                                         const CallOptions& call = {});
  // True when `service` (a gRPC service or a shard; "" is the gateway as a whole) can be used now.
  absl::StatusOr<bool> Health(const std::string& service = "", const CallOptions& call = {});

 private:
  friend class Transaction;

  Client(std::shared_ptr<Connection> connection, const ClientOptions& options,
         internal::Environment environment);

  absl::Time Deadline(const CallOptions& call) const;
  template <typename Request>
  static void SetFence(const CallOptions& call, Request& request) {
    if (!call.fence.has_value()) return;
    request.mutable_fence()->set_lock(call.fence->lock);
    request.mutable_fence()->set_token(call.fence->token);
  }
  std::string NewRequestId();
  // The given id, or a new one outside a transaction.
  std::string RequestId(const CallOptions& call, const std::string& transaction_id);
  absl::StatusOr<ReadResult> GetIn(const std::string& transaction_id, const std::string& table,
                                   const Key& key, const ReadOptions& options,
                                   const CallOptions& call);
  absl::StatusOr<BatchGetResult> BatchGetIn(const std::string& transaction_id,
                                            const std::string& table, const std::vector<Key>& keys,
                                            const ReadOptions& options, const CallOptions& call);
  absl::StatusOr<WriteResult> WriteIn(const std::string& transaction_id, const Mutation& mutation,
                                      const CallOptions& call);
  absl::StatusOr<std::vector<absl::StatusOr<WriteResult>>> BatchWriteIn(
      const std::string& transaction_id, const std::vector<Mutation>& mutations,
      const CallOptions& call);
  absl::StatusOr<RowStream> RunSqlIn(const std::string& transaction_id, const std::string& shard,
                                     const std::string& sql, const std::vector<Value>& params,
                                     const SqlOptions& options, const CallOptions& call);
  absl::StatusOr<QueryRows> QueryIn(const std::string& transaction_id, const std::string& table,
                                    const Filter& filter, const QueryOptions& options,
                                    const CallOptions& call);
  absl::StatusOr<v1::AggregateResponse> AggregateIn(
      const std::string& transaction_id, const std::string& table, const Filter& filter,
      const std::vector<client::Aggregate>& aggregates, const AggregateOptions& options,
      const CallOptions& call);
  absl::StatusOr<BulkResult> UpdateWhereIn(const std::string& transaction_id,
                                           const std::string& table, const Filter& filter,
                                           const Record& set, const BulkOptions& options,
                                           const CallOptions& call);
  absl::StatusOr<BulkResult> DeleteWhereIn(const std::string& transaction_id,
                                           const std::string& table, const Filter& filter,
                                           const BulkOptions& options, const CallOptions& call);
  // One run of a transaction; `again` tells whether all of it may run once more after an error.
  absl::Status RunOnce(const TransactionBody& body, const v1::BeginRequest& options,
                       absl::Time deadline, bool& again);
  // What became of a commit that ended with `error`: OK, ABORTED when it was rolled back, UNKNOWN
  // when that cannot be told.
  absl::Status CommitOutcome(const std::string& transaction_id, const absl::Status& error,
                             absl::Time deadline);

  const std::shared_ptr<Connection> connection_;
  const ClientOptions options_;
  const internal::Environment environment_;
  absl::Mutex ids_mutex_;
  IdGenerator ids_ ABSL_GUARDED_BY(ids_mutex_);
};

// An open interactive transaction: sees its own writes. One thread. Destroying one that is still
// open rolls it back, waiting for that at most a second.
class Transaction {
 public:
  Transaction(Client* client, std::string id) : client_(client), id_(std::move(id)) {}
  Transaction(Transaction&& other) noexcept
      : client_(std::exchange(other.client_, nullptr)), id_(std::move(other.id_)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  const std::string& id() const { return id_; }

  absl::StatusOr<ReadResult> Get(const std::string& table, const Key& key,
                                 const ReadOptions& options = {}, const CallOptions& call = {}) {
    return client_->GetIn(id_, table, key, options, call);
  }
  absl::StatusOr<BatchGetResult> BatchGet(const std::string& table, const std::vector<Key>& keys,
                                          const ReadOptions& options = {},
                                          const CallOptions& call = {}) {
    return client_->BatchGetIn(id_, table, keys, options, call);
  }
  absl::StatusOr<WriteResult> Write(const Mutation& mutation, const CallOptions& call = {}) {
    return client_->WriteIn(id_, mutation, call);
  }
  absl::StatusOr<WriteResult> Insert(const std::string& table, const Record& record,
                                     const MutationOptions& options = {}) {
    return Write(Mutation::Insert(table, record, options));
  }
  absl::StatusOr<WriteResult> Update(const std::string& table, const Key& key, const Record& record,
                                     const MutationOptions& options = {}) {
    return Write(Mutation::Update(table, key, record, options));
  }
  absl::StatusOr<WriteResult> Upsert(const std::string& table, const Record& record,
                                     const MutationOptions& options = {}) {
    return Write(Mutation::Upsert(table, record, options));
  }
  absl::StatusOr<WriteResult> Delete(const std::string& table, const Key& key,
                                     const MutationOptions& options = {}) {
    return Write(Mutation::Delete(table, key, options));
  }
  absl::StatusOr<std::vector<absl::StatusOr<WriteResult>>> BatchWrite(
      const std::vector<Mutation>& mutations, const CallOptions& call = {}) {
    return client_->BatchWriteIn(id_, mutations, call);
  }
  // Questions and bulk writes see the transaction's writes.
  absl::StatusOr<QueryRows> Query(const std::string& table, const Filter& filter = {},
                                  const QueryOptions& options = {}, const CallOptions& call = {}) {
    return client_->QueryIn(id_, table, filter, options, call);
  }
  absl::StatusOr<v1::ListResponse> List(const std::string& table, const Filter& filter = {},
                                        const ListOptions& options = {},
                                        const CallOptions& call = {}) {
    return client_->ListPage(internal::MakeList(table, filter, options, id_), call);
  }
  absl::StatusOr<v1::AggregateResponse> Aggregate(const std::string& table, const Filter& filter,
                                                  const std::vector<client::Aggregate>& aggregates,
                                                  const AggregateOptions& options = {},
                                                  const CallOptions& call = {}) {
    return client_->AggregateIn(id_, table, filter, aggregates, options, call);
  }
  absl::StatusOr<BulkResult> UpdateWhere(const std::string& table, const Filter& filter,
                                         const Record& set, const BulkOptions& options = {},
                                         const CallOptions& call = {}) {
    return client_->UpdateWhereIn(id_, table, filter, set, options, call);
  }
  absl::StatusOr<BulkResult> DeleteWhere(const std::string& table, const Filter& filter,
                                         const BulkOptions& options = {},
                                         const CallOptions& call = {}) {
    return client_->DeleteWhereIn(id_, table, filter, options, call);
  }
  // `shard` may be empty once the transaction has its shard.
  absl::StatusOr<RowStream> RunSql(const std::string& shard, const std::string& sql,
                                   const std::vector<Value>& params = {},
                                   const SqlOptions& options = {}, const CallOptions& call = {}) {
    return client_->RunSqlIn(id_, shard, sql, params, options, call);
  }

  absl::Status Savepoint(const std::string& name, const CallOptions& call = {});
  absl::Status RollbackTo(const std::string& name, const CallOptions& call = {});
  absl::Status ReleaseSavepoint(const std::string& name, const CallOptions& call = {});

  // Ends it, also when the call fails: after an error GetTransaction tells what became of it.
  absl::StatusOr<CommitResult> Commit(const CallOptions& call = {});
  absl::Status Rollback(const CallOptions& call = {});

 private:
  Client* client_;  // nullptr when moved from.
  std::string id_;
  bool ended_ = false;
};

}  // namespace quarry::client
