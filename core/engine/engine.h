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
#include "core/model/operation.h"
#include "core/engine/directory.h"
#include "core/engine/reference_write.h"
#include "core/engine/sql_stream.h"
#include "core/plan/planner.h"
#include "core/plan/snapshot.h"
#include "core/txn/transactions.h"

namespace quarry {

struct EngineLimits {
  int64_t batch_items_max = 1'000;     // Keys of a BatchGet, mutations of a BatchWrite or Commit.
  int64_t row_bytes_max = 2 << 20;     // One row of a write.
  int64_t reply_bytes_max = 3 << 20;   // Rows of one unary reply.
  size_t scatter_width = 16;           // Shards at a time.
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
  Backend& backend(ShardId shard) { return *parts_.shards[Index(shard)]; }
  size_t open_transactions() const { return transactions_.size(); }

 private:
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

  Loop& loop_;
  Parts parts_;
  SystemRandom random_;
  IdGenerator ids_;
  Planner planner_;
  Directory directory_;
  Transactions transactions_;
  ReferenceDecisions reference_decisions_;
  uint32_t spread_ = 0;  // Whose turn it is among the shards of a reference table.
};

}  // namespace quarry
