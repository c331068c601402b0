// The engine of one loop: operation in, result out. Belongs to its loop.
// Every function takes its operation by reference: it outlives the returned Async.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/ids.h"
#include "core/base/random.h"
#include "core/cache/result_cache.h"
#include "core/base/seal.h"
#include "core/model/operation.h"
#include "core/model/query.h"
#include "core/engine/directory.h"
#include "core/engine/include.h"
#include "core/engine/merged_reads.h"
#include "core/engine/query_run.h"
#include "core/engine/query_stream.h"
#include "core/engine/reference_write.h"
#include "core/engine/sql_stream.h"
#include "core/plan/plan_aggregate.h"
#include "core/plan/plan_bulk_write.h"
#include "core/plan/plan_query.h"
#include "core/plan/planner.h"
#include "core/plan/snapshot.h"
#include "core/plan/sql_texts.h"
#include "core/txn/transactions.h"

namespace quarry {

struct EngineLimits {
  int64_t batch_items_max = 1'000;     // Keys of a BatchGet, mutations of a BatchWrite or Commit.
  int64_t row_bytes_max = 2 << 20;     // One row of a write.
  int64_t reply_bytes_max = 3 << 20;   // Rows of one unary reply.
  size_t scatter_width = 16;           // Shards at a time.
  int64_t page_rows = 100;             // Of a page whose size nobody gave.
  int64_t page_rows_max = 1'000;
  int64_t bulk_rows = 1'000;           // Of one batch of a bulk write.
  AggregateLimits aggregate;
  bool raw_sql_allowed = true;
};

struct RouteResult {
  RouteExplanation explanation;
  std::string resolver;
  std::string resolver_type;
  Epoch epoch{};
};

class Engine {
 public:
  struct Parts {
    std::vector<std::unique_ptr<Backend>> shards;  // By ShardId; decorated.
    std::function<std::shared_ptr<const Snapshot>()> snapshot;  // The loop's present one; cheap.
    EngineLimits limits;
    TransactionOptions transactions;
    // Of page and resume tokens; null: one of this engine alone, whose tokens nobody else opens.
    std::shared_ptr<const Sealer> sealer;
    // What the answers kept by all loops depend on; null: this engine is alone.
    std::shared_ptr<ResultCacheShared> cache_shared;
    ResultCacheLimits cache;
    uint32_t loop_index = 0;
    uint32_t id_node = 0;  // For 64-bit ids: differs between loops and gateways.
  };
  // `loop` outlives this.
  Engine(Loop& loop, Parts parts);
  ~Engine();

  // ---- Rows. An empty `transaction_id` means: a transaction of its own. ----
  Async<absl::StatusOr<ReadResult>> Read(const ReadOperation& op, const std::string& transaction_id,
                                         const CallContext& ctx);
  Async<absl::StatusOr<WriteResult>> Write(const WriteOperation& op, const std::string& transaction_id,
                                           const CallContext& ctx);

  // ---- Questions. In a transaction they see its writes and stay on its shard. ----
  // `op` and `ctx` outlive the stream.
  Async<absl::StatusOr<std::unique_ptr<QueryStream>>> Query(const QueryOperation& op, const std::string& transaction_id,
                                                            const CallContext& ctx);
  Async<absl::StatusOr<ListResult>> List(const ListOperation& op, const std::string& transaction_id,
                                         const CallContext& ctx);
  Async<absl::StatusOr<AggregateResult>> Aggregate(const AggregateOperation& op, const std::string& transaction_id,
                                                   const CallContext& ctx);
  Async<absl::StatusOr<BulkWriteResult>> WriteWhere(const BulkWriteOperation& op, const std::string& transaction_id,
                                                    const CallContext& ctx);
  // `analyze` runs the question and counts; else nothing is sent to any shard.
  Async<absl::StatusOr<Explanation>> Explain(const QueryOperation& op, bool analyze, const CallContext& ctx);
  Async<absl::StatusOr<Explanation>> Explain(const AggregateOperation& op, bool analyze, const CallContext& ctx);

  // ---- Raw SQL ----
  // `op` and `ctx` outlive the stream. More than one shard inside a transaction: CROSS_SHARD_TRANSACTION.
  // `stop_at_first_error`: FAIL_FAST; the others end with kCancelled.
  Async<absl::StatusOr<std::unique_ptr<SqlStream>>> RunSql(const RawSqlOperation& op, bool stop_at_first_error,
                                                           const std::string& transaction_id, const CallContext& ctx);

  // ---- Transactions ----
  absl::StatusOr<std::string> Begin(const BeginOptions& options);
  Async<absl::Status> Commit(const std::string& transaction_id, const CallContext& ctx);
  Async<absl::Status> Rollback(const std::string& transaction_id, const CallContext& ctx);
  Async<absl::Status> Savepoint(const std::string& transaction_id, SavepointAction action, const std::string& name,
                                const CallContext& ctx);
  absl::StatusOr<TransactionState> GetTransaction(const std::string& transaction_id) const;
  // The shard that it runs or ran on, if any.
  absl::StatusOr<std::optional<ShardId>> ShardOfTransaction(const std::string& transaction_id) const {
    return transactions_.ShardEverOf(transaction_id);
  }
  // The loop that owns the transaction; kInvalidArgument when the id is none of ours.
  static absl::StatusOr<uint32_t> LoopOf(const std::string& transaction_id);

  // ---- About itself ----
  // Reads a lookup resolver's directory when the key is in none of its memory.
  Async<absl::StatusOr<RouteResult>> ResolveKey(const std::string& table, const KeyInput& key, const CallContext& ctx);
  // Writes into the directory of the table's lookup resolver where a shard key lives, before it has rows.
  // kFailedPrecondition when the table's resolver has no directory; kAlreadyExists KEY_MAPPED.
  Async<absl::Status> MapKey(const std::string& table, const KeyInput& key, const std::string& shard,
                             const CallContext& ctx);
  std::shared_ptr<const Snapshot> snapshot() const { return parts_.snapshot(); }
  const EngineLimits& limits() const { return parts_.limits; }
  // Whether the table's configuration wants identical questions about it to share an asking: then they say their `question`.
  bool MergesReads(const std::string& table) const;
  Backend& backend(ShardId shard) { return *parts_.shards[Index(shard)]; }
  size_t open_transactions() const { return transactions_.size(); }

 private:
  static Parts WithDefaults(Parts parts);
  // How old an answer about `table` may be, by what the caller and the table's declaration allow; zero: it is asked for now.
  absl::Duration AgeAllowed(const Freshness& freshness, const std::string& table, const std::string& transaction_id) const;
  // The answer that is kept for `key`, or else what `ask` answers, which is then kept if all shards answered.
  template <typename Result>
  Async<absl::StatusOr<Result>> ThroughCache(std::string key, std::string table, absl::Duration age_max,
                                             std::function<Async<absl::StatusOr<Result>>()> ask);
  // Notes when it goes that rows of these tables, and of those that cascade from them, may have changed on `shards`.
  WriteNote NoteOfWrite(const WriteOperation& op, const WritePlan& plan, const Snapshot& snapshot);
  WriteNote NoteOf(const std::vector<std::string>& tables, const std::vector<ShardId>& shards, const Snapshot& snapshot);
  Async<absl::StatusOr<ReadResult>> ReadNow(const ReadOperation& op, const std::string& transaction_id, const CallContext& ctx);
  // Outside of transactions and with a `question`, together with identical ones that wait as well; else at once.
  Async<absl::StatusOr<ListResult>> ListMerged(const ListOperation& op, const std::string& transaction_id, const CallContext& ctx);
  Async<absl::StatusOr<AggregateResult>> AggregateMerged(const AggregateOperation& op, const std::string& transaction_id,
                                                         const CallContext& ctx);
  Async<absl::StatusOr<ListResult>> ListNow(const ListOperation& op, const std::string& transaction_id, const CallContext& ctx);
  Async<absl::StatusOr<AggregateResult>> AggregateNow(const AggregateOperation& op, const std::string& transaction_id,
                                                      const CallContext& ctx);
  Async<absl::StatusOr<TaskResult>> RunTask(const Task& task, const std::string& transaction_id,
                                            const CallContext& ctx);
  Async<std::vector<absl::StatusOr<TaskResult>>> RunTasks(const std::vector<Task>& tasks,
                                                          const std::string& transaction_id, bool stop_at_first_error,
                                                          const CallContext& ctx);
  Async<absl::StatusOr<ReadResult>> ReadElsewhere(ReadPlan plan, absl::Status first, const Snapshot& snapshot,
                                                  const CallContext& ctx);
  // `plan` has keys that no resolver's memory holds: asks the directories, then plans again.
  Async<absl::StatusOr<ReadPlan>> PlanReadAgain(ReadPlan plan, const ReadOperation& op,
                                                std::shared_ptr<const Snapshot> snapshot,
                                                std::optional<ShardId> pinned, ShardId spread, const CallContext& ctx);
  Async<absl::StatusOr<WritePlan>> PlanWriteWithDirectory(const WriteOperation& op,
                                                          std::shared_ptr<const Snapshot> snapshot,
                                                          const CallContext& ctx);
  absl::Status Generate(WriteOperation& op);

  // Where a question is asked: a transaction's shard, or whose turn it is among the shards of reference tables.
  struct Place {
    std::shared_ptr<const Snapshot> snapshot;
    ShardId spread{};
    bool pinned = false;
  };
  absl::StatusOr<Place> PlaceOf(const std::string& transaction_id);
  // Reads in the directory of the table's resolver what it says of `keys`; true when there is one, so that planning again helps.
  Async<absl::StatusOr<bool>> Learn(const Table& table, std::vector<Key> keys, const Snapshot& snapshot,
                                    const CallContext& ctx);
  // How a question is asked this time. `position` outlives the Async.
  struct Ask {
    const QueryPosition* position = nullptr;
    const char* token_field = "resume_token";
    int64_t limit = 0;
  };
  Async<absl::StatusOr<QueryPlan>> PlanQuestion(const QueryOperation& op, Ask ask, Place place, const CallContext& ctx);
  Async<absl::StatusOr<QueryRun>> RunOf(const QueryPlan& plan, Place place, const std::string& transaction_id,
                                        const CallContext& ctx);
  static absl::StatusOr<IncludePlan> PlanPage(const ListOperation& op, const Snapshot& snapshot, QueryOperation& query);
  Async<absl::Status> AddIncludes(const IncludePlan& plan, std::vector<PlacedRow> rows, const std::string& transaction_id,
                                  bool partial, const Snapshot& snapshot, const CallContext& ctx, ListResult& result);
  Async<std::vector<absl::StatusOr<TaskResult>>> RunOwnTasks(std::vector<Task> tasks, std::string transaction_id,
                                                             bool stop_at_first_error, const CallContext& ctx);
  Async<absl::StatusOr<ReadResult>> ReadOwn(ReadOperation op, std::string transaction_id, const CallContext& ctx);
  struct Aggregation;
  Async<absl::StatusOr<AggregatePlan>> PlanAggregation(const AggregateOperation& op, Place place, const CallContext& ctx);
  Async<absl::StatusOr<AggregateResult>> AggregateAt(const AggregateOperation& op, Place place,
                                                     const std::string& transaction_id, const CallContext& ctx);
  Async<absl::StatusOr<TaskResult>> AskShard(const Task& task, const std::string& transaction_id, const CallContext& ctx);
  Async<absl::StatusOr<bool>> AddShard(const AggregatePart& part, const std::string& transaction_id, const CallContext& ctx,
                                       Aggregation& aggregation);
  Async<absl::StatusOr<BulkWritePlan>> PlanBulk(const BulkWriteOperation& op, Place place, const CallContext& ctx);
  Async<absl::StatusOr<TaskResult>> RunOwnTask(Task task, std::string transaction_id, const CallContext& ctx);
  // CROSS_SHARD_TRANSACTION when a transaction's question goes to several shards.
  static absl::Status CheckTransactionShards(const std::string& transaction_id, size_t shards);
  // The transaction's hold on the one shard of `shards`; null without a transaction or shards.
  Async<absl::StatusOr<std::unique_ptr<Transactions::Lease>>> HoldTransaction(const std::string& transaction_id,
                                                                              std::vector<ShardId> shards,
                                                                              const CallContext& ctx);

  Loop& loop_;
  Parts parts_;
  SystemRandom random_;
  IdGenerator ids_;
  Planner planner_;
  SqlTexts texts_;
  ResultCache cache_;
  Directory directory_;
  MergedReads<ListOperation, ListResult> merged_lists_;
  MergedReads<AggregateOperation, AggregateResult> merged_aggregates_;
  Transactions transactions_;
  ReferenceDecisions reference_decisions_;
  uint32_t spread_ = 0;  // Whose turn it is among the shards of a reference table.
};

}  // namespace quarry
