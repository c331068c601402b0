// The engine of one loop: operation in, result out. Belongs to its loop.
// Every function takes its operation by reference: it outlives the returned Async.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
#include "core/engine/across_write.h"
#include "core/engine/directory.h"
#include "core/engine/include.h"
#include "core/engine/merged_reads.h"
#include "core/engine/query_run.h"
#include "core/engine/query_stream.h"
#include "core/engine/sql_stream.h"
#include "core/lock/lock_store.h"
#include "core/plan/plan_aggregate.h"
#include "core/plan/plan_bulk_write.h"
#include "core/plan/plan_query.h"
#include "core/plan/planner.h"
#include "core/plan/snapshot.h"
#include "core/plan/sql_texts.h"
#include "core/txn/commits.h"
#include "core/txn/recovery_loop.h"
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

struct EngineLocks {
  std::string shard;  // Where locks are stored; empty: on the first shard.
  LockOptions options;
  std::shared_ptr<LockShared> shared;  // Of all loops of the gateway; null: this engine is alone.
};

// What became of a transaction.
struct TransactionFate {
  TransactionState state{};
  // Names of the shards that it ran on; where no gateway's memory tells, those that wrote or still hold a branch.
  std::vector<std::string> shards;
  std::string home;                     // Name of the shard that decides it; "" when it is not known, or one shard ran all.
  // Names of shards that still hold a branch of it, or do not answer whether they do.
  std::vector<std::string> unfinished;
};

// Transactions over several shards that are not at their end, and the shards that may hold more.
struct InDoubtList {
  std::vector<TransactionTrace> transactions;  // By id.
  Unasked unasked;
};

struct Resolution {
  TransactionFate fate;
  Unasked unasked;
  std::vector<std::string> contradicting;  // Names of shards whose part is not as decided: half a transaction.
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
    bool strict_snapshots = false;  // Commits of single shards pass the gates too.
    EngineLocks locks;
    uint64_t instance = 0;  // Of this gateway: random for each start, the same on all its loops.
    // The engine then recovers transactions that nobody has finished, from its start on.
    std::optional<RecoveryOptions> recovery;
    RecoveryListener recovery_listener;
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

  // ---- Questions. In a transaction they see its writes. ----
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
  // `op` and `ctx` outlive the stream.
  // `stop_at_first_error`: FAIL_FAST; the others end with kCancelled.
  Async<absl::StatusOr<std::unique_ptr<SqlStream>>> RunSql(const RawSqlOperation& op, bool stop_at_first_error,
                                                           const std::string& transaction_id, const CallContext& ctx);

  // ---- Transactions ----
  absl::StatusOr<std::string> Begin(const BeginOptions& options);
  // Begins one whose every read sees one cut over all shards, as it is now.
  Async<absl::StatusOr<std::string>> BeginSnapshot(BeginOptions options, const CallContext& ctx);
  // `keep_decision`: see CommitWork. Of another gateway's transaction, whose gateway is gone: kUnknown COMMIT_OUTCOME_UNKNOWN
  // where no shard can tell.
  Async<CommitEnd> Commit(const std::string& transaction_id, bool keep_decision, const CallContext& ctx);
  Async<absl::Status> Rollback(const std::string& transaction_id, const CallContext& ctx);
  Async<absl::Status> Savepoint(const std::string& transaction_id, SavepointAction action, const std::string& name,
                                const CallContext& ctx);
  // From the memory of this loop, else from all shards: kNotFound TRANSACTION_NOT_FOUND when none knows it, kUnavailable
  // naming the shards without whose answer nothing can be told.
  Async<absl::StatusOr<TransactionFate>> GetTransaction(std::string transaction_id, const CallContext& ctx);
  // The same of a transaction whose gateway is gone, from the shards alone. `force` makes the answer definite, committed or
  // rolled back: nothing that had not committed can commit from then on. It is true of a commit that had a request_id or wrote
  // on several shards; one without, on one shard, leaves nothing that tells of it.
  Async<absl::StatusOr<TransactionFate>> OutcomeOf(std::string transaction_id, bool force, const CallContext& ctx);
  // At least `age_min` old; absent: the age at which recovery takes them up.
  Async<InDoubtList> ListInDoubt(std::optional<absl::Duration> age_min, const CallContext& ctx);
  // Ends one now, whatever its age: as decided, or by an abort. Errors as GetTransaction; kFailedPrecondition
  // TRANSACTION_IN_DOUBT when its home is no shard of this deployment.
  Async<absl::StatusOr<Resolution>> Resolve(std::string transaction_id, const CallContext& ctx);
  // Creates what is missing of Quarry's own tables on these shards and checks that they can take part in transactions over
  // several shards; one status for each, in order.
  Async<std::vector<absl::Status>> InitShards(std::vector<ShardId> shards, const CallContext& ctx);
  // The shards that it runs or ran on.
  absl::StatusOr<std::vector<ShardId>> ShardsOfTransaction(const std::string& transaction_id) const {
    return transactions_.ShardsEverOf(transaction_id);
  }
  const CommitStats& commit_stats() const { return commits_.stats(); }
  const SnapshotCutStats& snapshot_stats() const { return cuts_.stats(); }
  // Null where this engine does not recover.
  const RecoveryStats* recovery_stats() const { return recovery_.has_value() ? &recovery_->stats() : nullptr; }
  // The loop that owns the transaction, in the gateway that the id names; kInvalidArgument for what is no id.
  static absl::StatusOr<uint32_t> LoopOf(const std::string& transaction_id);

  // ---- Locks ----
  // kNotFound SHARD_NOT_FOUND when their shard is not one of the topology.
  absl::StatusOr<LockStore*> locks();
  absl::StatusOr<ShardId> ShardOfLocks() const;

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
  // All shards, as they are named now.
  std::vector<ShardParty> Parties() const;
  // A transaction of one call's own that reads one cut, which is taken when its plan is known.
  absl::StatusOr<std::string> BeginOwnSnapshot();
  // `ask` inside of such a transaction.
  template <typename Result>
  Async<absl::StatusOr<Result>> InSnapshot(std::function<Async<absl::StatusOr<Result>>(const std::string& transaction_id)> ask);
  // Before a transaction's first statement. Nothing without one.
  Async<absl::Status> Cut(const std::string& transaction_id, std::vector<ShardId> shards, const CallContext& ctx);
  ReadLevel LevelOf(const std::string& transaction_id) const;
  Async<absl::StatusOr<TransactionFate>> RememberedFate(TransactionState state, std::string transaction_id,
                                                        const CallContext& ctx);
  Async<absl::StatusOr<TransactionFate>> DecideEverywhere(std::string transaction_id, const CallContext& ctx);
  struct Written;
  Async<absl::StatusOr<Written>> WriteApart(const WriteOperation& op, const WritePlan& plan, const Snapshot& snapshot,
                                            const CallContext& ctx);
  Async<absl::StatusOr<Written>> WriteAcross(const WriteOperation& op, const WritePlan& plan, std::optional<RequestGuard> guard,
                                             const Snapshot& snapshot, const CallContext& ctx);
  Async<absl::StatusOr<Written>> WriteInTransaction(const WriteOperation& op, const WritePlan& plan, const Snapshot& snapshot,
                                                    const std::string& transaction_id, const CallContext& ctx);
  Async<absl::StatusOr<Session*>> OpenPartOn(ShardId shard, SessionOptions options, std::vector<OpenPart>* open,
                                             const CallContext& ctx);
  Async<CommitEnd> CommitOfGoneGateway(std::string transaction_id, bool kept_decision, const CallContext& ctx);
  // True for a well-formed id that another gateway has given.
  bool OfAnotherGateway(const std::string& transaction_id) const;

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
  Async<absl::StatusOr<TaskResult>> RunOwnTask(Task task, const CallContext& ctx);
  Async<absl::StatusOr<BulkWriteResult>> WriteWhereApart(const BulkWriteOperation& op, const BulkWritePlan& plan,
                                                         const Snapshot& snapshot, const CallContext& ctx);
  Async<absl::StatusOr<BulkWriteResult>> WriteWhereInTransaction(const BulkWriteOperation& op, const BulkWritePlan& plan,
                                                                 const Snapshot& snapshot, const std::string& transaction_id,
                                                                 const CallContext& ctx);
  // The transaction's hold on these shards; null without a transaction or shards.
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
  Commits commits_;
  SnapshotCuts cuts_;
  MergedReads<ListOperation, ListResult> merged_lists_;
  MergedReads<AggregateOperation, AggregateResult> merged_aggregates_;
  Transactions transactions_;
  std::unique_ptr<LockStore> locks_;  // Once it was asked for.
  std::optional<RecoveryLoop> recovery_;
  uint32_t spread_ = 0;  // Whose turn it is among the shards of a reference table.
};

}  // namespace quarry
