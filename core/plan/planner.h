// Operation + snapshot -> plan. Pure: no clock, no I/O, no locks; the same operation and snapshot always give the same
// plan. A Planner only remembers shapes: SQL texts, and what reads of
// one table and column list share. One loop.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/merge/merge.h"
#include "core/model/operation.h"
#include "core/model/predicate.h"
#include "core/plan/lowering.h"
#include "core/plan/read_shape.h"
#include "core/plan/snapshot.h"
#include "core/plan/sql_texts.h"

namespace quarry {

struct PlanLimits {
  int64_t batch_items_max = 1'000;
  int64_t row_bytes_max = 2 << 20;
};

struct ReadPlan {
  std::vector<Task> tasks;  // Ascending by shard.
  ReadMerge merge;
  // The table is on every shard: when the task's shard does not answer, these may.
  std::vector<ShardId> alternates;
  // Some key has no shard, as far as the resolver knows: it is in no task and so comes out as missing.
  bool unplaced = false;
};

// A mutation of a reference table: it goes to every shard.
struct ReferenceWrite {
  uint32_t item = 0;
  const Table* table = nullptr;
  MutationKind kind = MutationKind::kInsert;
  Key key;    // Update and delete.
  Step step;  // For shard 0: returns the row that it made, unless it deletes.
  LockFence fence;
};

struct WritePlan {
  std::vector<Task> tasks;  // Sharded and single tables; ascending by shard.
  std::vector<ReferenceWrite> reference_writes;
  WriteMerge merge;
  // Under Atomicity::kEach: items that are refused before any SQL.
  std::vector<std::pair<uint32_t, absl::Status>> refused;
};

class Planner {
 public:
  explicit Planner(PlanLimits limits) : limits_(limits) {}

  // Reference tables are read on `pinned`, the shard of the reading transaction; without one, on `spread` first.
  absl::StatusOr<ReadPlan> PlanRead(const ReadOperation& op, const std::shared_ptr<const Snapshot>& snapshot,
                                    std::optional<ShardId> pinned, ShardId spread);
  // Every bad field of every mutation at once under kAll. More than one shard with single_shard: CROSS_SHARD_TRANSACTION.
  absl::StatusOr<WritePlan> PlanWrite(const WriteOperation& op, const std::shared_ptr<const Snapshot>& snapshot);
  // The same write for the other shards of a reference table: `row` is what shard 0 made, all columns.
  Step ReplicaStep(const ReferenceWrite& write, const Row& row, Dialect dialect);

 private:
  struct Planned {
    const Table* table = nullptr;
    std::optional<ShardId> shard;  // None: reference table.
    Key key;
    Step step;
    MutationMerge merge;
  };
  void Follow(const std::shared_ptr<const Snapshot>& snapshot);
  absl::StatusOr<Planned> PlanMutation(const Mutation& mutation, const Snapshot& snapshot, const std::string& path);
  absl::StatusOr<Planned> PlanInsert(const Table& table, const Mutation& mutation, const Snapshot& snapshot,
                                     const std::string& path);
  absl::StatusOr<Planned> PlanChange(const Table& table, const Mutation& mutation, const Snapshot& snapshot,
                                     const std::string& path);
  absl::Status PlaceAll(const WriteOperation& op, const Snapshot& snapshot, std::vector<std::optional<Planned>> planned,
                        WritePlan& plan);
  void AddPrecondition(const Table& table, const Precondition& given, const std::optional<Predicate>& filter, bool upsert,
                       const Key& key, Dialect dialect, Step& step);
  void AddReadBack(const Table& table, const Key& key, Step& step);

  const PlanLimits limits_;
  Lowering lowering_;
  SqlTexts texts_;
  ReadShapes shapes_;
  std::shared_ptr<const Snapshot> followed_;  // Whose tables the two above speak of.
};

}  // namespace quarry
